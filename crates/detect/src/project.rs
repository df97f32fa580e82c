//! The files of a source: all paths, and the texts of those that detection reads.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Undetected;
use crate::languages::python;

/// The files below the source directory. Paths are relative to it and have no leading slash.
#[derive(Debug, Default, Clone)]
pub struct Project {
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
}

/// The names of files whose text detection reads, wherever they are.
const WANTED: &[&str] = &[
    "Procfile",
    // Node.js.
    "package.json",
    ".nvmrc",
    ".node-version",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    ".npmrc",
    ".yarnrc",
    ".yarnrc.yml",
    "bunfig.toml",
    "angular.json",
    // PHP.
    "composer.json",
    "composer.lock",
    // Python.
    "pyproject.toml",
    "Pipfile",
    "setup.py",
    "runtime.txt",
    ".python-version",
    "settings.py",
    "manage.py",
    // Go.
    "go.mod",
    // Ruby.
    "Gemfile",
    "Gemfile.lock",
    ".ruby-version",
    // Rust.
    "Cargo.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
    // Hugo.
    "hugo.toml",
    "config.toml",
    "theme.toml",
    // Every language.
    "Aptfile",
];

/// Beginnings of such names; each is followed by `.js`, `.mjs`, `.cjs`, `.ts` or `.mts`.
const WANTED_CONFIGS: &[&str] = &["next.config", "nuxt.config", "astro.config", "svelte.config", "react-router.config"];

/// Whether detection reads the text of this file. Callers pass the texts of these files to [`Project::new`].
pub fn is_wanted(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_script = |extension: &str| matches!(extension, "js" | "mjs" | "cjs" | "ts" | "mts");
    let is_config = |(stem, extension)| WANTED_CONFIGS.contains(&stem) && is_script(extension);
    WANTED.contains(&name) || name.rsplit_once('.').is_some_and(is_config) || is_wanted_source(path, name)
}

/// Lists of requirements, settings of Django, and sources near the root that may contain the program or the app.
fn is_wanted_source(path: &str, name: &str) -> bool {
    let depth = path.matches('/').count();
    match name.rsplit_once('.') {
        Some((_, "txt")) => path.contains("requirements") || path.contains("constraints"),
        Some((_, "py")) => depth <= 2 && python::start::MODULES.contains(&name) || path.contains("settings/"),
        Some((_, "go")) => depth == 0 || depth <= 2 && path.starts_with("cmd/"),
        _ => false,
    }
}

impl Project {
    /// `paths`: all regular files, or those near the root if there are many. `texts`: by path, of files that are
    /// [wanted](is_wanted), without a byte order mark; a file that is too long or not text is left out.
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

    /// The paths that begin with this text, sorted. It is as fast as they are few.
    pub(crate) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let from = (std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded);
        self.paths.range::<str, _>(from).map(String::as_str).take_while(move |path| path.starts_with(prefix))
    }

    /// Whether there is a file below this directory.
    pub(crate) fn has_directory(&self, path: &str) -> bool {
        self.below(&format!("{path}/")).next().is_some()
    }

    /// The paths whose last part is this name, sorted.
    pub(crate) fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.paths().filter(move |path| path.rsplit('/').next() == Some(name))
    }

    /// A wanted file, read as JSON. `None` if there is no such file. Errors: [`Undetected::Unreadable`].
    pub(crate) fn json(&self, path: &str) -> Result<Option<Value>, Undetected> {
        let Some(text) = self.text(path) else { return Ok(None) };
        let unreadable = |why: serde_json::Error| Undetected::Unreadable { file: path.into(), why: why.to_string() };
        serde_json::from_str(text).map(Some).map_err(unreadable)
    }

    /// A wanted file, read as TOML. `None` if there is no such file. Errors: [`Undetected::Unreadable`].
    pub(crate) fn toml(&self, path: &str) -> Result<Option<Value>, Undetected> {
        let Some(text) = self.text(path) else { return Ok(None) };
        let unreadable = |why: toml::de::Error| Undetected::Unreadable { file: path.into(), why: why.to_string() };
        toml::from_str(text).map(Some).map_err(unreadable)
    }
}

#[cfg(test)]
impl Project {
    /// A project with these files; the text of those that are not wanted is dropped, as callers do.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let texts = files.iter().filter(|(path, _)| is_wanted(path));
        let texts = texts.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self::new(files.iter().map(|(path, _)| (*path).to_owned()), texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wanted_files_are_known_by_name_in_every_directory() {
        for path in ["package.json", "apps/web/package.json", "Procfile", "next.config.mjs", "a/nuxt.config.ts"] {
            assert!(is_wanted(path), "{path}");
        }
        for path in ["my-package.json", "next.config", "next.config.json", "package.json/x", "index.js"] {
            assert!(!is_wanted(path), "{path}");
        }
    }

    #[test]
    fn sources_are_wanted_near_the_root_only() {
        for path in ["requirements/dev.txt", "app/main.py", "a/config/settings/base.py", "shop.go", "cmd/api/main.go"] {
            assert!(is_wanted(path), "{path}");
        }
        for path in ["robots.txt", "a/b/c/main.py", "app/models.py", "internal/shop.go", "cmd/api/internal/main.go"] {
            assert!(!is_wanted(path), "{path}");
        }
    }

    #[test]
    fn a_directory_is_known_by_a_file_in_it() {
        let project = Project::of(&[("prisma/schema.prisma", ""), ("prism", "")]);
        assert!(project.has_directory("prisma"));
        assert!(!project.has_directory("prism"));
    }
}
