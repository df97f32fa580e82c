//! From events to a tree, iteratively, so that no nesting can exhaust the stack.
//!
//! A second document, aliases of nothing or of themselves and whatever breaks a limit end it. Tags, duplicate keys (both
//! places named), keys that are no text and templates that nothing has replaced are reported, and the tree goes on without
//! the tag, with the last of the duplicates, without the key, and with the template as text.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, ScalarStyle, ScanError, Span, Tag};

use super::limits::{self, Budget, Cost};
use super::offsets::Offsets;
use super::{Entry, Kind, Node, Scalar};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place};
use crate::veil;

/// A list or mapping that is not closed yet.
struct Open {
    place: Place,
    anchor: usize,
    /// What the budget had spent before it, so that an alias can be charged for the whole.
    spent_before: Cost,
    kind: OpenKind,
}

/// What a tag stands before.
#[derive(PartialEq)]
enum Tagged {
    Scalar,
    Collection,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    merges: Vec<Node>,
    /// A key that waits for its value; without a name if it is no text.
    key: Option<(Option<Rc<str>>, Place)>,
    /// Keys that are no text.
    odd_keys: Vec<Node>,
    /// Their values.
    odd_values: Vec<Node>,
}

/// Takes events until the root is complete.
pub(super) struct Builder<'t> {
    offsets: Offsets<'t>,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, Cost)>,
    budget: Budget,
    root: Option<Node>,
    problems: Diagnostics,
    /// Where the last event ended: tags stand between events.
    seen_until: usize,
}

impl<'t> Builder<'t> {
    pub fn new(body: &'t str, skipped: usize) -> Builder<'t> {
        Builder {
            offsets: Offsets::new(body, skipped),
            stack: Vec::new(),
            anchors: HashMap::new(),
            budget: Budget::default(),
            root: None,
            problems: Diagnostics::default(),
            seen_until: 0,
        }
    }

    /// Takes one event. An error ends the parse.
    pub fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Diagnostic> {
        let place = self.offsets.place(span);
        let before = std::mem::replace(&mut self.seen_until, place.end);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text = self.offsets.as_it_ends(&text, style, place);
                let place = self.offsets.of_scalar_alone(place, style);
                let place = self.without_tag(tag.as_deref(), before, place, Tagged::Scalar);
                self.hide_anchor(anchor, before, place);
                if anchor != 0 && text.is_empty() && style == ScalarStyle::Plain {
                    self.tell_anchor_of_nothing(before, place);
                }
                self.scalar(text, style == ScalarStyle::Plain, anchor, place)
            }
            Event::SequenceStart(anchor, tag) => {
                let place = self.without_tag(tag.as_deref(), before, place, Tagged::Collection);
                self.open(place, anchor, OpenKind::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let place = self.without_tag(tag.as_deref(), before, place, Tagged::Collection);
                self.open(place, anchor, OpenKind::Mapping(Mapping::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                // The parser gives a bracket the blanks and the comment after it.
                self.close(Place { end: place.end.min(place.start + 1), ..place });
                Ok(())
            }
            Event::Alias(anchor) => self.alias(anchor, place),
            Event::DocumentStart(_) if self.root.is_some() => {
                let message = "a spec is one YAML document; here a second one begins";
                Err(Diagnostic::error(Code::Syntax, "", message).at(Some(place)))
            }
            Event::DocumentStart(_) | Event::DocumentEnd => Ok(()),
            Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
        }
    }

    pub fn not_yaml(&mut self, error: &ScanError) -> Option<Diagnostic> {
        let at = self.offsets.place(&Span::empty(*error.marker())).start;
        Some(self.offsets.not_yaml(at, error.info(), self.bracket()))
    }

    /// The innermost bracket or brace that is open.
    fn bracket(&self) -> Option<Place> {
        let of_text = |place: &Place| self.offsets.text(*place).starts_with(['{', '[']);
        self.stack.iter().rev().map(|open| open.place).find(of_text)
    }

    pub fn is_in_brackets(&self) -> bool {
        self.bracket().is_some()
    }

    /// Where it stands: behind what it took last.
    pub fn here(&self) -> Place {
        self.offsets.place_at(self.seen_until)
    }

    /// The text behind that.
    pub fn rest(&self) -> &'t str {
        self.offsets.behind(self.seen_until)
    }

    /// Ends the parse: what was found so far, and what ends it, unless a placeholder in that line is the reason.
    pub fn refuse(mut self, fatal: Diagnostic) -> Diagnostics {
        let is_template = |d: &Diagnostic| d.code == Code::Unsubstituted && d.line() == fatal.line();
        if !self.problems.iter().any(is_template) {
            self.problems.push(fatal);
        }
        self.problems
    }

    fn scalar(&mut self, text: &str, plain: bool, anchor: usize, place: Place) -> Result<(), Diagnostic> {
        let cost = Cost { nodes: 1, bytes: text.len() };
        self.budget.spend(cost, Some(place))?;
        let kind = Kind::Scalar(Scalar { text: Rc::from(text), plain });
        let node = Node { place: Some(place), kind };
        self.remember(anchor, &node, cost);
        self.attach(node, place);
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, kind: OpenKind) -> Result<(), Diagnostic> {
        let spent_before = self.budget.spent();
        self.budget.spend(Cost { nodes: 1, bytes: 0 }, Some(place))?;
        self.stack.push(Open { place, anchor, spent_before, kind });
        limits::check_depth(self.stack.len(), Some(place))
    }

    fn close(&mut self, end: Place) {
        let open = self.stack.pop().expect("the parser closes only what it opened");
        let place = Place { end: end.end.max(open.place.end), ..open.place };
        let kind = match open.kind {
            OpenKind::Sequence(items) => Kind::Sequence(Rc::new(items)),
            OpenKind::Mapping(mapping) => self.mapping(mapping, place),
        };
        let node = Node { place: Some(place), kind };
        let spent = self.budget.spent();
        let cost = Cost { nodes: spent.nodes - open.spent_before.nodes, bytes: spent.bytes - open.spent_before.bytes };
        self.remember(open.anchor, &node, cost);
        self.attach(node, place);
    }

    fn remember(&mut self, anchor: usize, node: &Node, cost: Cost) {
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), cost));
        }
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<(), Diagnostic> {
        self.budget.alias(Some(place))?;
        let Some((node, cost)) = self.anchors.get(&anchor).cloned() else {
            let message = "this alias stands inside the very value that it names";
            return Err(Diagnostic::error(Code::Syntax, "", message).at(Some(place)));
        };
        self.budget.spend(cost, Some(place))?;
        self.check_depth_of(&node, place)?;
        self.attach(node, place);
        Ok(())
    }

    /// An alias may hang a deep value into a deep place.
    fn check_depth_of(&self, node: &Node, place: Place) -> Result<(), Diagnostic> {
        limits::check_depth(self.stack.len() + depth(node), Some(place))
    }

    /// Puts a finished value where it belongs: into the open list, as key or value of the open mapping, or as the root.
    fn attach(&mut self, node: Node, place: Place) {
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None => self.root = Some(node),
            Some(OpenKind::Sequence(items)) => items.push(node),
            Some(OpenKind::Mapping(mapping)) => mapping.take(node, place),
        }
    }

    /// `{{ name }}` reads as a mapping whose key is a mapping. It is taken as the text that it was meant to be.
    fn template(&mut self, place: Place) -> Option<Kind> {
        let text = self.offsets.text(place);
        if !text.starts_with("{{") {
            return None;
        }
        let message = format!("`{}` is a placeholder that nothing has replaced", crate::suggest::shown(text));
        let problem = Diagnostic::error(Code::Unsubstituted, "", message).at(Some(place));
        let problem = problem.help("replace it before the spec is applied");
        self.problems.push(problem);
        Some(Kind::Scalar(Scalar { text: Rc::from(text), plain: false }))
    }

    /// A mapping, or the text that it was meant to be. Keys that are no text are left out with their values.
    fn mapping(&mut self, mapping: Mapping, place: Place) -> Kind {
        let is_odd = !mapping.odd_keys.is_empty();
        if let Some(template) = is_odd.then(|| self.template(place)).flatten() {
            return template;
        }
        // They will not be in the tree, so that nobody finds the secrets in them.
        let odd = mapping.odd_keys.iter().chain(&mapping.odd_values);
        self.problems.hidden.extend(odd.filter_map(|node| node.place).map(|place| place.start..place.end));
        for key in &mapping.odd_keys {
            let message = format!("{} cannot be a key", key.what());
            self.problems.push(Diagnostic::error(Code::WrongType, "", message).at(key.place));
        }
        Kind::Mapping(Rc::new(self.merged(mapping.entries, mapping.merges)))
    }

    /// Refuses a tag between byte `before` and the value at `place`. Returns the place of both.
    fn without_tag(&mut self, tag: Option<&Tag>, before: usize, place: Place, tagged: Tagged) -> Place {
        let Some(tag) = tag else { return place };
        let at = self.offsets.mark_between('!', before, place.start).unwrap_or(Place { end: place.start, ..place });
        let is_empty = self.offsets.text(place).trim().is_empty() || place.start <= at.end;
        let is_alone = is_empty && tagged == Tagged::Scalar;
        let whole = Place { end: if is_empty { at.end } else { place.end.max(at.end) }, ..at };
        // What stands alone behind a `!`, or where a secret may stand, may be a password that begins with it.
        let is_doubtful = is_alone || veil::may_hold_secret(self.field_at_hand());
        let name = match tag.is_yaml_core_schema() {
            true => format!("the tag `!!{}`", tag.suffix),
            false if is_doubtful => "a tag, which is what `!` begins,".to_owned(),
            false => format!("the tag `!{}`", tag.suffix),
        };
        if is_doubtful {
            self.problems.hidden.push(whole.start..whole.end);
        }
        let message = format!("{name} has no meaning in a spec");
        let problem = Diagnostic::error(Code::TagNotAllowed, "", message).at(Some(at));
        self.problems.push(problem.help("remove the tag; quote the value to make it text"));
        whole
    }

    /// An anchor where a secret may stand may be a password that begins with `&`.
    fn hide_anchor(&mut self, anchor: usize, before: usize, place: Place) {
        if anchor != 0 && veil::may_hold_secret(self.field_at_hand()) {
            let at = self.offsets.mark_between('&', before, place.start);
            self.problems.hidden.extend(at.map(|at| at.start..at.end));
        }
    }

    /// Text that begins with `&` names the nothing behind it.
    fn tell_anchor_of_nothing(&mut self, before: usize, place: Place) {
        if self.problems.counts_warning() {
            return;
        }
        let message = "`&` begins a name for the value behind it, and there is none";
        let at = self.offsets.mark_between('&', before, place.start);
        let doubtful = Diagnostic::warning(Code::Doubtful, "", message).at(at.or(Some(place)));
        self.problems.push(doubtful.help("quote text that begins with `&`"));
    }

    /// The key that waits for its value.
    fn field_at_hand(&self) -> &str {
        match self.stack.last().map(|open| &open.kind) {
            Some(OpenKind::Mapping(Mapping { key: Some((Some(key), _)), .. })) => key,
            _ => "",
        }
    }

    /// Reports duplicates and keeps the last of them, then adds what `<<` brings: own keys win, earlier sources win over
    /// later ones.
    fn merged(&mut self, entries: Vec<Entry>, merges: Vec<Node>) -> Vec<Entry> {
        let mut seen: HashMap<Rc<str>, Option<Place>> = HashMap::with_capacity(entries.len());
        let mut is_repeated = false;
        let mut may_begin_anew = false;
        for entry in &entries {
            let Some(first) = seen.get(&entry.key) else {
                seen.insert(entry.key.clone(), entry.key_place);
                continue;
            };
            is_repeated = true;
            // What follows a missing dash is another item, so that its fields are not given twice.
            if !may_begin_anew {
                may_begin_anew = entry.key == entries[0].key && self.is_in_a_list(entry);
                self.problems.push(duplicate(entry, *first, may_begin_anew));
            }
        }
        let mut all = if is_repeated { self.last_ones(entries) } else { entries };
        for source in merges.into_iter().flat_map(merge_sources) {
            let Kind::Mapping(inherited) = source.kind else {
                let message = format!("`<<` takes a mapping or a list of mappings, and here is {}", source.what());
                self.problems.push(Diagnostic::error(Code::WrongType, "", message).at(source.place));
                continue;
            };
            for entry in inherited.iter() {
                if !seen.contains_key(&entry.key) {
                    seen.insert(entry.key.clone(), entry.key_place);
                    all.push(entry.clone());
                }
            }
        }
        all
    }

    /// Whether the mapping that ends is an item of a list, or stands in place of one, and the entry has its own line.
    fn is_in_a_list(&self, entry: &Entry) -> bool {
        let is_item = matches!(self.stack.last().map(|open| &open.kind), Some(OpenKind::Sequence(_)));
        let begins_line = entry.key_place.is_some_and(|place| self.offsets.begins_line(place));
        begins_line && (is_item || self.field_at_hand().ends_with('s'))
    }

    /// The last of each name. What is dropped will not be in the tree, so that nobody finds the secrets in it.
    fn last_ones(&mut self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let mut seen = HashSet::with_capacity(entries.len());
        let hidden = &mut self.problems.hidden;
        entries.reverse();
        entries.retain(|entry| {
            let is_last = seen.insert(entry.key.clone());
            hidden.extend(entry.value.place.filter(|_| !is_last).map(|p| p.start..p.end));
            is_last
        });
        entries.reverse();
        entries
    }

    pub fn finish(self) -> Result<(Node, Diagnostics), Diagnostics> {
        match self.root {
            Some(root) if !root.is_null() => Ok((root, self.problems)),
            _ => Err(Diagnostic::error(Code::Missing, "", "the spec is empty").into()),
        }
    }
}

fn merge_sources(node: Node) -> Vec<Node> {
    match node.kind {
        Kind::Sequence(items) => items.to_vec(),
        Kind::Mapping(_) | Kind::Scalar(_) => vec![node],
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::Sequence(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Mapping(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
    }
}

impl Mapping {
    /// Takes a key, or the value for the key that waits.
    fn take(&mut self, node: Node, place: Place) {
        match self.key.take() {
            None => match node.kind {
                Kind::Scalar(scalar) => self.key = Some((Some(scalar.text), place)),
                Kind::Sequence(_) | Kind::Mapping(_) => {
                    self.odd_keys.push(node);
                    self.key = Some((None, place));
                }
            },
            Some((None, _)) => self.odd_values.push(node),
            Some((Some(name), _)) if &*name == "<<" => self.merges.push(node),
            Some((Some(key), key_place)) => self.entries.push(Entry { key, key_place: Some(key_place), value: node }),
        }
    }
}

fn duplicate(entry: &Entry, first: Option<Place>, may_begin_anew: bool) -> Diagnostic {
    let name = crate::suggest::shown_key(&entry.key);
    let mut message = format!("`{name}` is given twice");
    if let Some(first) = first {
        message.push_str(&format!(", first in line {}", first.line));
    }
    let diagnostic = Diagnostic::error(Code::DuplicateKey, "", message).at(entry.key_place);
    let help = match may_begin_anew {
        true => format!("put `- ` before `{name}` if another item begins here, else keep one of them"),
        false => "keep one of them".to_owned(),
    };
    diagnostic.related("", first, "first given here").help(help)
}
