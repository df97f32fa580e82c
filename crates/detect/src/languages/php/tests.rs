#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{self, service};

#[test]
fn projects_are_known_by_composer_or_a_first_page() {
    for (files, expected) in [
        (&[("composer.json", "{}"), ("package.json", "{}")][..], Language::Php),
        (&[("index.php", "")], Language::Php),
        (&[("public/index.php", "")], Language::Php),
        (&[("contact.php", ""), ("index.html", "")], Language::StaticFiles),
        (
            &[("index.php", ""), ("package.json", ""), ("package.json", r#"{"scripts": {"start": "node ."}}"#)],
            Language::Node,
        ),
    ] {
        assert_eq!(service(files).language, expected, "{files:?}");
    }
}

#[test]
fn the_version_satisfies_the_project_and_the_locked_packages() {
    let lock = r#"{"packages": [{"require": {"php": "~8.1.0 || ~8.2.0 || ~8.3.0", "ext-intl": "*"}}, {"require": {"php": ">=7.4"}}]}"#;
    for (composer, lock, expected) in [
        ("{}", "{}", "PHP 8.4 (the default)"),
        (r#"{"require": {"php": "^7.3|^8.0"}}"#, "{}", "PHP 8.4 (require.php in composer.json: ^7.3|^8.0)"),
        (r#"{"require": {"php": "~8.1"}}"#, lock, "PHP 8.3 (require.php in composer.json: ~>8.1)"),
        (r#"{"require": {"php": "8.5.*"}}"#, lock, "PHP 8.5 (require.php in composer.json: 8.5.*)"),
        (
            r#"{"require": {"php": "^8"}, "config": {"platform": {"php": "8.1.2"}}}"#,
            "{}",
            "PHP 8.1 (config.platform.php in composer.json: 8.1.2)",
        ),
        (r#"{"require": {"php": "^7.1"}}"#, "{}", "PHP 7.4 (require.php in composer.json: ^7.1)"),
    ] {
        let detected = service(&[("composer.json", composer), ("composer.lock", lock)]);
        assert_eq!(detected.findings[1].to_string(), expected);
    }
    let error =
        testing::detected("web", Kind::Service, &[("composer.json", r#"{"require": {"php": "^5.6"}}"#)]).unwrap_err();
    assert!(error.to_string().contains("require.php in composer.json asks for PHP ^5.6"), "{error}");
}

#[test]
fn extensions_come_from_the_requirements_and_unknown_ones_are_named() {
    let composer = r#"{"require": {"ext-gd": "*", "ext-json": "*", "ext-redis": "*", "ext-odbc": "*"}}"#;
    let lock = r#"{"packages": [{"require": {"ext-intl": "*"}}]}"#;
    let detected = service(&[("composer.json", composer), ("composer.lock", lock)]);
    assert_eq!(detected.findings[2].what, "extensions gd, intl, mysqli, opcache, pdo_mysql, pdo_pgsql, pgsql, redis");
    assert_eq!(detected.findings[3].to_string(), "extension odbc is not installed (it is unknown; use a Dockerfile)");
    for part in ["for it in gd intl mysqli", "libicu-dev", "docker-php-ext-configure gd", "pecl install $missing"] {
        assert!(detected.dockerfile.contains(part), "{part}: {}", detected.dockerfile);
    }
}

#[test]
fn apache_serves_the_first_page_of_the_framework() {
    for (files, root, has_fallback) in [
        (&[("index.php", "")][..], "/workspace/", false),
        (&[("public/index.php", ""), ("public/.htaccess", "")], "/workspace/public", false),
        (&[("web/index.php", ""), ("composer.json", "{}")], "/workspace/web", true),
    ] {
        let detected = service(files);
        assert!(detected.dockerfile.contains(&format!("ENV DOCUMENT_ROOT={root} ")), "{}", detected.dockerfile);
        assert_eq!(detected.dockerfile.contains("FallbackResource"), has_fallback, "{files:?}");
        assert_eq!(detected.start.as_deref(), Some("apache2 -D FOREGROUND"));
        assert!(detected.dockerfile.contains("STOPSIGNAL SIGWINCH"));
    }
}

#[test]
fn the_commands_of_app_platform_start_apache() {
    let detected = service(&[("composer.json", "{}"), ("Procfile", "web: vendor/bin/heroku-php-apache2 public/")]);
    assert_eq!(detected.start.as_deref(), Some("vendor/bin/heroku-php-apache2 public/"));
    assert!(detected.dockerfile.contains("ln -sf /usr/local/bin/heroku-php-* vendor/bin/"), "{}", detected.dockerfile);
    assert!(detected.dockerfile.contains("STOPSIGNAL SIGWINCH"), "{}", detected.dockerfile);
}

#[test]
fn packages_of_debian_are_in_the_stage_that_the_others_continue() {
    let text = service(&[("index.php", ""), ("Aptfile", "ffmpeg\n")]).dockerfile;
    testing::assert_order(&text, &["AS php\n", "recommends ffmpeg ", "FROM php AS build\n", "FROM php\n"]);
}

#[test]
fn a_worker_needs_a_command_and_ends_at_the_usual_signal() {
    let files = [("composer.json", "{}"), ("Procfile", "worker: php artisan queue:work")];
    let error = testing::detected("web", Kind::Worker, &files[..1]).unwrap_err().to_string();
    assert!(error.contains("Add a Procfile with a line \"web: php …\""), "{error}");
    let detected = testing::detected("web", Kind::Worker, &files).unwrap();
    assert!(detected.dockerfile.contains("STOPSIGNAL SIGTERM"), "{}", detected.dockerfile);
}

#[test]
fn dependencies_come_before_the_sources_and_assets_are_built_beside_them() {
    let package = r#"{"scripts": {"build": "vite build"}, "devDependencies": {"vite": "7"}}"#;
    let detected = service(&[
        ("composer.json", r#"{"require": {"laravel/framework": "^12"}}"#),
        ("composer.lock", "{}"),
        ("package.json", package),
        ("package-lock.json", "{}"),
        ("public/index.php", ""),
    ]);
    let wanted = ["FROM", "COPY", "composer install", "npm", "rm -rf node_modules"];
    let steps =
        detected.dockerfile.lines().filter(|line| !line.starts_with('#') && wanted.iter().any(|it| line.contains(it)));
    let steps: Vec<_> = steps.map(|line| line.rsplit("sharing=locked ").next().unwrap_or(line)).collect();
    assert_eq!(
        steps,
        [
            "FROM php:8.4-apache AS php",
            "FROM php AS build",
            "COPY --from=composer:2 /usr/bin/composer /usr/bin/composer",
            r#"COPY ["composer.json","composer.lock","./"]"#,
            "composer install --no-dev --no-interaction --no-progress --prefer-dist --no-scripts --no-autoloader",
            "COPY --from=node:24-slim /usr/local/ /opt/node/",
            r#"COPY ["package.json","package-lock.json","./"]"#,
            "npm ci --include=dev --no-audit --no-fund",
            "COPY . .",
            "composer install --no-dev --no-interaction --no-progress --prefer-dist --optimize-autoloader",
            "RUN npm run build",
            "RUN rm -rf node_modules",
            "FROM php",
            "COPY --from=build --chown=app:app /workspace ./",
        ]
    );
}
