//! Where the fields of a text stand: from paths to places and back.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Place};
use crate::tree::{Kind, Node};

/// Where each field of a text stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(HashMap<String, Spot>);

#[derive(Clone, Copy, Debug)]
struct Spot {
    /// What problems point at.
    place: Place,
    key: Option<Place>,
}

impl Places {
    /// Notes where a value stands. Problems point at a scalar itself, and at the key of anything else.
    pub fn remember(&mut self, path: String, node: &Node, key_place: Option<Place>) {
        let written = node.place.filter(|p| p.end > p.start && matches!(node.kind, Kind::Scalar(_)));
        if let Some(place) = written.or(key_place).or(node.place) {
            self.0.insert(path, Spot { place, key: key_place });
        }
    }

    /// The field whose key, or else whose value, begins at a place.
    fn path_at(&self, place: Place) -> Option<&str> {
        let by_key = |(_, spot): &(&String, &Spot)| spot.key.is_some_and(|key| key.start == place.start);
        let by_value = |(_, spot): &(&String, &Spot)| spot.place.start == place.start;
        // Several values may begin at one place, the outermost first.
        let value = || self.0.iter().filter(by_value).max_by_key(|(path, _)| path.len());
        self.0.iter().find(by_key).or_else(value).map(|(path, _)| path.as_str())
    }

    /// Gives paths to diagnostics that only know a place: those of the text itself.
    pub fn name<'d>(&self, diagnostics: impl IntoIterator<Item = &'d mut Diagnostic>) {
        for diagnostic in diagnostics {
            if let Some(place) = diagnostic.place.filter(|_| diagnostic.path.is_empty()) {
                diagnostic.path = self.path_at(place).unwrap_or_default().to_owned();
            }
        }
    }

    /// The place of a field, or of the nearest thing around it.
    pub fn nearest(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(spot) = self.0.get(path) {
                return Some(spot.place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Gives places to diagnostics that only know a path.
    pub fn locate<'d>(&self, diagnostics: impl IntoIterator<Item = &'d mut Diagnostic>) {
        for diagnostic in diagnostics {
            diagnostic.place = diagnostic.place.or_else(|| self.nearest(&diagnostic.path));
            if let Some(related) = &mut diagnostic.related {
                related.place = related.place.or_else(|| self.nearest(&related.path));
            }
        }
    }
}
