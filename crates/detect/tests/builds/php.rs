//! Projects in PHP. Laravel and Symfony are those of Debian. An empty package stands for them in `composer.json`.

use crate::{Registry, SAMPLE, Sample};

const PACKAGIST: Registry = Registry {
    name: "Packagist",
    base: "boatyard-local/base-php:8.2",
    command: "composer show --all --no-interaction psr/log",
};
/// The base with the source of PHP, and the packages of Debian that extensions need.
const COMPILER: Registry = Registry {
    name: "Debian's mirror (or there is no base-php-compiled)",
    base: "boatyard-local/base-php-compiled:8.2",
    command: "apt-get update",
};

const COMPOSER: &str =
    r#"{"require": {"php": "8.2.*", "ext-mbstring": "*"}, "autoload": {"psr-4": {"App\\": "src/"}}}"#;
const INDEX: &str = r#"<?php require __DIR__ . "/../vendor/autoload.php"; echo App\Greeting::TEXT, getenv("PORT");"#;
const GREETING: &str = r#"<?php namespace App; class Greeting { const TEXT = "hello 1"; }"#;

pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "PHP, Composer",
        files: &[("composer.json", COMPOSER), ("public/index.php", INDEX), ("src/Greeting.php", GREETING)],
        changes: "src/Greeting.php",
        ..SAMPLE
    },
    Sample {
        name: "PHP, Procfile",
        files: &[
            ("composer.json", COMPOSER),
            ("www/index.php", INDEX),
            ("src/Greeting.php", GREETING),
            ("Procfile", "web: vendor/bin/heroku-php-apache2 www/\n"),
        ],
        changes: "src/Greeting.php",
        ..SAMPLE
    },
    Sample {
        name: "PHP, assets",
        files: &[
            ("composer.json", COMPOSER),
            ("package.json", r#"{"engines": {"node": "18"}, "scripts": {"build": "node build.js"}}"#),
            ("build.js", r#"require("fs").writeFileSync("public/built.txt", "hello 1")"#),
            ("public/index.php", r#"<?php readfile("built.txt");"#),
        ],
        changes: "build.js",
        ..SAMPLE
    },
    Sample {
        name: "PHP, built-in server",
        files: &[
            ("composer.json", r#"{"require": {"php": "8.2.*"}}"#),
            ("public/index.php", "<?php echo 'hello 1';"),
            ("Procfile", "web: php -S 0.0.0.0:$PORT -t public\n"),
        ],
        changes: "public/index.php",
        ..SAMPLE
    },
    Sample {
        name: "PHP, Packagist",
        files: &[
            ("composer.json", r#"{"require": {"php": "8.2.*", "psr/log": "^3.0"}}"#),
            (
                "public/index.php",
                r#"<?php require __DIR__ . "/../vendor/autoload.php"; echo interface_exists(Psr\Log\LoggerInterface::class) ? "hello 1" : "";"#,
            ),
        ],
        changes: "public/index.php",
        needs: Some(PACKAGIST),
        ..SAMPLE
    },
    Sample {
        name: "PHP, compiled extensions",
        files: &[
            (
                "composer.json",
                r#"{"require": {"php": "8.2.*", "ext-bcmath": "*", "ext-gd": "*", "ext-intl": "*", "ext-soap": "*", "ext-zip": "*"}}"#,
            ),
            (
                "public/index.php",
                r#"<?php echo new NumberFormatter("en", 1) && new ZipArchive && imagejpeg(imagecreatetruecolor(1, 1), "/dev/null") && gd_info()["FreeType Support"] && bcadd("1", "1") ? "hello 1" : "";"#,
            ),
        ],
        changes: "public/index.php",
        needs: Some(COMPILER),
        bases: &["php:8.2=boatyard-local/base-php-compiled:8.2"],
        ..SAMPLE
    },
    Sample {
        name: "Laravel",
        files: &[
            (
                "composer.json",
                r#"{"require": {"php": "8.2.*", "laravel/framework": "^8.83"},
 "repositories": [{"packagist.org": false}, {"type": "package", "package": {"name": "laravel/framework", "version": "8.83.26", "type": "metapackage"}}],
 "autoload": {"psr-4": {"App\\": "app/"}, "files": ["bootstrap/debian.php"]},
 "scripts": {"post-autoload-dump": "@php artisan package:discover --ansi"}}
"#,
            ),
            (
                "app/Http/Kernel.php",
                r"<?php namespace App\Http;
class Kernel extends \Illuminate\Foundation\Http\Kernel {}
",
            ),
            (
                "app/Routes.php",
                r#"<?php namespace App;
class Routes extends \Illuminate\Foundation\Support\Providers\RouteServiceProvider {
    public function boot() { $this->routes(fn () => require base_path("routes/web.php")); }
}
"#,
            ),
            (
                "artisan",
                r#"<?php
require __DIR__ . "/vendor/autoload.php";
$app = require __DIR__ . "/bootstrap/app.php";
$kernel = $app->make(Illuminate\Contracts\Console\Kernel::class);
exit($kernel->handle(new Symfony\Component\Console\Input\ArgvInput, new Symfony\Component\Console\Output\ConsoleOutput));
"#,
            ),
            (
                "bootstrap/app.php",
                r"<?php
$app = new Illuminate\Foundation\Application(dirname(__DIR__));
$app->singleton(Illuminate\Contracts\Http\Kernel::class, App\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Console\Kernel::class, Illuminate\Foundation\Console\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
return $app;
",
            ),
            (
                "bootstrap/debian.php",
                r#"<?php require_once "/usr/share/php/Illuminate/autoload.php";
"#,
            ),
            (
                "config/app.php",
                r#"<?php return ["key" => "base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "cipher" => "AES-256-CBC", "env" => "production", "debug" => false, "url" => "http://localhost", "timezone" => "UTC", "locale" => "en", "fallback_locale" => "en",
 "providers" => [Illuminate\Cache\CacheServiceProvider::class, Illuminate\Database\DatabaseServiceProvider::class, Illuminate\Queue\QueueServiceProvider::class, Illuminate\Filesystem\FilesystemServiceProvider::class, Illuminate\Foundation\Providers\ConsoleSupportServiceProvider::class, Illuminate\Foundation\Providers\FoundationServiceProvider::class, Illuminate\View\ViewServiceProvider::class, App\Routes::class], "aliases" => []];
"#,
            ),
            (
                "config/view.php",
                r#"<?php return ["paths" => [resource_path("views")], "compiled" => storage_path("framework/views")];
"#,
            ),
            (
                "public/index.php",
                r#"<?php
require __DIR__ . "/../vendor/autoload.php";
$app = require __DIR__ . "/../bootstrap/app.php";
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$response = $kernel->handle($request = Illuminate\Http\Request::capture())->send();
$kernel->terminate($request, $response);
"#,
            ),
            ("resources/views/page.blade.php", "<p>hello 1</p>\n"),
            (
                "routes/web.php",
                r#"<?php app("router")->get("/", fn () => view("page"));
"#,
            ),
            ("bootstrap/cache/.gitignore", "*\n"),
            ("storage/framework/views/.gitignore", "*\n"),
            ("storage/logs/.gitignore", "*\n"),
        ],
        changes: "resources/views/page.blade.php",
        ..SAMPLE
    },
    Sample {
        name: "Symfony",
        files: &[
            (
                "composer.json",
                r#"{"require": {"php": "8.2.*", "symfony/framework-bundle": "^5.4"},
 "repositories": [{"packagist.org": false}, {"type": "package", "package": {"name": "symfony/framework-bundle", "version": "5.4.53", "type": "metapackage"}}],
 "autoload": {"psr-4": {"App\\": "src/"}, "files": ["src/debian.php"]},
 "scripts": {"post-install-cmd": "@php bin/console cache:clear", "post-update-cmd": "@php bin/console cache:clear"}}
"#,
            ),
            (
                "bin/console",
                r#"<?php
require dirname(__DIR__) . "/vendor/autoload.php";
(new Symfony\Bundle\FrameworkBundle\Console\Application(new App\Kernel($_SERVER["APP_ENV"] ?? "dev", false)))->run();
"#,
            ),
            (
                "public/index.php",
                r#"<?php
require dirname(__DIR__) . "/vendor/autoload.php";
$kernel = new App\Kernel($_SERVER["APP_ENV"] ?? getenv("APP_ENV"), false);
$response = $kernel->handle($request = Symfony\Component\HttpFoundation\Request::createFromGlobals())->send();
$kernel->terminate($request, $response);
"#,
            ),
            (
                "src/Kernel.php",
                r#"<?php namespace App;
use Symfony\Bundle\FrameworkBundle\Kernel\MicroKernelTrait;
use Symfony\Component\DependencyInjection\Loader\Configurator\ContainerConfigurator;
use Symfony\Component\HttpFoundation\Response;
use Symfony\Component\Routing\Loader\Configurator\RoutingConfigurator;
class Kernel extends \Symfony\Component\HttpKernel\Kernel {
    use MicroKernelTrait;
    public function registerBundles(): iterable { return [new \Symfony\Bundle\FrameworkBundle\FrameworkBundle()]; }
    protected function configureContainer(ContainerConfigurator $it): void { $it->extension("framework", ["secret" => "x", "http_method_override" => false]); }
    protected function configureRoutes(RoutingConfigurator $it): void { $it->add("page", "/")->controller([$this, "page"]); }
    public function page(): Response { return new Response("hello 1, " . $this->environment); }
}
"#,
            ),
            (
                "src/debian.php",
                r#"<?php foreach (["Bundle/FrameworkBundle", "Component/Console", "Component/Yaml"] as $it) { require_once "/usr/share/php/Symfony/$it/autoload.php"; }
"#,
            ),
        ],
        changes: "src/Kernel.php",
        ..SAMPLE
    },
];
