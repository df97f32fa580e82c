//! The tree of a text, before its fields are interpreted.
//!
//! Parses YAML 1.2 (and JSON, by the same code) into [`Node`]s with places. Anchors, aliases and merge keys are already
//! applied, and the limits already enforced. This module knows no field names.

mod builder;
mod json;
mod limits;
mod lookahead;
mod parse;
mod places;
mod scalar;
mod syntax;

pub(crate) use parse::parse;
pub(crate) use scalar::{Plain, is_ambiguous, is_old_boolean};

use std::sync::Arc;

use crate::diagnostic::Place;

/// A value and its place. Cloning is cheap, because clones share the content.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The place in the text. `None` if the tree does not come from a text.
    pub place: Option<Place>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Scalar),
    Sequence(Arc<Vec<Node>>),
    Mapping(Arc<Vec<Entry>>),
}

/// A scalar as written, whether or not it is a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scalar {
    pub text: Arc<str>,
    pub style: Style,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes, so `8080`, `true` and `null` are not text.
    Plain,
    /// In quotes or as a block, so always text.
    Quoted,
    /// `{{ name }}`, which a deploy tool should have replaced.
    Template,
}

/// One `key: value`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: Arc<str>,
    pub key_place: Option<Place>,
    pub value: Node,
}

impl Entry {
    pub fn new(key: impl AsRef<str>, value: Node) -> Entry {
        Entry { key: Arc::from(key.as_ref()), key_place: None, value }
    }
}

impl Node {
    /// Creates a text.
    pub fn text(text: impl AsRef<str>) -> Node {
        Node { place: None, kind: Kind::Scalar(Scalar { text: Arc::from(text.as_ref()), style: Style::Quoted }) }
    }

    pub fn list(items: Vec<Node>) -> Node {
        Node { place: None, kind: Kind::Sequence(Arc::new(items)) }
    }

    pub fn mapping(entries: Vec<Entry>) -> Node {
        Node { place: None, kind: Kind::Mapping(Arc::new(entries)) }
    }

    /// Creates a number, a boolean or `null`.
    pub fn plain(value: impl ToString) -> Node {
        Node { place: None, kind: Kind::Scalar(Scalar { text: Arc::from(value.to_string()), style: Style::Plain }) }
    }

    /// The kind of value, as named in diagnostics.
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

    /// Whether the node is empty text, which clients send for an absent value.
    pub fn is_empty_text(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.text.is_empty())
    }

    /// Whether the node is `null`, `~` or has no value.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.meaning() == Plain::Null)
    }

    /// The number of values in the node, and their bytes of text.
    pub fn size(&self) -> (usize, usize) {
        let add = |(nodes, bytes): (usize, usize), (more, length): (usize, usize)| (nodes + more, bytes + length);
        match &self.kind {
            Kind::Scalar(scalar) => (1, scalar.text.len()),
            Kind::Sequence(items) => items.iter().map(Node::size).fold((1, 0), add),
            Kind::Mapping(entries) => {
                entries.iter().map(|entry| add(entry.value.size(), (1, entry.key.len()))).fold((1, 0), add)
            }
        }
    }

    /// The nesting depth of lists and mappings in the node.
    pub fn depth(&self) -> usize {
        match &self.kind {
            Kind::Scalar(_) => 0,
            Kind::Sequence(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Kind::Mapping(entries) => 1 + entries.iter().map(|entry| entry.value.depth()).max().unwrap_or(0),
        }
    }
}

impl Scalar {
    /// The meaning of the scalar in YAML's core schema.
    pub fn meaning(&self) -> Plain {
        if self.style == Style::Plain { Plain::of(&self.text) } else { Plain::Text }
    }
}
