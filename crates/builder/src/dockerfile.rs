//! The Dockerfile of a build: one of the repository, or one that is generated for the detected language.

use detect::{Bases, Choice, Detected, Project, Undetected};
use source::{ContextPath, Directory, DockerfileChoice, Selection};

use crate::recipe::Hints;

/// What a component is built with at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildPlan {
    /// A Dockerfile of the repository.
    Dockerfile {
        /// Its path in the repository.
        path: String,
        /// Why no Dockerfile was generated, although `environment_slug` asks for one.
        undetected: Option<Undetected>,
    },
    /// A Dockerfile that was generated for the detected language.
    Detected(Detected),
}

/// The choice for one build.
pub(crate) struct Chosen {
    pub plan: BuildPlan,
    /// Determines the identity of the source.
    pub identity: Selection,
    /// What is built. A generated Dockerfile names the app's caches.
    pub build: Selection,
    /// Whether detection looked at a part of the files only.
    is_cut: bool,
}

impl Chosen {
    /// For a spec that names a Dockerfile.
    pub fn named(selection: &Selection, path: &ContextPath) -> Self {
        let plan = BuildPlan::Dockerfile { path: path.to_string(), undetected: None };
        Self { plan, identity: selection.clone(), build: selection.clone(), is_cut: false }
    }

    /// For a spec that names none. Errors: nothing was detected, and there is no Dockerfile.
    pub fn detected(selection: &Selection, found: Directory, hints: &Hints, bases: &Bases) -> Result<Self, Undetected> {
        let (project, is_cut) = (Project::new(found.paths, found.texts), found.cut);
        let written = |dockerfile: String| Selection {
            source_dir: selection.source_dir.clone(),
            dockerfile: DockerfileChoice::Written(dockerfile),
        };
        match detect::choose(&project, &hints.request(bases))? {
            Choice::Dockerfile { undetected } => {
                let mut path = selection.source_dir.as_str().to_owned();
                path.push_str(if path.is_empty() { "Dockerfile" } else { "/Dockerfile" });
                let plan = BuildPlan::Dockerfile { path, undetected };
                Ok(Self { plan, identity: selection.clone(), build: selection.clone(), is_cut })
            }
            Choice::Detected(for_any_app) => {
                // The identity of a source does not depend on the app, so that apps share images. Caches are not shared.
                let identity = written(for_any_app.dockerfile.clone());
                let detected = for_any_app.for_app(&hints.cache_scope);
                let build = written(detected.dockerfile.clone());
                Ok(Self { plan: BuildPlan::Detected(detected), identity, build, is_cut })
            }
        }
    }

    /// What is used and why, for the log of a build. `selection`: as the spec has it.
    pub fn log_lines(&self, selection: &Selection, hints: &Hints) -> Vec<String> {
        let place = match selection.source_dir.is_root() {
            true => "the repository".to_owned(),
            false => selection.source_dir.to_string(),
        };
        let slug = hints.slug.as_deref();
        let mut lines = match &self.plan {
            BuildPlan::Dockerfile { path, undetected: None } if selection.dockerfile == DockerfileChoice::Default => {
                vec![format!("Using the Dockerfile {path}, because the spec names neither a Dockerfile nor a language")]
            }
            BuildPlan::Dockerfile { path, undetected: None } => {
                vec![format!("Using the Dockerfile {path}, which the spec names")]
            }
            BuildPlan::Dockerfile { path, undetected: Some(why) } => vec![
                format!("Note: environment_slug is {:?}, but {why}", slug.unwrap_or_default()),
                format!("Using the Dockerfile {path} instead"),
            ],
            BuildPlan::Detected(detected) => {
                let reason = match slug {
                    Some(slug) => format!("environment_slug is {slug:?}"),
                    None => format!("{place} has no Dockerfile"),
                };
                let mut lines = vec![format!("Detecting the language, because {reason}")];
                lines.extend(detected.findings.iter().map(|it| format!("Detected: {it}")));
                lines.push("The generated Dockerfile:".to_owned());
                lines.extend(detected.dockerfile.lines().map(|line| format!("  {line}")));
                lines.push(format!(
                    "To keep it in the repository: boatyard detect {} --component {} --write",
                    hints.app, hints.component
                ));
                lines
            }
        };
        if self.is_cut {
            lines.insert(0, format!("Note: {place} has very many files; detection looks only at those near the root"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use detect::Kind;

    fn hints(app: &str, slug: Option<&str>) -> Hints {
        Hints {
            app: app.into(),
            component: "web".into(),
            kind: Kind::Service,
            slug: slug.map(String::from),
            build_command: None,
            run_command: None,
            output_dir: None,
            build_args: Vec::new(),
            build_secrets: Vec::new(),
            cache_scope: format!("cache-of-{app}"),
        }
    }

    fn selection(source_dir: &str) -> Selection {
        Selection::parse(Some(source_dir), None).expect("a path")
    }

    fn chosen(hints: &Hints, source_dir: &str, files: &[&str]) -> Result<Chosen, Undetected> {
        let paths = files.iter().map(|&it| it.to_owned()).collect();
        let found = Directory { paths, ..Directory::default() };
        Chosen::detected(&selection(source_dir), found, hints, &Bases::default())
    }

    #[test]
    fn the_identity_of_a_detected_source_does_not_depend_on_the_app_but_its_caches_do() {
        let of = |app| chosen(&hints(app, None), "", &["package.json", "server.js"]).expect("Node.js");
        let (shop, blog) = (of("shop"), of("blog"));
        assert_eq!(shop.identity, blog.identity);
        assert_ne!(shop.build, blog.build);
        let DockerfileChoice::Written(text) = shop.build.dockerfile else { panic!("it is generated") };
        assert!(text.contains("--mount=type=cache,id=cache-of-shop-root-.npm,"), "{text}");
    }

    #[test]
    fn the_log_says_what_is_used_and_why() {
        let lines = |hints: &Hints, source_dir: &str, files: &[&str]| {
            let chosen = chosen(hints, source_dir, files).expect("something to build");
            chosen.log_lines(&selection(source_dir), hints)
        };
        let (plain, html) = (hints("shop", None), hints("shop", Some("html")));
        assert_eq!(
            lines(&plain, "web", &["Dockerfile"]),
            ["Using the Dockerfile web/Dockerfile, because the spec names neither a Dockerfile nor a language"]
        );
        let detected = lines(&plain, "web", &["index.html"]);
        assert_eq!(
            detected[..2],
            ["Detecting the language, because web has no Dockerfile", "Detected: static files (index.html)"]
        );
        assert_eq!(
            detected.last().map(String::as_str),
            Some("To keep it in the repository: boatyard detect shop --component web --write")
        );
        assert!(detected.iter().any(|it| it.starts_with("  FROM ")), "{detected:?}");
        let by_slug = lines(&html, "", &["Dockerfile", "index.html"]);
        assert_eq!(by_slug[0], "Detecting the language, because environment_slug is \"html\"");
        let instead = lines(&html, "", &["Dockerfile"]);
        assert!(
            instead[0].starts_with("Note: environment_slug is \"html\", but no language was recognized"),
            "{instead:?}"
        );
        assert_eq!(instead[1], "Using the Dockerfile Dockerfile instead");
    }
}
