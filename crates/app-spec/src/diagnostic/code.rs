//! The kinds of problems.

use std::fmt;

/// What kind of problem a diagnostic reports. The words are stable, so programs may rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The text is not YAML or JSON.
    Syntax,
    /// The text is larger, deeper or more repetitive than a spec may be.
    TooLarge,
    /// A mapping contains a key twice.
    DuplicateKey,
    /// A YAML tag such as `!!str` or `!Ref`.
    TagNotAllowed,
    /// A field that App Platform does not have at this place.
    UnknownField,
    /// A list where text belongs, text where a number belongs, and so on.
    WrongType,
    /// A word that is not one of the allowed words.
    UnknownValue,
    /// A number or a text length outside its limits.
    OutOfRange,
    /// A name that breaks the rule for names.
    BadName,
    /// A value that does not have the required form.
    BadFormat,
    /// A placeholder that a deploy tool should have replaced: `${NAME}` or `{{ name }}`.
    Unsubstituted,
    /// A required field is absent.
    Missing,
    /// Two fields that cannot be combined.
    Conflict,
    /// Two components or databases have the same name.
    NameClash,
    /// Two components have the same path.
    RouteClash,
    /// A rule names a component that does not exist.
    UnknownComponent,
    /// A reference that stays as text because nothing has that name.
    UnknownReference,
    /// A number or boolean was read as text, or text as a number.
    Converted,
    /// Accepted, but probably a mistake.
    Doubtful,
    /// Boatyard knows the field, but this version cannot run it.
    NotYet,
    /// Boatyard stores and returns the field, but it has no effect on one host.
    NoEffect,
    /// The value is missing or sealed by another installation. The user must supply it before the app can run.
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
