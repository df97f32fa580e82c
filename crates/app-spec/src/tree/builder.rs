//! Builds a tree from parser events. It does so without recursion, so that deep nesting cannot exhaust the stack.
//!
//! A second document, an alias inside the value that it names, or an exceeded limit ends the parse. Tags and keys that
//! are not text are reported, and the parse continues without them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, ScalarStyle, Span};

use super::limits::{self, Budget};
use super::places::TextPlaces;
use super::{Entry, Kind, Node, Scalar, Style};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place};

/// A list or mapping that is still open. The children of a mapping alternate between keys and values.
struct Open {
    place: Place,
    anchor: usize,
    is_mapping: bool,
    children: Vec<Node>,
}

/// Takes events until the root is complete.
pub(super) struct Builder<'t> {
    pub places: TextPlaces<'t>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    budget: Budget,
    root: Option<Node>,
    problems: Diagnostics,
}

impl<'t> Builder<'t> {
    pub fn new(body: &'t str, skipped: usize) -> Builder<'t> {
        Builder {
            places: TextPlaces::new(body, skipped),
            stack: Vec::new(),
            anchors: HashMap::new(),
            budget: Budget::default(),
            root: None,
            problems: Diagnostics::default(),
        }
    }

    /// Takes one event. An error ends the parse.
    pub fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Diagnostic> {
        let place = self.places.of(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.report_tag(tag.is_some(), place);
                let place = self.places.of_scalar(place, style);
                let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
                self.budget.spend(1, text.len(), Some(place))?;
                let kind = Kind::Scalar(Scalar { text: Arc::from(&*text), style });
                self.attach(Node { place: Some(place), kind }, anchor);
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => self.open(place, anchor, false, tag.is_some()),
            Event::MappingStart(anchor, tag) => self.open(place, anchor, true, tag.is_some()),
            Event::SequenceEnd | Event::MappingEnd => {
                // The parser includes blanks and a comment after the bracket.
                self.close(place.end.min(place.start + 1));
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "a spec is one YAML document, and a second one begins here";
                Err(Diagnostic::error(Code::Syntax, "", message).at(Some(place)))
            }
            Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
        }
    }

    /// The innermost open bracket or brace.
    pub fn bracket(&self) -> Option<Place> {
        let is_bracket = |place: &Place| self.places.text(*place).ends_with(['{', '[']);
        self.stack.iter().rev().map(|open| open.place).find(is_bracket)
    }

    pub fn finish(self) -> Result<(Node, Diagnostics), Diagnostics> {
        match self.root {
            Some(root) if !root.is_null() => Ok((root, self.problems)),
            _ => Err(Diagnostic::error(Code::Missing, "", "the spec is empty").into()),
        }
    }

    /// Ends the parse. Returns the problems so far and the fatal one.
    pub fn refuse(mut self, fatal: Diagnostic) -> Diagnostics {
        self.problems.push(fatal);
        self.problems.sort();
        self.problems
    }

    fn report_tag(&mut self, is_tagged: bool, place: Place) {
        if is_tagged {
            let problem = Diagnostic::error(
                Code::TagNotAllowed,
                "",
                "YAML tags, which begin with `!`, have no meaning in a spec",
            );
            self.problems
                .push(problem.at(Some(place)).help("remove the tag, or put text that begins with `!` in quotes"));
        }
    }

    fn open(&mut self, place: Place, anchor: usize, is_mapping: bool, is_tagged: bool) -> Result<(), Diagnostic> {
        self.report_tag(is_tagged, place);
        self.budget.spend(1, 0, Some(place))?;
        self.stack.push(Open { place, anchor, is_mapping, children: Vec::new() });
        limits::check_depth(self.stack.len(), Some(place))
    }

    fn close(&mut self, end: usize) {
        let open = self.stack.pop().expect("the parser closes only what it opened");
        let place = Place { end: end.max(open.place.end), ..open.place };
        let kind = match open.is_mapping {
            true => self.mapping(open.children, place),
            false => Kind::Sequence(Arc::new(open.children)),
        };
        self.attach(Node { place: Some(place), kind }, open.anchor);
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Diagnostic> {
        self.budget.alias(Some(place))?;
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            let message = "this alias is inside the value that it refers to";
            return Err(Diagnostic::error(Code::Syntax, "", message).at(Some(place)));
        };
        let (nodes, bytes) = node.size();
        self.budget.spend(nodes, bytes, Some(place))?;
        limits::check_depth(self.stack.len() + node.depth(), Some(place))?;
        self.attach(node, 0);
        Ok(())
    }

    /// Adds a finished value to its parent and records it under its anchor.
    fn attach(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(open) => open.children.push(node),
        }
    }

    /// Builds a mapping and applies `<<`. Keys of the mapping override merged keys, and earlier sources override later
    /// ones.
    fn mapping(&mut self, children: Vec<Node>, place: Place) -> Kind {
        let (mut entries, mut merged) = (Vec::with_capacity(children.len() / 2), Vec::new());
        let mut children = children.into_iter();
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            match &key.kind {
                Kind::Scalar(scalar) if &*scalar.text == "<<" && scalar.style == Style::Plain => match value.kind {
                    Kind::Sequence(sources) => merged.extend(sources.iter().cloned()),
                    Kind::Mapping(_) | Kind::Scalar(_) => merged.push(value),
                },
                Kind::Scalar(scalar) => entries.push(Entry { key: scalar.text.clone(), key_place: key.place, value }),
                // The parser reads `{{ name }}` as a mapping whose key is a mapping.
                Kind::Mapping(_) if self.places.text(place).starts_with("{{") => {
                    return Kind::Scalar(Scalar { text: Arc::from(self.places.text(place)), style: Style::Template });
                }
                Kind::Sequence(_) | Kind::Mapping(_) => {
                    let message = format!("{} cannot be a key", key.what());
                    self.problems.push(Diagnostic::error(Code::WrongType, "", message).at(key.place));
                }
            }
        }
        if !merged.is_empty() {
            self.merge(&mut entries, merged);
        }
        Kind::Mapping(Arc::new(entries))
    }

    fn merge(&mut self, entries: &mut Vec<Entry>, sources: Vec<Node>) {
        let mut seen: HashSet<Arc<str>> = entries.iter().map(|entry| entry.key.clone()).collect();
        for source in sources {
            let Kind::Mapping(inherited) = &source.kind else {
                let message = format!("`<<` needs a mapping or a list of mappings, found {}", source.what());
                self.problems.push(Diagnostic::error(Code::WrongType, "", message).at(source.place));
                continue;
            };
            entries.extend(inherited.iter().filter(|entry| seen.insert(entry.key.clone())).cloned());
        }
    }
}
