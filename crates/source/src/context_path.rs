//! Paths inside a repository, as people write them in a spec: `/`, `.`, `frontend`, `/frontend`, `./x`, `x/`.
//!
//! All of these are relative to the repository's root. A path that leaves the root is refused, not corrected.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A normalised path below a repository's root: parts joined by `/`, no leading or trailing slash; empty is the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContextPath(String);

/// Why a path was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} is not a path inside the repository: {why}")]
pub struct InvalidPath {
    /// The refused path, shortened.
    pub path: String,
    /// The rule it breaks.
    pub why: &'static str,
}

impl ContextPath {
    /// Normalises `text`. Errors: [`InvalidPath`] for `..`, backslashes, control characters, and overlong paths.
    pub fn parse(text: &str) -> Result<Self, InvalidPath> {
        let refuse = |why| Err(InvalidPath { path: text.chars().take(120).collect(), why });
        if text.len() > 4096 {
            return refuse("it is longer than 4096 bytes");
        }
        if text.chars().any(char::is_control) {
            return refuse("it contains a control character");
        }
        if text.contains('\\') {
            return refuse("it contains a backslash; parts are separated by \"/\"");
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return refuse("\"..\" is not allowed");
        }
        Ok(Self(parts.join("/")))
    }

    /// Whether this is the repository's root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The normalised path; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// This path followed by `below`.
    pub fn join(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{}/{}", self.0, below.0)),
        }
    }

    /// The rest of this path below `directory`, if it is inside.
    pub fn below(&self, directory: &Self) -> Option<Self> {
        if directory.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(directory.as_str())?.strip_prefix('/')?;
        Some(Self(rest.to_owned()))
    }
}

impl fmt::Display for ContextPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { &self.0 })
    }
}

impl TryFrom<String> for ContextPath {
    type Error = InvalidPath;
    fn try_from(text: String) -> Result<Self, InvalidPath> {
        Self::parse(&text)
    }
}

impl From<ContextPath> for String {
    fn from(path: ContextPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn all_spellings_of_a_path_are_equal() {
        for root in ["", "/", ".", "./", "//", "/./"] {
            assert!(ContextPath::parse(root).unwrap().is_root(), "{root:?}");
        }
        for form in ["frontend", "/frontend", "./frontend", "frontend/", "/frontend/", ".//frontend/."] {
            assert_eq!(ContextPath::parse(form).unwrap().as_str(), "frontend", "{form:?}");
        }
    }

    #[test]
    fn paths_that_leave_the_repository_or_contain_control_characters_are_refused() {
        for path in ["..", "../x", "a/../../b", "a/..", "a\\b", "a\0b", "a\nb", "..\\x"] {
            assert!(ContextPath::parse(path).is_err(), "{path:?}");
        }
        assert!(ContextPath::parse(&"a/".repeat(3000)).is_err());
        assert!(ContextPath::parse("a..b/...").is_ok());
    }

    #[test]
    fn below_compares_whole_parts() {
        let path = |text| ContextPath::parse(text).unwrap();
        assert_eq!(path("api/Dockerfile").below(&path("api")), Some(path("Dockerfile")));
        assert_eq!(path("api2/Dockerfile").below(&path("api")), None);
        assert_eq!(path("Dockerfile").below(&path("/")), Some(path("Dockerfile")));
        assert_eq!(path("api").join(&path("Dockerfile")), path("api/Dockerfile"));
    }
}
