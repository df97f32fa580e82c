//! The places of fields in a text.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Place};
use crate::tree::{Kind, Node};

/// The place of each field in a text, by path.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(HashMap<String, Place>);

impl Places {
    /// Records the place of a value. A problem points at a scalar if it is on the line of its key, otherwise at the
    /// key.
    pub fn remember(&mut self, path: String, node: &Node, key_place: Option<Place>) {
        let is_beside_key =
            |value: &Place| key_place.is_none_or(|key| key.line == value.line) && value.end > value.start;
        let value = node.place.filter(|place| matches!(node.kind, Kind::Scalar(_)) && is_beside_key(place));
        if let Some(place) = value.or(key_place).or(node.place) {
            self.0.insert(path, place);
        }
    }

    /// The place of a field, or of the nearest enclosing field.
    pub fn nearest(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.0.get(path) {
                return Some(*place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Adds places to diagnostics that have only a path.
    pub fn locate<'d>(&self, diagnostics: impl IntoIterator<Item = &'d mut Diagnostic>) {
        for diagnostic in diagnostics {
            diagnostic.place = diagnostic.place.or_else(|| self.nearest(&diagnostic.path));
            if let Some(related) = &mut diagnostic.related {
                related.place = related.place.or_else(|| self.nearest(&related.path));
            }
        }
    }
}
