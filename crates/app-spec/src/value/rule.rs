//! What a field demands of its value beyond its type: limits, form, presence.

use super::form;
use crate::diagnostic::{Code, Diagnostic, Severity};
use crate::suggest::shown;

/// The demands of one field.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    /// Must be present and not empty.
    pub required: bool,
    /// Smallest and largest number. Zero always means absent, so `min` 1 does not refuse it.
    pub min: i64,
    pub max: i64,
    /// Longest text, in characters.
    pub longest: usize,
    /// Empty text differs from no text (App Platform: only the match strings of ingress rules).
    pub keeps_empty: bool,
    /// Text that is refused is not shown: it may hold a login.
    pub may_hold_login: bool,
    /// The form that text must have.
    pub form: Option<Form>,
    /// The form as a regular expression, for editors.
    pub pattern: Option<&'static str>,
    /// The only values there are, for editors.
    pub allowed: Option<Allowed>,
    /// What App Platform takes when the field is absent. Told to editors; [`crate::AppSpec::completed`] writes it out.
    pub fallback: Option<Fallback>,
}

/// The only values of a field, where its type does not say it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Allowed {
    Texts(&'static [&'static str]),
    Integers(&'static [i64]),
}

/// What holds when a field is absent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fallback {
    Text(&'static str),
    Integer(i64),
}

/// Says what is wrong with a text.
pub(crate) type Form = fn(&str) -> Result<(), Complaint>;

/// Why a text has not the form it should have.
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

/// The name of an app, a component, a database.
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

    /// Does not show text that is refused.
    pub(crate) const fn private(self) -> Rule {
        Rule { may_hold_login: true, ..self }
    }

    /// The form in the words of editors.
    pub(crate) const fn like(self, pattern: &'static str) -> Rule {
        Rule { pattern: Some(pattern), ..self }
    }

    /// The texts that the form, or a check between fields, takes, for editors.
    pub(crate) const fn one_of(self, texts: &'static [&'static str]) -> Rule {
        Rule { allowed: Some(Allowed::Texts(texts)), ..self }
    }

    /// The numbers that a check between fields takes, for editors.
    pub(crate) const fn one_of_numbers(self, numbers: &'static [i64]) -> Rule {
        Rule { allowed: Some(Allowed::Integers(numbers)), ..self }
    }

    /// Text or a word that holds when the field is absent.
    pub(crate) const fn or(self, text: &'static str) -> Rule {
        Rule { fallback: Some(Fallback::Text(text)), ..self }
    }

    /// A number that holds when the field is absent.
    pub(crate) const fn or_number(self, number: i64) -> Rule {
        Rule { fallback: Some(Fallback::Integer(number)), ..self }
    }
}

impl Complaint {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Complaint {
        Complaint { code, message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Complaint {
        self.help = Some(help.into());
        self
    }

    /// The problem that it is.
    pub(crate) fn into_problem(self, path: impl Into<String>) -> Diagnostic {
        let problem = Diagnostic::error(self.code, path, self.message);
        match self.help {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    /// The same where it refuses nothing.
    pub(crate) fn into_warning(self, path: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..self.into_problem(path) }
    }

    /// Offers the text that was meant.
    pub(crate) fn meant(self, text: impl Into<String>) -> Complaint {
        self.help(format!("did you mean `{}`?", shown(&text.into())))
    }
}
