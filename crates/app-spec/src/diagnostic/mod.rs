//! Diagnostics: what is wrong with a spec, where, and what to write instead.
//!
//! A [`Diagnostic`] is plain data. The renderer in [`crate::render`] draws it for people, `Serialize` writes it for
//! programs, and [`Diagnostic::api_message`] words it for API clients. Messages quote names, numbers and enum words.
//! They never quote the value of an environment variable or a credential.

mod code;
mod list;

pub use code::Code;
pub use list::Diagnostics;

use std::fmt;

use serde::Serialize;
use serde::ser::SerializeStruct;

/// A place in the text: the range of a key or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Offset of the first byte in the original text.
    pub start: usize,
    /// Offset of the byte after the last one.
    pub end: usize,
}

/// Whether a problem refuses the spec or is only a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The spec is refused.
    Error,
    /// The spec is accepted, but something was converted, has no effect or may be a mistake.
    Warning,
}

impl Severity {
    /// The word used in rendered text and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One problem and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the problem refuses the spec.
    pub severity: Severity,
    /// What kind of problem.
    pub code: Code,
    /// The path of the field, such as `services[0].http_port`. Empty for the whole text.
    pub path: String,
    /// The place in the text. `None` if the spec did not come from a text.
    pub place: Option<Place>,
    /// What is wrong: one sentence without a final dot.
    pub message: String,
    /// What to write instead, if known.
    pub help: Option<Box<str>>,
    /// A second place that explains the problem, such as the first use of a duplicate.
    pub related: Option<Box<Related>>,
}

/// The other place of a conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The path of the other field. May be empty.
    pub path: String,
    /// The place in the text, if known.
    pub place: Option<Place>,
    /// The note at that place, for example "first given here".
    pub message: String,
}

impl Diagnostic {
    /// Creates a problem that refuses the spec.
    pub fn error(code: Code, path: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, path.into(), message.into())
    }

    /// Creates a warning, which does not refuse the spec.
    pub fn warning(code: Code, path: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, path.into(), message.into())
    }

    fn new(severity: Severity, code: Code, path: String, message: String) -> Diagnostic {
        Diagnostic { severity, code, path, place: None, message, help: None, related: None }
    }

    /// Adds advice.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into().into_boxed_str());
        self
    }

    /// Sets the place.
    pub fn at(mut self, place: Option<Place>) -> Diagnostic {
        self.place = place;
        self
    }

    /// Adds the other place of a conflict.
    pub fn related(mut self, path: impl Into<String>, place: Option<Place>, message: impl Into<String>) -> Diagnostic {
        self.related = Some(Box::new(Related { path: path.into(), place, message: message.into() }));
        self
    }

    /// The line, from 1, if known.
    pub fn line(&self) -> Option<u32> {
        self.place.map(|p| p.line)
    }

    /// The column in characters, from 1, if known.
    pub fn column(&self) -> Option<u32> {
        self.place.map(|p| p.column)
    }

    /// Whether the problem refuses the spec.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The problem in the form that App Platform's clients know: `error validating app spec field "services.http_port":
    /// 70000 is out of range`, plus the line if known.
    ///
    /// As in the original, the field has no list positions. A warning does not use the word "error".
    pub fn api_message(&self) -> String {
        let mut text = String::from(if self.is_error() { "error validating app spec" } else { "app spec" });
        if !self.path.is_empty() {
            text.push_str(&format!(" field \"{}\"", without_positions(&self.path)));
        }
        text.push_str(&format!(": {}", self.message));
        if let Some(help) = &self.help {
            text.push_str(&format!("; {help}"));
        }
        if let Some(line) = self.line() {
            text.push_str(&format!(" (line {line})"));
        }
        text
    }
}

/// `services[0].http_port` → `services.http_port`.
fn without_positions(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect()
}

impl fmt::Display for Diagnostic {
    /// Writes one line: `12:7 services[0].http_port: 70000 is out of range (help)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{}:{} ", place.line, place.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl Serialize for Diagnostic {
    /// Writes `{"severity","code","path","line","column","message","help"}`. Unknown values are null.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Diagnostic", 7)?;
        out.serialize_field("severity", self.severity.as_str())?;
        out.serialize_field("code", self.code.as_str())?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("line", &self.line())?;
        out.serialize_field("column", &self.column())?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("help", &self.help)?;
        out.end()
    }
}
