#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::{self, assert_order, service};

const LOCK: &str = "GEM\n  remote: https://rubygems.org/\n  specs:\n    propshaft (1.1.0)\n      rack\n    puma (6.4.2)\n      \
                    nio4r (~> 2.0)\n    rails (7.2.1)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  rails\n  webrick\n";

#[test]
fn rails_compiles_its_assets_and_starts_puma() {
    let detected = service(&[
        ("Gemfile", "gem \"rails\"\n"),
        ("Gemfile.lock", LOCK),
        ("config.ru", ""),
        ("config/application.rb", ""),
        ("app/assets/stylesheets/application.css", ""),
    ]);
    assert_eq!(detected.language, Language::Ruby);
    assert_eq!(detected.start.as_deref(), Some("bundle exec puma --bind tcp://0.0.0.0:$PORT"));
    assert_order(
        &detected.dockerfile,
        &[
            "FROM ruby:3.4 AS build\n",
            "BUNDLE_FROZEN=1\n",
            "COPY [\"Gemfile\",\"Gemfile.lock\",\"./\"]\n",
            "target=/opt/gems/cache,sharing=locked bundle install\n",
            "COPY . .\n",
            "SECRET_KEY_BASE_DUMMY=1",
            "rails assets:precompile\n",
            "FROM ruby:3.4-slim\n",
            "COPY --from=build /opt/gems /opt/gems\n",
            "RAILS_ENV=production",
            "COPY --from=build --chown=app:app /workspace ./\n",
        ],
    );
}

#[test]
fn rails_gets_node_if_it_has_scripts_and_runs_them_itself() {
    let text = service(&[
        ("Gemfile", "gem \"rails\"\n"),
        ("Gemfile.lock", LOCK),
        ("config/application.rb", ""),
        ("app/javascript/application.js", ""),
        ("package.json", r#"{"scripts": {"build": "esbuild"}}"#),
        ("package-lock.json", "{}"),
    ])
    .dockerfile;
    let (install, compile) = text.split_once("npm ci").unwrap();
    assert!(install.contains("COPY --from=node:"), "{text}");
    assert!(
        !compile.contains("npm run build") && compile.contains("assets:precompile\nRUN rm -rf node_modules"),
        "{text}"
    );
}

#[test]
fn gems_that_run_scripts_get_node_for_the_build_and_for_the_image() {
    let node = "COPY --from=node:24-slim /usr/local/bin/ /opt/node/bin/\n";
    for (lock, expected) in
        [("    execjs (2.9.1)\n", 2), ("    execjs (2.9.1)\n    mini_racer (0.16.0)\n", 0), ("    rails (7.2.1)\n", 0)]
    {
        let text = service(&[("Gemfile", ""), ("Gemfile.lock", lock), ("app.rb", "")]).dockerfile;
        assert_eq!(text.matches(node).count(), expected, "{text}");
    }
    let with_scripts =
        service(&[("Gemfile", "gem 'uglifier'\n"), ("app.rb", ""), ("package.json", r#"{"scripts": {"build": "x"}}"#)]);
    assert_order(&with_scripts.dockerfile, &["/usr/local/ /opt/node/\n", "bundle install", "FROM ruby:", node]);
}

#[test]
fn the_version_is_exact_only_if_bundler_checks_it() {
    for (gemfile, file, expected) in [
        ("", "", "Ruby 3.4 (the default)"),
        ("", "ruby-3.2.2\n", "Ruby 3.2 (.ruby-version: 3.2.2)"),
        ("ruby \"3.3.4\"\n", "3.2.2", "Ruby 3.3.4 (Gemfile)"),
        ("ruby '~> 3.2.0'\n", "", "Ruby 3.2 (Gemfile: ~> 3.2.0)"),
        ("ruby(\">= 3.1\", \"< 3.4\")\n", "", "Ruby 3.3 (Gemfile: >= 3.1,< 3.4)"),
        ("ruby file: \".ruby-version\"\n", "3.3.1\n", "Ruby 3.3.1 (Gemfile)"),
    ] {
        let mut files = vec![("Gemfile", gemfile), ("app.rb", "")];
        if !file.is_empty() {
            files.push((".ruby-version", file));
        }
        assert_eq!(service(&files).findings[1].to_string(), expected);
    }
    let error = testing::detected("web", Kind::Service, &[("Gemfile", "ruby '1.9.3'"), ("app.rb", "")])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("Gemfile asks for Ruby 1.9.3, but Boatyard has "), "{error}");
}

#[test]
fn the_start_command_comes_from_the_gems_and_the_files() {
    let gemfile = |gems: &'static str| ("Gemfile", gems);
    for (files, expected) in [
        (&[gemfile("gem 'puma'"), ("config.ru", "")][..], "bundle exec puma --bind tcp://0.0.0.0:$PORT"),
        (&[gemfile("gem(\"rackup\")"), ("config.ru", "")], "bundle exec rackup --host 0.0.0.0 --port $PORT"),
        (&[gemfile("gem 'sinatra'"), ("app.rb", "")], "bundle exec ruby app.rb"),
        (&[gemfile(""), ("config.ru", ""), ("Procfile", "web: bin/serve\n")], "bin/serve"),
    ] {
        assert_eq!(service(files).start.as_deref(), Some(expected), "{files:?}");
    }
    let worker =
        testing::detected("web", Kind::Worker, &[gemfile("gem 'puma'"), ("config.ru", ""), ("web.rb", "")]).unwrap();
    assert_eq!(worker.start.as_deref(), Some("bundle exec ruby web.rb"));
    for (files, expected) in [
        (
            &[gemfile("gem 'rack'"), ("config.ru", "")][..],
            "this is a Rack project, but nothing says how it starts. Add the gem puma",
        ),
        (&[gemfile("")], "this is a Ruby project"),
    ] {
        let error = testing::detected("web", Kind::Service, files).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn gems_in_the_source_need_all_of_it() {
    let text = service(&[("Gemfile", "gem 'shop', path: 'engine'\n"), ("app.rb", "")]).dockerfile;
    let (copied, _) = text.split_once("bundle install").unwrap();
    assert!(copied.contains("COPY . .\n"), "{text}");
    assert_eq!(text.matches("COPY . .").count(), 1, "{text}");
}

#[test]
fn jekyll_builds_a_site() {
    let detected = testing::site(&[("Gemfile", "gem 'jekyll'\n"), ("index.md", "")]);
    assert!(detected.dockerfile.contains("bundle exec jekyll build\n"), "{}", detected.dockerfile);
    assert!(detected.dockerfile.contains("for dir in _site _static "), "{}", detected.dockerfile);
    assert!(detected.dockerfile.contains("\nFROM scratch\n"), "{}", detected.dockerfile);
}
