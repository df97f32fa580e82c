//! Node.js: programs, and sites that a framework builds.

pub(super) mod assets;
mod framework;
mod manager;
mod package;

use std::collections::BTreeSet;

use super::static_files::{self, Fallback, Site};
use super::{DEPENDENCIES_FIRST, Detected, Finding, Language, Module, Start, mentions, quoted, words};
use crate::bases::NODE;
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::system_packages::SystemPackages;
use crate::undetected::Undetected;
use crate::versions::{self, Choice, Wish};
use framework::Framework;
use manager::PackageManager;
use package::Package;

pub(super) const MODULE: Module = Module {
    language: Language::Node,
    slugs: &["node-js", "nodejs", "node", "js", "gatsby", "hexo"],
    looks_for: "package.json",
    evidence: |project| project.has("package.json").then(|| "package.json".to_owned()),
    build,
};

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let package = Package::read(project)?;
    let version = version(project, &package)?;
    let manager = PackageManager::of(project, &package, version.version);
    let framework = Framework::of(project, &package);
    let system = SystemPackages::new(project, []);
    let mut findings = vec![version.finding.clone(), manager.finding()];
    findings.extend(framework.iter().map(Framework::finding));
    findings.extend(system.finding());

    let start = match request.kind {
        Kind::StaticSite => None,
        Kind::Service | Kind::Worker | Kind::Job => {
            Start::of(project, request, || detect_start(project, &package, framework.as_ref()))
        }
    };
    let mut dockerfile =
        Dockerfile::new(project, request, &format!("Node.js {}, {}", version.version, manager.title()));
    dockerfile.build_stage(&NODE, version.version, "build");
    system.install(&mut dockerfile);
    let installation = Installation::of(project, &package);
    installation.before_sources(&mut dockerfile, project, request, &package, &manager);
    dockerfile.copy_sources();
    installation.after_sources(&mut dockerfile, &manager);
    findings.extend(build_step(&mut dockerfile, request, &package, &manager, framework.as_ref()));

    let Some(start) = start else {
        let site = framework.and_then(|it| it.site).or_else(|| static_files::plain(project));
        let site = match request.kind {
            Kind::StaticSite => site.or(Some(PLAIN_SITE)),
            Kind::Service => site,
            Kind::Worker | Kind::Job => None,
        };
        let help = framework.map_or(framework::HELP, |it| it.help);
        let no_start = || Undetected::NoStart { language: "Node.js".into(), help: help.into() };
        let site = site.ok_or_else(no_start)?;
        return Ok(static_files::serve(dockerfile, request, Language::Node, site, findings));
    };
    findings.push(start.finding());

    let bundle = framework.as_ref().filter(|it| it.server == Some(&start.command)).map_or(&[][..], |it| it.bundle);
    if bundle.is_empty() {
        findings.extend(prune(&mut dockerfile, &package, &manager, &start.command));
    }
    dockerfile.final_stage(&NODE, version.version);
    dockerfile.line("ENV NODE_ENV=production PATH=/workspace/node_modules/.bin:$PATH");
    for variable in framework.iter().flat_map(|it| it.variables) {
        dockerfile.line(&format!("ENV {variable}"));
    }
    if package.commands_behind(&start.command).iter().any(|it| mentions(it, manager.program())) {
        manager.install_program(&mut dockerfile);
    }
    if package.depends_on("@prisma/client") {
        dockerfile.comment("Prisma chooses its engine by the version of OpenSSL.");
        dockerfile.packages("command -v openssl >/dev/null", &["openssl", "ca-certificates"]);
    }
    system.install(&mut dockerfile);
    dockerfile.user();
    match bundle {
        [] => dockerfile.copy_app("build", "/workspace", "./"),
        paths => {
            for (from, to) in paths.iter().filter(|(from, _)| *from != "public" || project.has_directory("public")) {
                dockerfile.copy_app("build", &format!("/workspace/{from}"), to);
            }
        }
    }
    dockerfile.start(start.for_image(request));
    let start = start.for_image(request).map(str::to_owned);
    Ok(Detected { language: Language::Node, findings, dockerfile: dockerfile.text(), start })
}

/// A static site of no known framework: the platform's directories.
const PLAIN_SITE: Site = Site { own: &[], fallback: Fallback::NotFound };

/// The version from `engines`, `.nvmrc` or `.node-version`. Names of releases in these files mean the default.
fn version(project: &Project, package: &Package) -> Result<Choice, Undetected> {
    let engines = package.text("/engines/node").map(|range| Wish { place: "engines.node in package.json", range });
    let file = |place| project.text(place).map(|range| Wish { place, range: range.trim() });
    let wish = engines.or_else(|| file(".nvmrc")).or_else(|| file(".node-version"));
    let is_name = |range: &str| matches!(range, "node" | "stable" | "latest" | "current") || range.starts_with("lts");
    let wish = wish.filter(|it| !it.range.is_empty() && !is_name(&it.range.to_ascii_lowercase()));
    versions::choose(&NODE, wish.as_slice())
}

/// How the dependencies are installed, all of them, in a layer that stays as long as the files that name them.
struct Installation {
    /// It reads packages in the source.
    needs_sources: bool,
    /// The package's own scripts, which may read the source.
    scripts: Vec<&'static str>,
}

impl Installation {
    fn of(project: &Project, package: &Package) -> Self {
        Self { needs_sources: package.needs_sources(project), scripts: package.scripts_of_installation() }
    }

    fn before_sources(
        &self,
        dockerfile: &mut Dockerfile<'_>,
        project: &Project,
        request: &Request<'_>,
        package: &Package,
        manager: &PackageManager,
    ) {
        if !request.build_args.contains(&"NODE_ENV") {
            dockerfile.line("ARG NODE_ENV=production");
        }
        dockerfile.line("ENV PATH=/workspace/node_modules/.bin:$PATH");
        manager.install_program(dockerfile);
        if self.needs_sources {
            return;
        }
        dockerfile.comment(DEPENDENCIES_FIRST);
        dockerfile.copy_each(
            package.paths(project).into_iter().chain(manager::FILES.iter().copied().filter(|file| project.has(file))),
        );
        for directory in manager::DIRECTORIES.iter().filter(|it| project.has_directory(it)) {
            dockerfile.line(&format!("COPY {directory} ./{directory}"));
        }
        if !self.scripts.is_empty() {
            dockerfile.comment("The package's own scripts run later, when the sources are there.");
            dockerfile.line(WITHOUT_SCRIPTS);
        }
        manager.install(dockerfile);
    }

    fn after_sources(&self, dockerfile: &mut Dockerfile<'_>, manager: &PackageManager) {
        if self.needs_sources {
            manager.install(dockerfile);
            return;
        }
        for script in &self.scripts {
            dockerfile.run(&manager.run(script), manager.caches());
        }
    }
}

/// Takes the scripts of the installation from `package.json`. The sources bring them back.
const WITHOUT_SCRIPTS: &str = r#"RUN node -e 'const it = require("./package.json"); \
    for (const name of ["preinstall", "install", "postinstall", "prepare"]) delete it.scripts[name]; \
    require("fs").writeFileSync("package.json", JSON.stringify(it))'"#;

/// Runs the `build_command`, or else the script for it.
fn build_step(
    dockerfile: &mut Dockerfile<'_>,
    request: &Request<'_>,
    package: &Package,
    manager: &PackageManager,
    framework: Option<&Framework>,
) -> Option<Finding> {
    let site_script = framework.and_then(|it| it.site_script).filter(|_| request.kind == Kind::StaticSite);
    let scripts = [site_script, Some("heroku-postbuild"), Some("build")];
    let script = scripts.into_iter().flatten().find(|name| package.script(name).is_some());
    let (command, because) = match (request.build_command, script) {
        (Some(command), _) => (command.to_owned(), "build_command".to_owned()),
        (None, Some(name)) => (manager.run(name), format!("script \"{name}\" in package.json")),
        (None, None) => return None,
    };
    dockerfile.run(&command, framework.map_or(&[], |it| it.caches));
    Some(Finding::new(format!("build command \"{command}\""), because))
}

/// Removes development dependencies, unless the program needs one to start.
fn prune(
    dockerfile: &mut Dockerfile<'_>,
    package: &Package,
    manager: &PackageManager,
    command: &str,
) -> Option<Finding> {
    let words: BTreeSet<_> = package.commands_behind(command).into_iter().flat_map(words).collect();
    let needed = package.dev_dependencies().find(|name| words.contains(name));
    if let Some(needed) = needed {
        return Some(Finding::new(
            "development dependencies stay in the image",
            format!("the start command uses {needed}"),
        ));
    }
    package.dev_dependencies().next()?;
    match manager.prune() {
        Some(prune) => {
            dockerfile.comment("Nothing that only the build needs is in the image.");
            dockerfile.run(&prune, manager.caches());
            None
        }
        None => Some(Finding::new("development dependencies stay in the image", manager.title())),
    }
}

fn detect_start(project: &Project, package: &Package, framework: Option<&Framework>) -> Option<Start> {
    let is_development = |program: &str| framework.is_some_and(|it| it.is_development(program));
    let is_production = |name: &&&str| package.program(name).is_some_and(|it| !is_development(it));
    let scripts: &[_] =
        if framework.is_some_and(|it| it.has_production_script) { &["start:prod", "start"] } else { &["start"] };
    if let Some(name) = scripts.iter().find(is_production) {
        return package.start(name);
    }
    if let Some(command) = framework.and_then(|it| it.server) {
        return Some(Start::new(command, "the framework's server"));
    }
    // What npm starts without a script.
    if project.has("server.js") {
        return Some(Start::new("node server.js", "server.js"));
    }
    if framework.is_some() {
        return None;
    }
    // The build may make the file that `main` names.
    let is_made = |path: &&str| project.has(path) || package.script("build").is_some();
    if let Some(main) = package.text("/main").map(|it| it.trim_start_matches("./")).filter(is_made) {
        return Some(Start::new(format!("node {}", quoted(main)), "main in package.json"));
    }
    let file = project.first(&["index.js", "app.js", "main.js", "src/server.js", "src/index.js", "src/app.js"])?;
    Some(Start::new(format!("node {file}"), file))
}

#[cfg(test)]
mod tests;
