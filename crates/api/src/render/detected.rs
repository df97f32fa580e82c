//! The result of a detection, with App Platform's fields.

use controller::view::{BuildPlanView, BuiltWith, SourceHeadView};
use serde_json::{Value, json};

/// The port that services listen on unless their spec names one.
const PORT: u16 = 8080;

/// A repository, with one component for each plan. There are no templates.
pub(crate) fn detected(heads: &[SourceHeadView]) -> Value {
    let components: Vec<_> = heads.iter().flat_map(|it| &it.builds).map(component).collect();
    let problems: Vec<_> = heads.iter().flat_map(|it| &it.problems).collect();
    json!({
        "components": components,
        "template_found": false,
        "template_valid": false,
        "pending": false,
        "boatyard": { "problems": problems },
    })
}

fn component(plan: &BuildPlanView) -> Value {
    let (strategy, dockerfiles, slug, start) = match &plan.with {
        BuiltWith::Dockerfile { path, .. } => ("DOCKERFILE", vec![path.as_str()], None, None),
        BuiltWith::Generated { slug, start, .. } if slug.as_deref() == Some("html") => {
            ("HTML", Vec::new(), slug.as_deref(), start.as_deref())
        }
        BuiltWith::Generated { slug, start, .. } => ("BUILDPACK", Vec::new(), slug.as_deref(), start.as_deref()),
    };
    let ports = if strategy == "DOCKERFILE" { Vec::new() } else { vec![PORT] };
    json!({
        "strategy": strategy,
        "types": [],
        "dockerfiles": dockerfiles,
        "build_command": "",
        "run_command": start.unwrap_or_default(),
        "environment_slug": slug.unwrap_or_default(),
        "http_ports": ports,
        "env_vars": [],
        "source_dir": plan.source_dir,
        "boatyard": web::view::build_plan(plan),
    })
}
