//! Scripts and styles of projects in other languages, which a script of `package.json` builds. They are built in the
//! stage of the other language, because both may use each other's programs: a plug-in of Vite runs PHP, and Rails runs npm.

use super::{Installation, Package, PackageManager, build_step, version};
use crate::bases::NODE;
use crate::dockerfile::Dockerfile;
use crate::languages::{Finding, mentions};
use crate::project::Project;
use crate::request::Request;
use crate::undetected::Undetected;

/// Where Node.js is in stages of other languages.
const PATH: &str = "ENV PATH=/opt/node/bin:$PATH";

/// Adds the program `node` to a stage of another language, whose packages run scripts with it.
pub(in crate::languages) fn add_node(dockerfile: &mut Dockerfile<'_>, request: &Request<'_>) {
    dockerfile
        .line(&format!("COPY --from={} /usr/local/bin/ /opt/node/bin/", request.bases.run_image(&NODE, NODE.default)));
    dockerfile.line(PATH);
}

pub(in crate::languages) struct Assets<'a> {
    request: Request<'a>,
    package: Package,
    version: &'static str,
    manager: PackageManager,
    installation: Installation,
    pub findings: Vec<Finding>,
}

impl<'a> Assets<'a> {
    /// `None`: neither `package.json` nor the `build_command` says that something is built with Node.js. Errors: as for a
    /// project in Node.js.
    pub fn of(project: &Project, request: &Request<'a>) -> Result<Option<Self>, Undetected> {
        let programs = ["npm", "npx", "pnpm", "yarn", "bun", "node"];
        let is_commanded = request.build_command.is_some_and(|it| programs.iter().any(|word| mentions(it, word)));
        let has_build = Package::read(project)?.script("build").is_some();
        if has_build || is_commanded { Self::read(project, request.clone()) } else { Ok(None) }
    }

    /// Node.js and the dependencies, for a program of the other language that runs the scripts. `None`: there is no
    /// `package.json`. Errors: as for [`Self::of`].
    pub fn without_build(project: &Project, request: &Request<'a>) -> Result<Option<Self>, Undetected> {
        // A build command replaces the scripts.
        let build_command = request.build_command.or(Some(""));
        Self::read(project, Request { build_command, ..request.clone() })
    }

    fn read(project: &Project, request: Request<'a>) -> Result<Option<Self>, Undetected> {
        if !project.has("package.json") {
            return Ok(None);
        }
        let package = Package::read(project)?;
        let version = version(project, &package)?;
        let manager = PackageManager::of(project, &package, version.version);
        let installation = Installation::of(project, &package);
        let findings = vec![version.finding, manager.finding()];
        Ok(Some(Self { request, package, version: version.version, manager, installation, findings }))
    }

    /// Call this before the sources are copied: adds Node.js to the stage and installs the dependencies.
    pub fn before_sources(&self, dockerfile: &mut Dockerfile<'_>, project: &Project) {
        dockerfile.comment("Node.js builds the scripts and styles.");
        let image = self.request.bases.run_image(&NODE, self.version);
        dockerfile.line(&format!("COPY --from={image} /usr/local/ /opt/node/"));
        dockerfile.line(PATH);
        self.installation.before_sources(dockerfile, project, &self.request, &self.package, &self.manager);
    }

    /// Call this when the sources are there: runs the build script, unless the app spec has a `build_command`.
    pub fn after_sources(&mut self, dockerfile: &mut Dockerfile<'_>) {
        self.installation.after_sources(dockerfile, &self.manager);
        if self.request.build_command.is_none() {
            self.findings.extend(build_step(dockerfile, &self.request, &self.package, &self.manager, None));
        }
    }

    /// Call this after the last command that may use Node.js.
    pub fn remove(&self, dockerfile: &mut Dockerfile<'_>) {
        dockerfile.line("RUN rm -rf node_modules");
    }
}
