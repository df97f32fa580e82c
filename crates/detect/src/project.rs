//! The files of a source: all paths, and the texts of those that detection reads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Undetected;

/// The files below the source directory. Paths are relative to it and have no leading slash.
#[derive(Debug, Default, Clone)]
pub struct Project {
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

/// The names of files whose text detection reads, wherever they are.
const WANTED: &[&str] = &["Procfile"];

/// Whether detection reads the text of this file. Callers pass the texts of these files to [`Project::new`].
pub fn is_wanted(path: &str) -> bool {
    WANTED.contains(&path.rsplit('/').next().unwrap_or(path))
}

impl Project {
    /// `paths`: all regular files, or those near the root if there are many. `texts`: by path, of files that are
    /// [wanted](is_wanted); a file that is too long or not UTF-8 is left out.
    pub fn new(paths: impl IntoIterator<Item = String>, texts: BTreeMap<String, String>) -> Self {
        let paths = paths.into_iter().chain(texts.keys().cloned()).collect();
        Self { paths, texts }
    }

    /// Whether there is a file at this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The first of these files that exists.
    pub(crate) fn first<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// All paths, sorted.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }

    /// The text of a wanted file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// A wanted file, read as JSON. `None` if there is no such file. Errors: [`Undetected::Unreadable`].
    pub(crate) fn json(&self, path: &str) -> Result<Option<Value>, Undetected> {
        let Some(text) = self.text(path) else { return Ok(None) };
        let unreadable = |why: serde_json::Error| Undetected::Unreadable { file: path.into(), why: why.to_string() };
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map(Some).map_err(unreadable)
    }
}
