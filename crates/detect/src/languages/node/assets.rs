//! Scripts and styles of projects in other languages, which a script of `package.json` builds.

use super::{Package, PackageManager, build_step, install, version};
use crate::bases::NODE;
use crate::dockerfile::Dockerfile;
use crate::languages::Finding;
use crate::project::Project;
use crate::request::Request;
use crate::undetected::Undetected;

/// Adds a stage `assets`, if `package.json` has a build script. In it the working directory is the source with what the
/// script made, without `node_modules`. `from`: an earlier stage whose working directory replaces the source. Returns
/// what was decided; `None`: there is no such stage. Errors: as for a project in Node.js.
pub(in crate::languages) fn stage(
    dockerfile: &mut Dockerfile<'_>,
    project: &Project,
    request: &Request<'_>,
    from: Option<&str>,
) -> Result<Option<Vec<Finding>>, Undetected> {
    let package = Package::read(project)?;
    if package.script("build").is_none() {
        return Ok(None);
    }
    let version = version(project, &package)?;
    let manager = PackageManager::of(project, &package, version.version);
    dockerfile.build_stage(&NODE, version.version, "assets");
    install(dockerfile, project, request, &package, &manager);
    if let Some(stage) = from {
        dockerfile.line(&format!("COPY --from={stage} /workspace ./"));
    }
    // The build command of the app spec belongs to the main language.
    let request = Request { build_command: None, ..request.clone() };
    let built = build_step(dockerfile, &request, &package, &manager, None);
    dockerfile.line("RUN rm -rf node_modules");
    Ok(Some([version.finding, manager.finding()].into_iter().chain(built).collect()))
}
