//! What a component would be built with.

use serde::{Deserialize, Serialize};

/// What a component would be built with at a commit, or in a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildPlan {
    /// Name of the component.
    pub component: String,
    /// Its directory in the repository; empty for the root.
    pub source_dir: String,
    /// Path of the Dockerfile in the repository; null if one is generated.
    pub dockerfile_path: Option<String>,
    /// Why no Dockerfile was generated, although the spec has an `environment_slug`.
    pub undetected: Option<String>,
    /// The detected language; null if the repository has a Dockerfile.
    pub language: Option<String>,
    /// Each decision of the detection with its reason, as `package manager pnpm (pnpm-lock.yaml)`.
    pub findings: Vec<String>,
    /// The start command of the generated image, if it has one.
    pub start: Option<String>,
    /// The generated Dockerfile.
    pub dockerfile: Option<String>,
}

impl BuildPlan {
    /// What is used, in one or two sentences.
    pub fn summary(&self) -> String {
        let name = &self.component;
        let used = match (&self.dockerfile_path, &self.language) {
            (Some(path), _) => format!("{name} is built with the Dockerfile {path}."),
            (None, Some(language)) => format!("{name} is built with a generated Dockerfile for {language}."),
            (None, None) => format!("It is not known what {name} is built with."),
        };
        match &self.undetected {
            Some(why) => format!("The spec has an environment_slug, but {}. {used}", why.trim_end_matches('.')),
            None => used,
        }
    }

    /// The path that a generated Dockerfile should have in the repository, so that a spec can name it.
    pub fn path_to_keep(&self) -> String {
        match self.source_dir.as_str() {
            "" => "Dockerfile".to_owned(),
            directory => format!("{directory}/Dockerfile"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_is_used() {
        let web = || BuildPlan { component: "web".into(), ..BuildPlan::default() };
        let generated = BuildPlan { language: Some("Go".into()), ..web() };
        assert_eq!(generated.summary(), "web is built with a generated Dockerfile for Go.");
        let existing = BuildPlan { dockerfile_path: Some("a/Dockerfile".into()), ..web() };
        assert_eq!(existing.summary(), "web is built with the Dockerfile a/Dockerfile.");
        let instead = BuildPlan { undetected: Some("no language was recognized.".into()), ..existing };
        assert_eq!(
            instead.summary(),
            "The spec has an environment_slug, but no language was recognized. web is built with the Dockerfile a/Dockerfile."
        );
    }
}
