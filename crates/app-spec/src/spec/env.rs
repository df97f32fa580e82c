//! Environment variables and their secrets.

use std::fmt;

use crate::diagnostic::{Code, Diagnostic};
use crate::secret::{SecretText, is_sealed};
use crate::suggest::{shown, shown_key};
use crate::tree::{Entry, Kind, Node, Style, is_ambiguous, is_old_boolean};
use crate::value::form;
use crate::value::rule::{ANY, Complaint};
use crate::value::{AMBIGUOUS, Reader, Rule, Shape, SpecValue, Writer, object, words};

object! {
    /// One variable, of a component or of the whole app.
    "an environment variable" struct EnvVar labelled "key" key finish classify_value {
        /// The variable's name: letters, digits and `_`, not starting with a digit.
        key: String = ANY.required().of_form(variable_name).private().like("^[_A-Za-z][_A-Za-z0-9]*$"),
        /// Text with references, or a secret.
        value: EnvValue = ANY,
        /// When the variable exists; see [`EnvVar::scope`] for the default.
        scope: Option<EnvScope> = ANY.or("RUN_AND_BUILD_TIME"),
        /// Whether the value is a secret. Not a secret when absent.
        kind as "type": Option<EnvKind> = ANY.or("GENERAL"),
    }
}

words! {
    /// When a variable exists.
    enum EnvScope {
        /// The same as RUN_AND_BUILD_TIME.
        Unset = "UNSET",
        /// In containers only.
        RunTime = "RUN_TIME",
        /// In builds only.
        BuildTime = "BUILD_TIME",
        /// In containers and builds, the default.
        RunAndBuildTime = "RUN_AND_BUILD_TIME",
    }
}

words! {
    /// Whether a value is shown.
    enum EnvKind {
        /// Shown to everyone who may read the spec.
        General = "GENERAL",
        /// Stored sealed, never shown.
        Secret = "SECRET",
    }
}

/// The value of a variable.
#[derive(Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// The text as written, with unresolved references. Absent and empty are the same.
    Plain(String),
    /// `type: SECRET` with its value.
    Secret(SecretText),
    /// `type: SECRET` with a sealed value, `EV[1:…]`.
    Sealed(String),
    /// `type: SECRET` without a value. The user must supply it, or it is copied from the previous spec.
    Missing,
}

impl Default for EnvValue {
    fn default() -> EnvValue {
        EnvValue::Plain(String::new())
    }
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnvValue::Plain(text) => f.debug_tuple("Plain").field(text).finish(),
            EnvValue::Secret(_) => f.write_str("Secret(…)"),
            EnvValue::Sealed(_) => f.write_str("Sealed(…)"),
            EnvValue::Missing => f.write_str("Missing"),
        }
    }
}

impl EnvScope {
    /// Whether a variable of this scope exists in containers.
    pub fn is_run_time(self) -> bool {
        self != EnvScope::BuildTime
    }

    /// Whether a variable of this scope exists in builds.
    pub fn is_build_time(self) -> bool {
        self != EnvScope::RunTime
    }
}

impl EnvVar {
    /// The scope in force: both, when none is given.
    pub fn scope(&self) -> EnvScope {
        match self.scope {
            None | Some(EnvScope::Unset) => EnvScope::RunAndBuildTime,
            Some(scope) => scope,
        }
    }

    /// Whether the value is a secret.
    pub fn is_secret(&self) -> bool {
        self.kind == Some(EnvKind::Secret)
    }

    /// Runs once all fields are read, because `type` may come after `value` in the text.
    fn classify_value(&mut self, node: &Node, reader: &mut Reader) {
        if let Kind::Mapping(entries) = &node.kind
            && !entries.iter().all(is_public)
        {
            let others = entries.iter().filter(|entry| !matches!(&*entry.key, "key" | "scope" | "type"));
            others.for_each(|entry| reader.hide(&entry.value));
        }
        if !self.is_secret() {
            return;
        }
        self.value = match std::mem::take(&mut self.value) {
            EnvValue::Plain(text) if text.is_empty() => EnvValue::Missing,
            EnvValue::Plain(text) if is_sealed(&text) => EnvValue::Sealed(text),
            EnvValue::Plain(text) => EnvValue::Secret(SecretText::new(text)),
            other => other,
        };
    }
}

/// Whether an entry belongs to a variable that is not a secret. With a misspelt `type`, the variable may be a secret.
fn is_public(entry: &Entry) -> bool {
    let is_general = || match &entry.value.kind {
        Kind::Scalar(scalar) => scalar.text.is_empty() || scalar.text.eq_ignore_ascii_case("GENERAL"),
        Kind::Sequence(_) | Kind::Mapping(_) => false,
    };
    matches!(&*entry.key, "key" | "value" | "scope") || &*entry.key == "type" && is_general()
}

/// Checks the form of a key. A message quotes only the name at its start, because a value may follow it by mistake.
fn variable_name(text: &str) -> Result<(), Complaint> {
    form::env_key(text).map_err(|complaint| {
        let message = complaint.message.replace(&shown(text), &shown_key(text));
        Complaint { message, ..complaint }
    })
}

impl SpecValue for EnvValue {
    fn shape() -> Shape {
        Shape::Text
    }

    /// Reads the text verbatim: `012`, `1.10` and `on` stay as written.
    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<EnvValue> {
        let text = reader.text(node, rule)?;
        if let Kind::Scalar(scalar) = &node.kind
            && scalar.style == Style::Plain
            && scalar.meaning() == crate::tree::Plain::Text
            && is_ambiguous(&text)
            && !is_old_boolean(&text)
        {
            reader.report(Diagnostic::warning(Code::Converted, "", AMBIGUOUS).help("put it in quotes"));
        }
        Some(EnvValue::Plain(text))
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<Node> {
        match self {
            EnvValue::Plain(text) => Some(Node::text(text)),
            EnvValue::Secret(secret) => Some(Node::text(writer.sealed(secret))),
            EnvValue::Sealed(sealed) => Some(Node::text(sealed)),
            EnvValue::Missing => None,
        }
    }

    fn is_zero(&self) -> bool {
        matches!(self, EnvValue::Plain(text) if text.is_empty())
    }
}
