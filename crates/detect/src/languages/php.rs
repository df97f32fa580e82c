//! PHP, served by Apache.

mod extensions;

use super::node::assets::Assets;
use super::static_files::{self, Fallback, Site};
use super::{DEPENDENCIES_FIRST, Detected, Finding, Language, Module, Start};
use crate::bases::{COMPOSER, PHP};
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::system_packages::SystemPackages;
use crate::undetected::Undetected;
use crate::versions::{self, Choice, Wish};
use serde_json::Value;

pub(super) const MODULE: Module =
    Module { language: Language::Php, slugs: &["php"], looks_for: "composer.json, index.php", evidence, build };

fn evidence(project: &Project) -> Option<String> {
    // Other projects may contain a page in PHP.
    let files: &[_] = if project.has("package.json") {
        &["composer.json"]
    } else {
        &["composer.json", "index.php", "public/index.php"]
    };
    project.first(files).map(str::to_owned)
}

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let composer = Composer::read(project)?;
    let version = version(&composer)?;
    let extensions = extensions::wanted(&composer);
    let mut assets = Assets::of(project, request)?;
    let system = SystemPackages::new(project, []);
    let root = document_root(project);
    let mut findings = vec![version.finding.clone()];
    findings.extend(system.finding());
    findings.extend(extensions.findings());

    let mut dockerfile = Dockerfile::new(project, request, &format!("PHP {}, Apache", version.version));
    dockerfile.shared_stage(&PHP, version.version, "php");
    system.install(&mut dockerfile);
    extensions.install(&mut dockerfile);
    dockerfile.line("RUN [ -z \"$PHP_INI_DIR\" ] || cp \"$PHP_INI_DIR/php.ini-production\" \"$PHP_INI_DIR/php.ini\"");

    dockerfile.stage("php", "build");
    if composer.uses("symfony/framework-bundle") && !request.build_args.contains(&"APP_ENV") {
        dockerfile.line("ARG APP_ENV=prod");
    }
    if composer.exists {
        let image = request.bases.build_image(&COMPOSER, COMPOSER.default);
        dockerfile.line(&format!("COPY --from={image} /usr/bin/composer /usr/bin/composer"));
        dockerfile.line("ENV COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_CACHE_DIR=/root/.composer-cache");
        dockerfile.packages("command -v unzip >/dev/null", &["unzip", "git"]);
        if !composer.has_local_packages() {
            dockerfile.comment(DEPENDENCIES_FIRST);
            dockerfile.copy_each(["composer.json", "composer.lock"].into_iter().filter(|file| project.has(file)));
            dockerfile.run(&format!("{INSTALL} --no-scripts --no-autoloader"), CACHES);
        }
    }
    if let Some(assets) = &assets {
        assets.before_sources(&mut dockerfile, project);
    }
    dockerfile.copy_sources();
    if composer.exists {
        dockerfile.run(&format!("{INSTALL} --optimize-autoloader"), CACHES);
    }
    if let Some(assets) = &mut assets {
        assets.after_sources(&mut dockerfile);
        findings.append(&mut assets.findings);
    }
    if let Some(command) = request.build_command {
        dockerfile.run(command, CACHES);
        findings.push(Finding::new(format!("build command \"{command}\""), "build_command"));
    }
    if let Some(assets) = &assets {
        assets.remove(&mut dockerfile);
    }
    if request.kind == Kind::StaticSite {
        let site = Site { own: &[], fallback: Fallback::NotFound };
        return Ok(static_files::serve(dockerfile, request, Language::Php, site, findings));
    }

    let is_service = request.kind == Kind::Service;
    let apache = || is_service.then(|| Start::new(APACHE, format!("document root /{root}")));
    let start = Start::of(project, request, apache).ok_or_else(|| Undetected::NoStart {
        language: "PHP".into(),
        help: format!("Add a Procfile with a line \"{}: php …\"", request.component),
    })?;
    findings.push(start.finding());
    dockerfile.final_stage_from("php");
    if composer.uses("symfony/framework-bundle") {
        dockerfile.line("ENV APP_ENV=prod");
    }
    serve_with_apache(&mut dockerfile, project, root);
    // Apache ends open requests first at this signal. Other programs may ignore it.
    let is_apache = start.command == APACHE || start.command.contains("heroku-php-");
    dockerfile.line(if is_apache { "STOPSIGNAL SIGWINCH" } else { "STOPSIGNAL SIGTERM" });
    dockerfile.user();
    dockerfile.copy_app("build", "/workspace", "./");
    if start.command.contains("vendor/bin/heroku-php-") {
        dockerfile.line("RUN mkdir -p vendor/bin && ln -sf /usr/local/bin/heroku-php-* vendor/bin/");
    }
    dockerfile.start(start.for_image(request));
    let start = start.for_image(request).map(str::to_owned);
    Ok(Detected { language: Language::Php, findings, dockerfile: dockerfile.text(), start })
}

const INSTALL: &str = "composer install --no-dev --no-interaction --no-progress --prefer-dist";
const CACHES: &[&str] = &["/root/.composer-cache"];
const APACHE: &str = "apache2 -D FOREGROUND";

/// `composer.json` and `composer.lock`.
struct Composer {
    exists: bool,
    json: Value,
    lock: Value,
}

impl Composer {
    /// Errors: [`Undetected::Unreadable`].
    fn read(project: &Project) -> Result<Self, Undetected> {
        let json = project.json("composer.json")?;
        // A lock file may be too long to be read.
        let lock = project.json("composer.lock")?.unwrap_or_default();
        Ok(Self { exists: project.has("composer.json"), json: json.unwrap_or_default(), lock })
    }

    fn uses(&self, package: &str) -> bool {
        self.json.get("require").is_some_and(|it| it.get(package).is_some())
    }

    /// What the project and the packages in the lock file require, by name and range.
    fn requirements(&self) -> impl Iterator<Item = (&str, &str)> {
        let packages = self.lock.get("packages").and_then(Value::as_array).into_iter().flatten();
        let objects = std::iter::once(&self.json).chain(packages).filter_map(|it| it.get("require")?.as_object());
        objects.flatten().filter_map(|(name, range)| Some((name.as_str(), range.as_str()?)))
    }

    /// Whether packages come from directories of the source.
    fn has_local_packages(&self) -> bool {
        let repositories = self.json.get("repositories");
        let list = repositories.and_then(Value::as_array).map(|it| it.iter().collect::<Vec<_>>());
        let map = || repositories.and_then(Value::as_object).map(|it| it.values().collect());
        list.or_else(map).unwrap_or_default().iter().any(|it| it.get("type").is_some_and(|it| it == "path"))
    }
}

/// The version that satisfies the project and all locked packages; if there is none, the one that satisfies the project.
fn version(composer: &Composer) -> Result<Choice, Undetected> {
    let platform = composer.json.pointer("/config/platform/php").and_then(Value::as_str);
    let own = composer.json.pointer("/require/php").and_then(Value::as_str);
    let (place, own) = match platform {
        Some(version) => ("config.platform.php in composer.json", Some(version)),
        None => ("require.php in composer.json", own),
    };
    // Composer's tilde is the `~>` of Bundler.
    let own = own.map(|range| range.replace('~', "~>"));
    let own = own.as_deref().map(|range| Wish { place, range });
    let locked: Vec<String> =
        composer.requirements().filter(|(name, _)| *name == "php").map(|(_, range)| range.replace('~', "~>")).collect();
    let locked = locked.iter().map(|range| Wish { place: "composer.lock", range });
    let all: Vec<_> = own.clone().into_iter().chain(locked).collect();
    versions::choose(&PHP, &all).or_else(|_| versions::choose(&PHP, own.as_slice()))
}

/// The directory with the first page, below the source. Empty: the source itself.
fn document_root(project: &Project) -> &'static str {
    let roots = ["public", "web", "webroot", "htdocs", "public_html"];
    roots.into_iter().find(|root| project.has(&format!("{root}/index.php"))).unwrap_or_default()
}

/// Configures Apache for the port of the platform and for a user without rights.
fn serve_with_apache(dockerfile: &mut Dockerfile<'_>, project: &Project, root: &str) {
    dockerfile.line("RUN a2enmod rewrite headers expires");
    dockerfile.line(&format!("ENV DOCUMENT_ROOT=/workspace/{root} \\"));
    dockerfile.line(
        "    APACHE_RUN_USER=app APACHE_RUN_GROUP=app APACHE_RUN_DIR=/tmp APACHE_LOCK_DIR=/tmp APACHE_LOG_DIR=/tmp \\",
    );
    dockerfile.line("    APACHE_PID_FILE=/tmp/apache2.pid");
    dockerfile.file("/etc/apache2/ports.conf", "Listen ${PORT}");
    // Frameworks have one page for all paths. Many bring a `.htaccess` that says so.
    let is_framework = !root.is_empty() && !project.has(&format!("{root}/.htaccess"));
    let fallback = if is_framework { "\n    FallbackResource /index.php" } else { "" };
    dockerfile.file(
        "/etc/apache2/sites-available/000-default.conf",
        &format!(
            "ServerName localhost
ServerTokens Prod
ErrorLog /dev/stderr
<VirtualHost *:${{PORT}}>
  DocumentRoot ${{DOCUMENT_ROOT}}
  CustomLog /dev/stdout combined
  SetEnvIf X-Forwarded-Proto ^https$ HTTPS=on
  RedirectMatch 404 \"/\\.(?!well-known/)\"
  <Directory ${{DOCUMENT_ROOT}}>
    Options FollowSymLinks
    AllowOverride All
    Require all granted
    DirectoryIndex index.php index.html{fallback}
  </Directory>
</VirtualHost>"
        ),
    );
    dockerfile.comment("Commands of App Platform. Their argument is the document root.");
    dockerfile.file(
        "/usr/local/bin/heroku-php-apache2",
        "#!/bin/sh
for it; do [ ! -d \"$it\" ] || DOCUMENT_ROOT=$PWD/$it; done
export DOCUMENT_ROOT
exec apache2 -D FOREGROUND",
    );
    dockerfile.line(
        "RUN chmod 755 /usr/local/bin/heroku-php-apache2 && ln -s heroku-php-apache2 /usr/local/bin/heroku-php-nginx",
    );
}

#[cfg(test)]
mod tests;
