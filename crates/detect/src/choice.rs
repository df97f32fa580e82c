//! Whether a component whose spec names no Dockerfile is built with the one in its source directory or with a generated
//! one.

use crate::languages::{Detected, detect};
use crate::project::Project;
use crate::request::Request;
use crate::undetected::Undetected;

/// What a component is built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The `Dockerfile` in the source directory.
    Dockerfile {
        /// Why no Dockerfile was generated, although `environment_slug` asks for one.
        undetected: Option<Undetected>,
    },
    /// A generated Dockerfile.
    Detected(Detected),
}

/// Chooses as App Platform does: without `environment_slug`, an existing Dockerfile comes first. With it, detection comes
/// first, and an existing Dockerfile serves if nothing is detected. Errors: [`Undetected`], and there is no Dockerfile.
pub fn choose(project: &Project, request: &Request<'_>) -> Result<Choice, Undetected> {
    let exists = project.has("Dockerfile");
    if exists && request.slug.is_none() {
        return Ok(Choice::Dockerfile { undetected: None });
    }
    match detect(project, request) {
        Err(why) if exists => Ok(Choice::Dockerfile { undetected: Some(why) }),
        found => found.map(Choice::Detected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bases, Kind};

    /// `Dockerfile`, `Dockerfile instead` of what the slug asks for, `generated` or `nothing`.
    fn chosen(slug: Option<&str>, files: &[&str]) -> &'static str {
        let files: Vec<_> = files.iter().map(|&path| (path, "")).collect();
        let bases = Bases::default();
        let request = Request { slug, ..Request::new("web", Kind::Service, &bases) };
        match choose(&Project::of(&files), &request) {
            Ok(Choice::Dockerfile { undetected: None }) => "Dockerfile",
            Ok(Choice::Dockerfile { undetected: Some(_) }) => "Dockerfile instead",
            Ok(Choice::Detected(_)) => "generated",
            Err(_) => "nothing",
        }
    }

    #[test]
    fn a_dockerfile_comes_first_unless_the_spec_has_a_slug() {
        let cases = [
            (None, &["Dockerfile", "index.html"][..], "Dockerfile"),
            (None, &["index.html"], "generated"),
            (None, &["web/Dockerfile"], "nothing"),
            (Some("html"), &["Dockerfile", "index.html"], "generated"),
            (Some("html"), &["Dockerfile"], "Dockerfile instead"),
            (Some("cobol"), &["index.html"], "generated"),
            (Some("html"), &["README.md"], "nothing"),
        ];
        for (slug, files, expected) in cases {
            assert_eq!(chosen(slug, files), expected, "{slug:?} {files:?}");
        }
    }
}
