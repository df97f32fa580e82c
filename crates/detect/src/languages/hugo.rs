//! Sites that Hugo builds.

use super::static_files::{self, Fallback, Site};
use super::{Detected, Finding, Language, Module};
use crate::bases::HUGO;
use crate::dockerfile::Dockerfile;
use crate::project::Project;
use crate::request::Request;
use crate::undetected::Undetected;

pub(super) const MODULE: Module =
    Module { language: Language::Hugo, slugs: &["hugo"], looks_for: "hugo.toml or config.toml", evidence, build };

fn evidence(project: &Project) -> Option<String> {
    let extensions = ["toml", "yaml", "yml", "json"];
    let find = |stems: &[&str]| {
        let mut names = stems.iter().flat_map(|stem| extensions.map(|it| format!("{stem}.{it}")));
        names.find(|name| project.has(name))
    };
    // Other programs have a file of the old name too.
    let has_content =
        ["content", "layouts", "themes", "archetypes"].iter().filter(|it| project.has_directory(it)).count() > 1;
    let old = || if has_content { find(&["config", "config/_default/config"]) } else { None };
    // With a build script, Hugo is one of several tools, which Node.js installs.
    let package = project.json("package.json").ok().flatten().unwrap_or_default();
    let found = find(&["hugo", "config/_default/hugo"]).or_else(old);
    found.filter(|_| package.pointer("/scripts/build").is_none())
}

fn build(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let mut dockerfile = Dockerfile::new(project, request, "Hugo");
    dockerfile.build_stage(&HUGO, HUGO.default, "build");
    dockerfile.packages("command -v hugo >/dev/null", &["hugo", "git", "ca-certificates"]);
    dockerfile.copy_sources();
    let command = request.build_command.unwrap_or("hugo --gc --minify");
    dockerfile.run(&format!("export HUGO_CACHEDIR=/root/.hugo; {command}"), &["/root/.hugo"]);
    let because = if request.build_command.is_some() { "build_command" } else { "default" };
    let findings = vec![Finding::new(format!("build command \"{command}\""), because)];
    let site = Site { own: &["public"], fallback: Fallback::NotFound };
    Ok(static_files::serve(dockerfile, request, Language::Hugo, site, findings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_are_known_by_their_configuration() {
        for (files, expected) in [
            (&[("hugo.toml", "")][..], Some("hugo.toml")),
            (&[("config/_default/hugo.yaml", "")], Some("config/_default/hugo.yaml")),
            (&[("config.toml", ""), ("content/a.md", ""), ("layouts/b.html", "")], Some("config.toml")),
            (&[("config.toml", ""), ("content/a.md", "")], None),
            (&[("config.toml", "")], None),
            (&[("hugo.toml", ""), ("package.json", r#"{"scripts": {"build": "hugo"}}"#)], None),
            (&[("hugo.toml", ""), ("package.json", "{}")], Some("hugo.toml")),
        ] {
            assert_eq!(evidence(&Project::of(files)).as_deref(), expected, "{files:?}");
        }
    }
}
