//! Ruby: Rails, other Rack apps, scripts, and the sites that Jekyll builds.

use std::collections::BTreeSet;

use super::node::assets::{self, Assets};
use super::{DEPENDENCIES_FIRST, Detected, Finding, Language, Module, Start, static_files};
use crate::bases::RUBY;
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::system_packages::SystemPackages;
use crate::undetected::Undetected;
use crate::versions::{self, Wish};

pub(super) const MODULE: Module = Module {
    language: Language::Ruby,
    slugs: &["ruby", "ruby-on-rails", "jekyll"],
    looks_for: "Gemfile",
    evidence: |project| project.first(&["Gemfile"]).map(str::to_owned),
    build,
};

/// Libraries that gems load by name at run time, so that no file refers to them.
const LOADED_BY_NAME: &[(&str, &str)] = &[("image_processing", "libvips42"), ("ruby-vips", "libvips42")];

/// Gems are where `gem` looks for them too, so that their programs run with and without `bundle exec`.
const ENV: &str = "ENV GEM_HOME=/opt/gems BUNDLE_APP_CONFIG=/opt/gems BUNDLE_WITHOUT=development:test PATH=/opt/gems/bin:$PATH \
                   LANG=C.UTF-8 RACK_ENV=production APP_ENV=production RAILS_ENV=production RAILS_LOG_TO_STDOUT=1 \
                   RAILS_SERVE_STATIC_FILES=1";

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let gems = Gems::read(project);
    let (version, finding) = version(project)?;
    let loaded = LOADED_BY_NAME.iter().filter(|(name, _)| gems.has(name)).map(|(_, package)| *package);
    let system = SystemPackages::new(project, loaded);
    let pipeline = pipeline(project, request, &gems);
    // Rails runs the scripts of package.json itself when it compiles the assets.
    let mut scripts = match &pipeline {
        Some(_) => Assets::without_build(project, request)?,
        None => Assets::of(project, request)?,
    };
    let needs_node = gems.needs_node();
    let mut findings = vec![finding, Finding::new("package manager Bundler", gems.file)];
    findings.extend(needs_node.map(|gem| Finding::new("Node.js", format!("the gem {gem}"))));
    findings.extend(system.finding());

    let mut dockerfile = Dockerfile::new(project, request, &format!("Ruby {version}"));
    dockerfile.build_stage(&RUBY, &version, "build");
    dockerfile.line(ENV);
    system.install(&mut dockerfile);
    if let Some(scripts) = &scripts {
        scripts.before_sources(&mut dockerfile, project);
    } else if needs_node.is_some() {
        assets::add_node(&mut dockerfile, request);
    }
    install_gems(&mut dockerfile, project);
    if let Some(scripts) = &mut scripts {
        scripts.after_sources(&mut dockerfile);
        findings.append(&mut scripts.findings);
    }
    if is_site(project, request, &gems) {
        dockerfile.run(request.build_command.unwrap_or("JEKYLL_ENV=production bundle exec jekyll build"), &[]);
        let site = static_files::Site { own: &["_site"], fallback: static_files::Fallback::NotFound };
        return Ok(static_files::serve(dockerfile, request, Language::Ruby, site, findings));
    }
    let start =
        Start::of(project, request, || start(project, request, &gems)).ok_or_else(|| no_start(project, &gems))?;
    if let Some(command) = request.build_command {
        dockerfile.run(command, &[]);
        findings.push(Finding::new(format!("build command \"{command}\""), "build_command"));
    } else if let Some(finding) = pipeline {
        // Rails before 7.1 does not know the first variable.
        dockerfile
            .run("SECRET_KEY_BASE_DUMMY=1 SECRET_KEY_BASE=only-for-the-build bundle exec rails assets:precompile", &[]);
        findings.push(finding);
    }
    if let Some(scripts) = &scripts {
        scripts.remove(&mut dockerfile);
    }
    findings.push(start.finding());
    system.record(&mut dockerfile, "/opt/gems");

    dockerfile.final_stage(&RUBY, &version);
    dockerfile.user();
    system.install_recorded(&mut dockerfile);
    dockerfile.line("COPY --from=build /opt/gems /opt/gems");
    dockerfile.line(ENV);
    if needs_node.is_some() {
        assets::add_node(&mut dockerfile, request);
    }
    dockerfile.copy_app("build", "/workspace", "./");
    dockerfile.start(start.for_image(request));
    let start = start.for_image(request).map(str::to_owned);
    Ok(Detected { language: Language::Ruby, findings, dockerfile: dockerfile.text(), start })
}

fn install_gems(dockerfile: &mut Dockerfile<'_>, project: &Project) {
    let is_locked = project.has("Gemfile.lock");
    if is_locked {
        dockerfile.line("ENV BUNDLE_FROZEN=1");
    }
    let gemfile = project.text("Gemfile").unwrap_or_default();
    let needs_source =
        ["path:", ":path", "gemspec", "eval_gemfile", "require_relative"].iter().any(|it| gemfile.contains(it));
    if needs_source {
        dockerfile.copy_sources();
    } else {
        dockerfile.comment(DEPENDENCIES_FIRST);
        let files = ["Gemfile", "Gemfile.lock", ".ruby-version", ".tool-versions"];
        dockerfile.copy_each(files.into_iter().filter(|file| project.has(file)));
    }
    // Downloads stay in this directory.
    dockerfile.run("bundle install", &["/opt/gems/cache"]);
    if !needs_source {
        dockerfile.copy_sources();
    }
}

/// The names of the gems.
struct Gems {
    names: BTreeSet<String>,
    file: &'static str,
}

impl Gems {
    fn read(project: &Project) -> Self {
        let gemfile = project.text("Gemfile").unwrap_or_default().lines().filter_map(|line| quoted(line.trim(), "gem"));
        let lock = project.text("Gemfile.lock").unwrap_or_default().lines();
        // "    rails (7.2.1)"; the dependencies of a gem are two columns further right.
        let locked = lock.filter_map(|line| line.strip_prefix("    ")?.split_once(" (")).map(|(name, _)| name);
        let names = gemfile.chain(locked.filter(|it| !it.starts_with(' '))).map(str::to_owned).collect();
        Self {
            names,
            file: if project.has("Gemfile.lock") { "Gemfile.lock" } else { "Gemfile, without a Gemfile.lock" },
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The gem that runs scripts with a program, already when the app loads it. Without a lock file, the gems that depend on
    /// it show it.
    fn needs_node(&self) -> Option<&'static str> {
        let gems = ["execjs", "uglifier", "terser", "coffee-rails", "autoprefixer-rails"];
        gems.into_iter().find(|it| self.has(it)).filter(|_| !self.has("mini_racer"))
    }
}

/// The first text in quotes of a line such as `gem "rails", "~> 7.1"`.
fn quoted<'a>(line: &'a str, method: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(method)?.trim_start_matches([' ', '(']);
    let quote = rest.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    rest[1..].split_once(quote).map(|(text, _)| text)
}

/// The version of the base image. Bundler refuses any other patch release than that of the Gemfile.
fn version(project: &Project) -> Result<(String, Finding), Undetected> {
    let file = project.text(".ruby-version").map(|it| it.trim().trim_start_matches("ruby-"));
    let gemfile = project.text("Gemfile").unwrap_or_default();
    let line = gemfile.lines().map(str::trim).find(|line| line.starts_with("ruby ") || line.starts_with("ruby("));
    // All requirements: `ruby ">= 3.1", "< 3.4"`.
    let declared = line
        .filter(|it| quoted(it, "ruby").is_some())
        .map(|line| line.replace('"', "'").split('\'').skip(1).step_by(2).collect::<Vec<_>>().join(","));
    let of_file = line.filter(|it| it.contains("file:")).and(file).map(str::to_owned);
    let declared = declared.or(of_file);
    let wish = match (&declared, file) {
        (Some(range), _) => Some(Wish { place: "Gemfile", range }),
        (None, Some(range)) => Some(Wish { place: ".ruby-version", range }),
        (None, None) => None,
    };
    let chosen = versions::choose(&RUBY, wish.as_slice())?;
    let is_exact = |it: &String| it.split('.').count() == 3 && it.split('.').all(|part| part.parse::<u32>().is_ok());
    Ok(match declared.filter(is_exact) {
        Some(exact) => (exact.clone(), Finding::new(format!("Ruby {exact}"), "Gemfile")),
        None => (chosen.version.to_owned(), chosen.finding),
    })
}

fn is_site(project: &Project, request: &Request<'_>, gems: &Gems) -> bool {
    let is_jekyll = gems.has("jekyll") && !project.has("config.ru") && request.run_command.is_none();
    request.kind == Kind::StaticSite || (is_jekyll && request.kind == Kind::Service)
}

fn is_rails(project: &Project, gems: &Gems) -> bool {
    project.has("config/application.rb") && (gems.has("rails") || gems.has("railties"))
}

/// Why assets are compiled.
fn pipeline(project: &Project, request: &Request<'_>, gems: &Gems) -> Option<Finding> {
    let pipelines = ["propshaft", "sprockets-rails", "sprockets", "shakapacker", "webpacker", "vite_rails"];
    let pipeline = pipelines.iter().find(|it| gems.has(it))?;
    let has_assets = project.has_directory("app/assets") || project.has_directory("app/javascript");
    (is_rails(project, gems) && has_assets && request.kind == Kind::Service)
        .then(|| Finding::new("assets:precompile", format!("the gem {pipeline}")))
}

fn start(project: &Project, request: &Request<'_>, gems: &Gems) -> Option<Start> {
    let script = |names: &[&str]| {
        let name = project.first(names)?;
        Some(Start::new(format!("bundle exec ruby {name}"), name))
    };
    let own = format!("{}.rb", request.component);
    if request.kind != Kind::Service {
        return script(&[&own, "worker.rb", "main.rb", "app.rb"]);
    }
    if is_rails(project, gems) || project.has("config.ru") {
        let because = if is_rails(project, gems) { "Rails" } else { "config.ru" };
        return rack_server(gems).map(|(gem, command)| Start::new(command, format!("{because} and the gem {gem}")));
    }
    // Sinatra listens on all addresses, because APP_ENV is `production`, and on the port of the variable PORT.
    script(&["app.rb", "main.rb", "server.rb"])
}

/// The command of the first server among the gems.
fn rack_server(gems: &Gems) -> Option<(&'static str, &'static str)> {
    [
        ("puma", "bundle exec puma --bind tcp://0.0.0.0:$PORT"),
        ("falcon", "bundle exec falcon serve --bind http://0.0.0.0:$PORT"),
        ("unicorn", "bundle exec unicorn --host 0.0.0.0 --port $PORT"),
        ("thin", "bundle exec thin start --address 0.0.0.0 --port $PORT"),
        ("rackup", "bundle exec rackup --host 0.0.0.0 --port $PORT"),
        ("webrick", "bundle exec rackup --host 0.0.0.0 --port $PORT"),
    ]
    .into_iter()
    .find(|(gem, _)| gems.has(gem))
}

fn no_start(project: &Project, gems: &Gems) -> Undetected {
    let (language, help) = if is_rails(project, gems) {
        ("Rails", "Add the gem puma, or a Procfile")
    } else if project.has("config.ru") {
        ("Rack", "Add the gem puma, or a Procfile")
    } else {
        ("Ruby", "Add a config.ru and the gem puma, an app.rb, or a Procfile")
    };
    Undetected::NoStart { language: language.into(), help: help.into() }
}

#[cfg(test)]
mod tests;
