//! The located tree: what a text says, before anyone asks what it means.
//!
//! YAML 1.2 (and JSON, which is read by the same path) becomes [`Node`]s that know their place. Anchors, aliases and
//! merge keys are already applied, the limits of a spec already enforced. Nothing here knows a field name.

mod ahead;
mod block;
mod builder;
mod json;
mod limits;
mod offsets;
mod parse;
mod scalar;
mod syntax;

pub(crate) use json::{from_json, from_stored};
pub(crate) use parse::parse;
pub(crate) use scalar::{Plain, is_ambiguous, is_old_boolean};

use std::rc::Rc;

use crate::diagnostic::Place;

/// A value with its place. Cheap to clone: what an alias repeats is shared, not copied.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where it stands; `None` for a tree made from a JSON value.
    pub place: Option<Place>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    Sequence(Rc<Vec<Node>>),
    Mapping(Rc<Vec<Entry>>),
}

/// Text as it was written, before anyone decided whether it is a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub text: Rc<str>,
    /// Written without quotes, so that `8080`, `true` and `null` are not text.
    pub plain: bool,
}

/// One `key: value`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Rc<str>,
    pub key_place: Option<Place>,
    pub value: Node,
}

impl Node {
    /// What it is, in the words of a diagnostic.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
            Kind::Scalar(scalar) => match scalar.meaning() {
                Plain::Null => "nothing",
                Plain::Bool(_) => "a boolean",
                Plain::Integer(_) | Plain::Number(_) => "a number",
                Plain::Text => "text",
            },
        }
    }

    /// Empty text, which clients send for what is absent.
    pub fn is_empty_text(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.text.is_empty())
    }

    /// `null`, `~` or no value at all.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.meaning() == Plain::Null)
    }
}

impl Scalar {
    /// What YAML's core schema takes the scalar for.
    pub fn meaning(&self) -> Plain {
        if self.plain { Plain::of(&self.text) } else { Plain::Text }
    }
}
