//! Static files: an `index.html` without a program.

use super::{Detected, Language, Module};
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::{Kind, Request};
use crate::undetected::Undetected;

pub(super) const MODULE: Module = Module {
    language: Language::StaticFiles,
    slugs: &["html"],
    looks_for: "index.html",
    evidence: |project| project.first(&["index.html", "public/index.html"]).map(str::to_owned),
    build,
};

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let _ = (project, Kind::StaticSite);
    let mut dockerfile = Dockerfile::new(request, "static files");
    dockerfile.final_stage("nginx", "1");
    Ok(Detected { language: Language::StaticFiles, findings: Vec::new(), dockerfile: dockerfile.text(), start: None })
}
