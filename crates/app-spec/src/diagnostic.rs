//! What is wrong with a spec, where, and what to write instead.
//!
//! A [`Diagnostic`] is plain data: the renderer in [`crate::render`] draws it for people, `Serialize` writes it for
//! programs, [`Diagnostic::api_message`] words it for API clients. Messages quote names, numbers and enum words; they
//! never quote the value of an environment variable or a credential.

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use serde::ser::SerializeStruct;

/// A place in the text: where a key or a value stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// First byte in the text as it was given.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// Whether the spec is refused or only remarked upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The spec is refused.
    Error,
    /// The spec is accepted; something was converted, has no effect or may not be what was meant.
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

/// What kind of problem it is: stable words for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// Not YAML or JSON.
    Syntax,
    /// Larger, deeper or more repetitive than a spec may be.
    TooLarge,
    /// A key is given twice in one mapping.
    DuplicateKey,
    /// A YAML tag such as `!!str` or `!Ref`.
    TagNotAllowed,
    /// A field that App Platform does not have at this place.
    UnknownField,
    /// A list where text belongs, text where a number belongs, and so on.
    WrongType,
    /// A word that is not among those allowed.
    UnknownValue,
    /// A number or a text length outside its limits.
    OutOfRange,
    /// A name that breaks the rule for names.
    BadName,
    /// A value that has not the form it should have.
    BadFormat,
    /// Text that a deploy tool should have replaced: `${NAME}` or `{{ name }}`.
    Unsubstituted,
    /// A required field is absent.
    Missing,
    /// Two fields that exclude each other.
    Conflict,
    /// Two components or databases with one name.
    NameClash,
    /// Two components on one path.
    RouteClash,
    /// A rule names a component that is not there.
    UnknownComponent,
    /// A reference that stays as text because nothing has that name.
    UnknownReference,
    /// A number or a boolean taken as text, or text taken as a number.
    Converted,
    /// Accepted, but probably not what was meant.
    Doubtful,
    /// The field is understood, but this version cannot run it.
    NotYet,
    /// The field is kept and returned, and changes nothing on one host.
    NoEffect,
    /// The value is missing or sealed by someone else, and must be given before the app can run.
    NeedsValue,
}

impl Code {
    /// The word used in JSON, for example `unknown_field`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Syntax => "syntax",
            Code::TooLarge => "too_large",
            Code::DuplicateKey => "duplicate_key",
            Code::TagNotAllowed => "tag_not_allowed",
            Code::UnknownField => "unknown_field",
            Code::WrongType => "wrong_type",
            Code::UnknownValue => "unknown_value",
            Code::OutOfRange => "out_of_range",
            Code::BadName => "bad_name",
            Code::BadFormat => "bad_format",
            Code::Unsubstituted => "unsubstituted",
            Code::Missing => "missing",
            Code::Conflict => "conflict",
            Code::NameClash => "name_clash",
            Code::RouteClash => "route_clash",
            Code::UnknownComponent => "unknown_component",
            Code::UnknownReference => "unknown_reference",
            Code::Converted => "converted",
            Code::Doubtful => "doubtful",
            Code::NotYet => "not_yet",
            Code::NoEffect => "no_effect",
            Code::NeedsValue => "needs_value",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One problem, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether the spec is refused because of it.
    pub severity: Severity,
    /// What kind of problem.
    pub code: Code,
    /// Which field, as in `services[0].http_port`; empty for the whole text.
    pub path: String,
    /// Where; `None` when the spec did not come from a text.
    pub place: Option<Place>,
    /// What is wrong, one sentence without a final dot.
    pub message: String,
    /// What to write instead, when we know.
    pub help: Option<String>,
    /// A second place that explains the first: where a duplicate was given before.
    pub related: Option<Box<Related>>,
}

/// The other place of a clash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The path of the other field; may be empty.
    pub path: String,
    /// Where it stands, when known.
    pub place: Option<Place>,
    /// What it says there, for example "first given here".
    pub message: String,
}

impl Diagnostic {
    /// A problem that refuses the spec.
    pub fn error(code: Code, path: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, path.into(), message.into())
    }

    /// A remark that does not refuse the spec.
    pub fn warning(code: Code, path: impl Into<String>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, path.into(), message.into())
    }

    fn new(severity: Severity, code: Code, path: String, message: String) -> Diagnostic {
        Diagnostic { severity, code, path, place: None, message, help: None, related: None }
    }

    /// The same with advice.
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// The same at a place.
    pub fn at(mut self, place: Option<Place>) -> Diagnostic {
        self.place = place;
        self
    }

    /// The same with the other place of the clash.
    pub fn related(mut self, path: impl Into<String>, place: Option<Place>, message: impl Into<String>) -> Diagnostic {
        self.related = Some(Box::new(Related { path: path.into(), place, message: message.into() }));
        self
    }

    /// Line, from 1, when known.
    pub fn line(&self) -> Option<u32> {
        self.place.map(|p| p.line)
    }

    /// Column in characters, from 1, when known.
    pub fn column(&self) -> Option<u32> {
        self.place.map(|p| p.column)
    }

    /// Whether it refuses the spec.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The problem in the words App Platform's clients know:
    /// `error validating app spec field "services.http_port": 70000 is out of range`, plus the line when known.
    ///
    /// The field has no list positions, as in the original.
    pub fn api_message(&self) -> String {
        let mut text = String::from("error validating app spec");
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
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

impl fmt::Display for Diagnostic {
    /// One line: `12:7 services[0].http_port: 70000 is out of range (help)`.
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
    /// `{"severity","code","path","line","column","message","help"}`; what is not known is null.
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

/// All problems of one reading, in the order of the text. Holds at most [`Diagnostics::LIMIT`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// How many more there were than are kept.
    pub(crate) omitted: usize,
    /// Byte ranges that the renderer must not show: the values of secrets.
    pub(crate) hidden: Vec<Range<usize>>,
}

impl Diagnostics {
    /// A text with more problems than this is not a spec; the rest is only counted.
    pub const LIMIT: usize = 200;

    /// Adds one, or counts it when there are too many already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < Self::LIMIT {
            self.list.push(diagnostic);
        } else {
            self.omitted += 1;
        }
    }

    /// Whether further problems are only counted, so that no work should go into wording them.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() >= Self::LIMIT
    }

    /// Counts one that nobody worded.
    pub(crate) fn count(&mut self) {
        self.omitted += 1;
    }

    /// How many problems were found beyond those kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// Whether anything in it refuses the spec.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }

    /// The first problem that refuses the spec.
    pub fn first_error(&self) -> Option<&Diagnostic> {
        self.list.iter().find(|d| d.is_error())
    }

    /// The list itself.
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.list
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Diagnostic> {
        self.list.iter_mut()
    }

    /// Orders by place; what has no place comes last, in the order it was found.
    pub(crate) fn sort(&mut self) {
        self.list.sort_by_key(|d| d.place.map_or(usize::MAX, |p| p.start));
    }
}

impl std::ops::Deref for Diagnostics {
    type Target = [Diagnostic];

    fn deref(&self) -> &[Diagnostic] {
        &self.list
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(one: Diagnostic) -> Diagnostics {
        Diagnostics { list: vec![one], ..Diagnostics::default() }
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, more: I) {
        more.into_iter().for_each(|d| self.push(d));
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.list)
    }
}

impl fmt::Display for Diagnostics {
    /// One line per problem, errors and warnings alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{}: {diagnostic}", diagnostic.severity.as_str())?;
        }
        match self.omitted {
            0 => Ok(()),
            n => write!(f, "\nand {n} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}
