//! The rules for a field's value beyond its type: limits, form, presence.

use super::form;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::suggest::shown;

/// The rules for one field.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// The field must be present and not empty.
    pub required: bool,
    /// The lowest number. Zero always means absent, so `min` 1 does not refuse it.
    pub min: i64,
    pub max: i64,
    /// The longest text, in characters.
    pub longest: usize,
    /// Whether empty text differs from absent text. On App Platform, only in the match strings of ingress rules.
    pub keeps_empty: bool,
    /// Whether refused text must not be shown, because it may hold a login.
    pub may_hold_login: bool,
    /// The form that the text must have.
    pub form: Option<Form>,
    /// The form as a regular expression, for editors.
    pub pattern: Option<&'static str>,
    /// The only allowed values, for editors.
    pub allowed: Option<Allowed>,
    /// App Platform's default. The schema gives it to editors, and [`crate::AppSpec::completed`] writes it out.
    pub fallback: Option<Fallback>,
}

/// The only allowed values of a field whose type does not list them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Allowed {
    Texts(&'static [&'static str]),
    Integers(&'static [i64]),
}

/// The default of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fallback {
    Text(&'static str),
    Integer(i64),
}

/// Checks a text and says what is wrong with it.
pub(crate) type Form = fn(&str) -> Result<(), Complaint>;

/// Why a text does not have the required form.
pub(crate) struct Complaint {
    pub code: Code,
    pub message: String,
    pub help: Option<String>,
}

/// Any value of the field's type.
pub(crate) const ANY: Rule = Rule {
    required: false,
    min: i64::MIN,
    max: i64::MAX,
    longest: usize::MAX,
    keeps_empty: false,
    may_hold_login: false,
    form: None,
    pattern: None,
    allowed: None,
    fallback: None,
};

/// A TCP port.
pub(crate) const PORT: Rule = range(1, 65535);

/// The name of an app, a component or a database.
pub(crate) const NAME: Rule = ANY.required().of_form(form::name).like("^[a-z][a-z0-9-]{0,30}[a-z0-9]$");

/// A number from `min` to `max`.
pub(crate) const fn range(min: i64, max: i64) -> Rule {
    Rule { min, max, ..ANY }
}

/// Text of at most `longest` characters.
pub(crate) const fn up_to(longest: usize) -> Rule {
    Rule { longest, ..ANY }
}

impl Rule {
    pub(crate) const fn required(self) -> Rule {
        Rule { required: true, ..self }
    }

    pub(crate) const fn keeps_empty(self) -> Rule {
        Rule { keeps_empty: true, ..self }
    }

    pub(crate) const fn of_form(self, form: Form) -> Rule {
        Rule { form: Some(form), ..self }
    }

    /// Hides refused text.
    pub(crate) const fn private(self) -> Rule {
        Rule { may_hold_login: true, ..self }
    }

    /// Gives editors the form as a regular expression.
    pub(crate) const fn like(self, pattern: &'static str) -> Rule {
        Rule { pattern: Some(pattern), ..self }
    }

    /// Gives editors the allowed texts. The form or a check between fields enforces them.
    pub(crate) const fn one_of(self, texts: &'static [&'static str]) -> Rule {
        Rule { allowed: Some(Allowed::Texts(texts)), ..self }
    }

    /// Gives editors the allowed numbers. A check between fields enforces them.
    pub(crate) const fn one_of_numbers(self, numbers: &'static [i64]) -> Rule {
        Rule { allowed: Some(Allowed::Integers(numbers)), ..self }
    }

    /// Sets a default that is text or a word.
    pub(crate) const fn or(self, text: &'static str) -> Rule {
        Rule { fallback: Some(Fallback::Text(text)), ..self }
    }

    /// Sets a default that is a number.
    pub(crate) const fn or_number(self, number: i64) -> Rule {
        Rule { fallback: Some(Fallback::Integer(number)), ..self }
    }
}

impl Complaint {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Complaint {
        Complaint { code, message: message.into(), help: None }
    }

    /// Adds advice, unless there is some.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Complaint {
        self.help.get_or_insert_with(|| help.into());
        self
    }

    /// Converts the complaint to an error.
    pub(crate) fn into_problem(self, path: impl Into<String>) -> Diagnostic {
        let problem = Diagnostic::error(self.code, path, self.message);
        self.help.into_iter().fold(problem, Diagnostic::help)
    }

    /// Converts the complaint to a warning.
    pub(crate) fn into_warning(self, path: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.into_problem(path) }
    }

    /// Suggests the text that was probably meant.
    pub(crate) fn meant(self, text: impl Into<String>) -> Complaint {
        self.help(format!("did you mean `{}`?", shown(&text.into())))
    }
}
