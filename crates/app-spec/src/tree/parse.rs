//! From YAML text to a tree: events in, nodes out, iteratively, so that no nesting can exhaust the stack.
//!
//! A broken text ends at its first error, because nothing after it can be trusted: so do a second document, aliases of
//! nothing or of themselves, and whatever breaks a limit. Tags, duplicate keys (both places named) and templates that
//! nothing has replaced are reported, and the tree goes on without the tag, with the last of the duplicates, and with
//! the template as text.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::limits::{self, Budget, Cost};
use super::offsets::Offsets;
use super::{Entry, Kind, Node, Scalar};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place, Remedy};
use crate::veil;

/// Parses `text`. The problems beside the tree refuse a strict reading. Errors: syntax and limits.
pub(crate) fn parse(text: &str) -> Result<(Node, Diagnostics), Diagnostics> {
    limits::check_bytes(text.len())?;
    read(text).map_err(|mut problems| {
        // Without a tree nobody knows which values are secrets.
        let lines: Vec<_> = problems.iter().filter_map(|d| Some(veil::unparsed(text, d.place?.start))).collect();
        problems.hidden.extend(lines);
        problems.sort();
        problems
    })
}

fn read(text: &str) -> Result<(Node, Diagnostics), Diagnostics> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::new(body, text.len() - body.len());
    if let Some(at) = body.find(is_control) {
        let message = format!("the text holds the control character U+{:04X}", u32::from(body.as_bytes()[at]));
        let problem = Diagnostic::error(Code::Syntax, "", message).at(Some(builder.offsets.place_of_byte(at)));
        return Err(problem.help("in double quotes it can be written as an escape, such as `\\x1b`").into());
    }
    for event in Parser::new_from_str(body) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let place = builder.offsets.place(&Span::empty(*error.marker()));
                builder.problems.push(syntax(error.info()).at(Some(place)));
                return Err(builder.problems);
            }
        };
        if let Err(fatal) = builder.take(event, &span) {
            builder.problems.push(fatal);
            return Err(builder.problems);
        }
    }
    builder.finish()
}

/// The parser takes NUL for the end of the text; YAML and JSON allow none of them.
fn is_control(c: char) -> bool {
    c < ' ' && !matches!(c, '\t' | '\n' | '\r')
}

/// The parser's words, with advice for the mistakes that people make most.
fn syntax(info: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::Syntax, "", format!("this is not valid YAML: {info}"));
    match info {
        _ if info.contains("mapping values are not allowed") => {
            diagnostic.help("check the indentation here and of the lines above, and quote text that contains `: `")
        }
        _ if info.contains("block") && info.contains("did not find expected") => {
            diagnostic.help("check the indentation here and of the lines above")
        }
        _ if info.contains("flow") && info.contains("did not find expected") => diagnostic
            .help("inside braces and brackets, quote text that holds `{`, `}`, `[`, `]` or `,`, such as `${NAME}`"),
        _ if info.contains("unknown anchor") => diagnostic.help("quote text that begins with `*`"),
        _ if info.contains("tab") => diagnostic.help("indent with spaces"),
        _ => diagnostic,
    }
}

/// A list or mapping that is not closed yet.
struct Open {
    place: Place,
    anchor: usize,
    /// What the budget had spent before it, so that an alias can be charged for the whole.
    spent_before: Cost,
    kind: OpenKind,
}

enum OpenKind {
    Sequence(Vec<Node>),
    Mapping(Mapping),
}

#[derive(Default)]
struct Mapping {
    entries: Vec<Entry>,
    merges: Vec<Node>,
    /// A key that waits for its value.
    key: Option<(Rc<str>, Place)>,
    /// Where a key stands that is no text.
    odd_key: Option<Node>,
}

struct Builder<'t> {
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
    fn new(body: &'t str, skipped: usize) -> Builder<'t> {
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
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Diagnostic> {
        let place = self.offsets.place(span);
        let before = std::mem::replace(&mut self.seen_until, place.end);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let place = self.offsets.of_scalar_alone(place, style);
                let place = self.without_tag(tag.as_deref(), before, place);
                self.scalar(&text, style == ScalarStyle::Plain, anchor, place)
            }
            Event::SequenceStart(anchor, tag) => {
                let place = self.without_tag(tag.as_deref(), before, place);
                self.open(place, anchor, OpenKind::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let place = self.without_tag(tag.as_deref(), before, place);
                self.open(place, anchor, OpenKind::Mapping(Mapping::default()))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close(place);
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
            OpenKind::Mapping(Mapping { odd_key: Some(key), .. }) => self.template(&key, place),
            OpenKind::Mapping(mapping) => Kind::Mapping(Rc::new(self.merged(mapping.entries, mapping.merges))),
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
    fn template(&mut self, key: &Node, place: Place) -> Kind {
        let text = self.offsets.text(place);
        let problem = match text.starts_with("{{") {
            true => {
                let message = format!("`{}` is a placeholder that nothing has replaced", crate::suggest::shown(text));
                let problem = Diagnostic::error(Code::Unsubstituted, "", message).at(Some(place));
                problem.help("replace it before the spec is applied, or put it in quotes")
            }
            false => Diagnostic::error(Code::WrongType, "", format!("{} cannot be a key", key.what())).at(key.place),
        };
        let kind = Kind::Scalar(Scalar { text: Rc::from(text), plain: false });
        self.problems.push(problem.taken_as("text"));
        kind
    }

    /// Refuses a tag between byte `before` and the value at `place`. Returns the place of both.
    fn without_tag(&mut self, tag: Option<&Tag>, before: usize, place: Place) -> Place {
        let Some(tag) = tag else { return place };
        let at = self.offsets.tag_between(before, place.start).unwrap_or(Place { end: place.start, ..place });
        let is_alone = self.offsets.text(place).trim().is_empty() || place.start <= at.end;
        let whole = Place { end: if is_alone { at.end } else { place.end.max(at.end) }, ..at };
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
        self.problems.push(problem.help("remove the tag; quote the value to make it text").remedied(Remedy::LeftOut));
        whole
    }

    /// The key that waits for its value.
    fn field_at_hand(&self) -> &str {
        match self.stack.last().map(|open| &open.kind) {
            Some(OpenKind::Mapping(Mapping { key: Some((key, _)), .. })) => key,
            _ => "",
        }
    }

    /// Reports duplicates and keeps the last of them, then adds what `<<` brings: own keys win, earlier sources win over
    /// later ones.
    fn merged(&mut self, entries: Vec<Entry>, merges: Vec<Node>) -> Vec<Entry> {
        let mut seen: HashMap<Rc<str>, Option<Place>> = HashMap::with_capacity(entries.len());
        let mut repeated = false;
        for entry in &entries {
            match seen.get(&entry.key) {
                Some(first) => {
                    self.problems.push(duplicate(entry, *first));
                    repeated = true;
                }
                None => _ = seen.insert(entry.key.clone(), entry.key_place),
            }
        }
        let mut all = if repeated { self.last_ones(entries) } else { entries };
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

    fn finish(self) -> Result<(Node, Diagnostics), Diagnostics> {
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
            None => {
                let text = if let Kind::Scalar(scalar) = &node.kind { scalar.text.clone() } else { Rc::from("") };
                if !matches!(node.kind, Kind::Scalar(_)) {
                    self.odd_key.get_or_insert(node);
                }
                self.key = Some((text, place));
            }
            Some((name, _)) if &*name == "<<" => self.merges.push(node),
            Some((key, key_place)) => self.entries.push(Entry { key, key_place: Some(key_place), value: node }),
        }
    }
}

fn duplicate(entry: &Entry, first: Option<Place>) -> Diagnostic {
    let name = crate::suggest::shown(&entry.key);
    let mut message = format!("`{name}` is given twice");
    if let Some(first) = first {
        message.push_str(&format!(", first in line {}", first.line));
    }
    let diagnostic = Diagnostic::error(Code::DuplicateKey, "", message).at(entry.key_place);
    let diagnostic = diagnostic.related("", first, "first given here").help("keep one of them");
    diagnostic.taken_as("the last one")
}
