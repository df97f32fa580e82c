//! Lists, and things that may be absent.
//!
//! App Platform's clients leave out empty text, 0, `false` and empty lists, so those are read as absent.

use std::rc::Rc;

use super::meant::{as_item, as_object};
use super::{Out, Reader, Rule, Shape, Unsealer, Wire, Writer};
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::{flat, nearest, shown, shown_key};
use crate::tree::{Entry, Kind, Node, Scalar};

impl Reader {
    /// Reports that a list was expected. Where it is plain which items are meant they are read all the same, so that
    /// everything else that is wrong with them is told at once.
    fn items_meant<T: Wire>(&mut self, node: &Node) -> Option<Vec<Node>> {
        let problem = Diagnostic::error(Code::WrongType, "", format!("expected a list, found {}", node.what()));
        let problem = problem.at(self.place_of(node));
        let (problem, items) = match &node.kind {
            Kind::Mapping(entries) if matches!(T::shape(), Shape::Text) => as_texts(entries, problem),
            Kind::Mapping(entries) => in_mapping::<T>(entries, node, problem),
            Kind::Scalar(scalar) => in_text::<T>(scalar, node, problem),
            Kind::Sequence(_) => (problem, None),
        };
        self.report(problem);
        items
    }

    /// `- a: b` in a list of texts: `a=b` is meant, as in `buildpack-stack=ubuntu-22`.
    fn as_text(&mut self, item: &Node) -> Node {
        let Kind::Mapping(entries) = &item.kind else { return item.clone() };
        let [entry] = &entries[..] else { return item.clone() };
        let Some(text) = as_assignment(entry) else { return item.clone() };
        let problem = Diagnostic::error(Code::WrongType, "", "expected text, found a mapping").at(item.place);
        let written = format!("`{}`", shown(&text));
        self.report(problem.help(format!("did you mean {written}?")).taken_as(written));
        Node { place: item.place, kind: Kind::Scalar(Scalar { text: Rc::from(text), plain: false }) }
    }

    /// `- KEY: text` in a list of variables: `{key: KEY, value: text}` is meant.
    fn as_pair<T: Wire>(&mut self, item: &Node) -> Node {
        let (Kind::Mapping(entries), Some((name, value))) = (&item.kind, T::as_pair()) else { return item.clone() };
        let [entry @ Entry { value: Node { kind: Kind::Scalar(_), .. }, .. }] = &entries[..] else {
            return item.clone();
        };
        let written = shown_key(&entry.key);
        if self.is_full() || nearest(&entry.key, T::shape().fields().iter().map(|f| f.name)).is_some() {
            return item.clone();
        }
        let message = format!("expected `{name}` and `{value}`, found `{written}`");
        let problem = Diagnostic::error(Code::UnknownField, self.path(), message).at(entry.key_place);
        let meant = format!("`- {{{name}: {written}, {value}: …}}`");
        self.report(problem.help(format!("write {meant}")).taken_as(meant));
        pair(entry, name, value)
    }
}

/// `a: b` as `a=b`.
fn as_assignment(entry: &Entry) -> Option<String> {
    let Kind::Scalar(value) = &entry.value.kind else { return None };
    Some(format!("{}={}", entry.key, value.text))
}

/// A mapping in place of a list of texts, as `{a: b}` for `[a=b]` and `{a: true}` for `[a]`.
fn as_texts(entries: &[Entry], problem: Diagnostic) -> (Diagnostic, Option<Vec<Node>>) {
    // `{GET: true}` only says that it is there.
    let is_true = |entry: &Entry| matches!(&entry.value.kind, Kind::Scalar(it) if it.plain && it.text.eq_ignore_ascii_case("true"));
    let text = |entry: &Entry| if is_true(entry) { Some(entry.key.to_string()) } else { as_assignment(entry) };
    let texts: Option<Vec<String>> = entries.iter().map(text).collect();
    let Some(texts) = texts.filter(|texts| (1..=MOST_WRITTEN).contains(&texts.len())) else { return (problem, None) };
    let written: Vec<String> = texts.iter().map(|text| crate::yaml::in_flow(&shown(text))).collect();
    let written = format!("`[{}]`", written.join(", "));
    let item = |(entry, text): (&Entry, String)| {
        let kind = Kind::Scalar(Scalar { text: Rc::from(text), plain: false });
        Node { place: entry.key_place, kind }
    };
    let items = entries.iter().zip(texts).map(item).collect();
    (problem.help(format!("write it as a list: {written}")).taken_as(written), Some(items))
}

/// More items are not written out in a message.
const MOST_WRITTEN: usize = 4;

/// The items that a mapping stands for: itself, or what its keys name.
fn in_mapping<T: Wire>(entries: &[Entry], node: &Node, problem: Diagnostic) -> (Diagnostic, Option<Vec<Node>>) {
    let shape = T::shape();
    let fields: Vec<&str> = shape.fields().iter().map(|field| field.name).collect();
    let is_object = |entry: &Entry| matches!(entry.value.kind, Kind::Mapping(_)) || entry.value.is_null();
    let are_named = fields.contains(&"name") && entries.iter().all(is_object);
    let is_item = |entry: &Entry| match T::as_pair() {
        Some(_) => fields.iter().any(|field| flat(field) == flat(&entry.key)),
        None => nearest(&entry.key, fields.iter().copied()).is_some(),
    };
    if entries.iter().any(|entry| fields.contains(&&*entry.key)) || !are_named && entries.iter().any(is_item) {
        return (problem.help("put `- ` before each item").taken_as("a list of one"), Some(vec![node.clone()]));
    }
    if let Some((name, value)) = T::as_pair() {
        let help = format!("write `- {name}: …` and `{value}: …` for each");
        let items = entries.iter().map(|entry| pair(entry, name, value)).collect();
        return (problem.help(help).taken_as("a list of them"), Some(items));
    }
    match entries.first().filter(|_| are_named) {
        Some(first) => {
            let help = format!("write `- name: {}` with its fields below it, and so for each", shown_key(&first.key));
            let items = entries.iter().map(named).collect();
            (problem.help(help).taken_as("a list of them, each with its name"), Some(items))
        }
        None => (problem.help("put `- ` before each item"), None),
    }
}

/// The one item that a text stands for.
fn in_text<T: Wire>(scalar: &Scalar, node: &Node, problem: Diagnostic) -> (Diagnostic, Option<Vec<Node>>) {
    let is_object = matches!(T::shape(), Shape::Object(_));
    match T::meant_by(scalar) {
        Some(meant) => {
            let help = format!("write `{}` below it", as_item(&meant, T::as_pair()));
            (problem.help(help).taken_as("a list of one"), Some(vec![as_object(&meant, node.place)]))
        }
        None if is_object || scalar.text.is_empty() => (problem, None),
        None => {
            let item = shown(&scalar.text);
            // A number stands without quotes.
            let item = if matches!(T::shape(), Shape::Integer) { item } else { crate::yaml::in_flow(&item) };
            let help = format!("write it as a list: `[{item}]`");
            (problem.help(help).taken_as("a list of one"), Some(vec![node.clone()]))
        }
    }
}

impl Reader {
    /// Zero means absent, which an item of a list cannot be.
    fn is_there<T: Wire>(&mut self, number: &T, rule: &Rule) -> bool {
        if number.is_zero() && rule.min > 0 {
            let problem = Diagnostic::error(Code::OutOfRange, "", "0 is out of range");
            self.report(problem.help(format!("allowed: {} to {}", rule.min, rule.max)));
            return false;
        }
        true
    }
}

/// `KEY: text` → `{key: KEY, value: text}`.
fn pair(entry: &Entry, name: &str, value: &str) -> Node {
    let value = Entry { key: Rc::from(value), key_place: entry.key_place, value: entry.value.clone() };
    let fields = vec![key_as_field(entry, name), value];
    Node { place: entry.key_place, kind: Kind::Mapping(Rc::new(fields)) }
}

/// `web: {…}` → `{name: web, …}`.
fn named(entry: &Entry) -> Node {
    let own = if let Kind::Mapping(own) = &entry.value.kind { &own[..] } else { &[] };
    let name = key_as_field(entry, "name");
    let name = (!own.iter().any(|field| &*field.key == "name")).then_some(name);
    let place = entry.key_place.or(entry.value.place);
    Node { place, kind: Kind::Mapping(Rc::new(name.into_iter().chain(own.iter().cloned()).collect())) }
}

fn key_as_field(entry: &Entry, name: &str) -> Entry {
    let text = Kind::Scalar(Scalar { text: entry.key.clone(), plain: false });
    Entry { key: Rc::from(name), key_place: entry.key_place, value: Node { place: entry.key_place, kind: text } }
}

impl<T: Wire> Wire for Option<T> {
    fn shape() -> Shape {
        T::shape()
    }

    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<Option<T>> {
        if node.is_null() {
            return None;
        }
        let value = T::read(node, rule, reader)?;
        let absent = value.is_zero() && !rule.keeps_empty;
        Some(if absent { None } else { Some(value) })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<Out> {
        self.as_ref().and_then(|value| value.write(writer))
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }

    fn unseal(&mut self, unsealer: &mut Unsealer<'_>) {
        if let Some(value) = self {
            value.unseal(unsealer);
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<Vec<T>> {
        let items = match &node.kind {
            Kind::Sequence(items) => items.clone(),
            Kind::Mapping(_) | Kind::Scalar(_) => Rc::new(reader.items_meant::<T>(node)?),
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = reader.item(index, item, |reader| {
                if item.is_null() {
                    reader.report(Diagnostic::error(Code::WrongType, "", "this item of the list is empty"));
                    return None;
                }
                let item = match T::shape() {
                    Shape::Text => reader.as_text(item),
                    _ => reader.as_pair::<T>(item),
                };
                let value = T::read(&item, rule, reader);
                match T::shape() {
                    Shape::Integer => value.filter(|number| reader.is_there(number, rule)),
                    _ => value,
                }
            });
            reader.lost_items |= value.is_none() && matches!(T::shape(), Shape::Object(_));
            list.extend(value);
        }
        Some(list)
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<Out> {
        let mut items = Vec::with_capacity(self.len());
        for (index, item) in self.iter().enumerate() {
            writer.trail.push_item(item.label(), index);
            items.extend(item.write(writer));
            writer.trail.pop();
        }
        Some(Out::List(items))
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }

    fn unseal(&mut self, unsealer: &mut Unsealer<'_>) {
        for (index, item) in self.iter_mut().enumerate() {
            unsealer.trail.push_item(item.label(), index);
            item.unseal(unsealer);
            unsealer.trail.pop();
        }
    }
}
