//! The languages, and the order in which they are tried.

mod go;
mod hugo;
mod node;
mod php;
pub(crate) mod python;
mod ruby;
mod rust;
mod static_files;

use std::borrow::Cow;
use std::fmt;

use crate::dockerfile::ANY_APP;
use crate::procfile;
use crate::project::Project;
use crate::request::Request;
use crate::undetected::Undetected;

/// A language that detection knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Go.
    Go,
    /// Ruby, also for sites that Jekyll builds.
    Ruby,
    /// PHP, served by Apache.
    Php,
    /// Python.
    Python,
    /// Rust.
    Rust,
    /// Node.js, also for sites that it builds.
    Node,
    /// Sites that Hugo builds.
    Hugo,
    /// Files that are served as they are.
    StaticFiles,
}

impl Language {
    /// The value of `environment_slug` on App Platform, if it has one for this language.
    pub fn slug(self) -> Option<&'static str> {
        MODULES.iter().find(|it| it.language == self)?.slugs.first().copied()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Go => "Go",
            Self::Ruby => "Ruby",
            Self::Php => "PHP",
            Self::Python => "Python",
            Self::Rust => "Rust",
            Self::Node => "Node.js",
            Self::Hugo => "Hugo",
            Self::StaticFiles => "static files",
        })
    }
}

/// What was detected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The language.
    pub language: Language,
    /// Each decision with its reason, for the build log.
    pub findings: Vec<Finding>,
    /// The Dockerfile.
    pub dockerfile: String,
    /// The start command of the image, through a shell. `None` for static sites, and if the app spec has a
    /// `run_command`: then the image has no command of its own.
    pub start: Option<String>,
}

impl Detected {
    /// The same with caches of one app, whose ids begin with this text. What was detected has ids that stand for any app.
    pub fn for_app(self, id: &str) -> Self {
        Self { dockerfile: self.dockerfile.replace(ANY_APP, &ANY_APP.replace("app-", &format!("{id}-"))), ..self }
    }
}

/// One decision of the detection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was decided, for example "package manager pnpm".
    pub what: String,
    /// The reason, for example "pnpm-lock.yaml".
    pub because: String,
}

impl Finding {
    pub(crate) fn new(what: impl Into<String>, because: impl Into<String>) -> Self {
        Self { what: what.into(), because: because.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.what, self.because)
    }
}

/// One language: whether a project is of it, and how it is built.
struct Module {
    language: Language,
    /// Values of `environment_slug`.
    slugs: &'static [&'static str],
    /// Files that show the language, for people.
    looks_for: &'static str,
    /// The file that shows the language.
    evidence: fn(&Project) -> Option<String>,
    build: fn(&Project, &Request<'_>) -> Result<Detected, Undetected>,
}

/// In the order in which they are tried. Languages whose projects often contain a `package.json` for their assets come
/// before Node.js, and static files come last, because every web project may contain an `index.html`. Hugo comes before
/// Go, because its modules are those of Go, and Python before Rust, because packages of Python may contain code in Rust.
const MODULES: &[Module] = &[
    hugo::MODULE,
    go::MODULE,
    ruby::MODULE,
    php::MODULE,
    python::MODULE,
    rust::MODULE,
    node::MODULE,
    static_files::MODULE,
];

/// Detects the language of a project and writes a Dockerfile. Errors: [`Undetected`].
pub fn detect(project: &Project, request: &Request<'_>) -> Result<Detected, Undetected> {
    let hinted = MODULES.iter().filter(|it| request.slug.is_some_and(|slug| it.slugs.contains(&slug)));
    // The hint decides only between languages for which there is evidence.
    let found = hinted.chain(MODULES).find_map(|it| Some((it, (it.evidence)(project)?)));
    let found = found.or_else(|| static_files::page(project, request).map(|page| (&static_files::MODULE, page)));
    let (module, evidence) = found.ok_or_else(|| Undetected::Nothing {
        looked_for: MODULES.iter().map(|it| it.looks_for).collect::<Vec<_>>().join(", "),
    })?;
    let mut detected = (module.build)(project, request)?;
    detected.findings.insert(0, Finding::new(module.language.to_string(), evidence));
    Ok(detected)
}

/// A start command and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub command: String,
    pub because: String,
}

impl Start {
    pub(crate) fn new(command: impl Into<String>, because: impl Into<String>) -> Self {
        Self { command: command.into(), because: because.into() }
    }

    /// The start command of a component: the `run_command`, else a line of the `Procfile`, else what `detect` finds.
    pub(crate) fn of(project: &Project, request: &Request<'_>, detect: impl FnOnce() -> Option<Self>) -> Option<Self> {
        if let Some(command) = request.run_command {
            return Some(Self::new(command, "run_command"));
        }
        procfile::command(project, request).map(|command| Self::new(command, "Procfile")).or_else(detect)
    }

    pub(crate) fn finding(&self) -> Finding {
        Finding::new(format!("start command \"{}\"", self.command), &*self.because)
    }

    /// The command for the image. `None`: the app spec has it.
    pub(crate) fn for_image(&self, request: &Request<'_>) -> Option<&str> {
        request.run_command.is_none().then_some(&*self.command)
    }
}

/// A comment for the layer with the dependencies.
const DEPENDENCIES_FIRST: &str =
    "Dependencies come before the sources: they are installed again only if these files change.";

/// A text as one word of a shell command. It has quotes only if it needs them.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@=:,%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

/// Whether `word` is a word of a shell command.
pub(crate) fn mentions(command: &str, word: &str) -> bool {
    words(command).any(|it| it == word)
}

/// The words of a shell command.
fn words(command: &str) -> impl Iterator<Item = &str> {
    command.split(|c: char| c.is_whitespace() || "&|;()".contains(c))
}
