//! Lists, and things that may be absent.
//!
//! App Platform's clients leave out empty text, 0, `false` and empty lists, so those are read as absent.

use std::rc::Rc;

use super::{Out, Reader, Rule, Shape, Unsealer, Wire, Writer};
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::shown;
use crate::tree::{Entry, Kind, Node};

impl Reader {
    /// Reports that a list was expected. Where it is plain which items are meant they are read all the same, so that
    /// everything else that is wrong with them is told at once.
    fn items_meant(
        &mut self,
        node: &Node,
        shape: &Shape,
        pair: Option<(&'static str, &'static str)>,
    ) -> Option<Vec<Node>> {
        let entries = match &node.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(scalar) if !scalar.text.is_empty() && !matches!(shape, Shape::Object(_)) => {
                let problem = self.no_list(node);
                self.report(problem.help("put `- ` before it").taken_as("a list of one"));
                return self.is_lenient().then(|| vec![node.clone()]);
            }
            Kind::Scalar(_) | Kind::Sequence(_) => {
                self.wrong_type("a list", node);
                return None;
            }
        };
        let problem = self.no_list(node);
        if entries.iter().any(|entry| shape.fields().iter().any(|field| field.name == &*entry.key)) {
            self.report(problem.help("put `- ` before each item").taken_as("a list of one"));
            return Some(vec![node.clone()]);
        }
        if let Some((name, value)) = pair {
            let help = format!("write `- {name}: …` and `{value}: …` for each");
            self.report(problem.help(help).taken_as("a list of them"));
            return Some(entries.iter().map(|entry| as_item(entry, name, value)).collect());
        }
        self.report(problem.help("put `- ` before each item"));
        None
    }

    fn no_list(&self, node: &Node) -> Diagnostic {
        Diagnostic::error(Code::WrongType, "", format!("expected a list, found {}", node.what()))
    }

    /// `- a: b` in a list of texts: `a=b` is meant, as in `buildpack-stack=ubuntu-22`.
    fn as_text(&mut self, item: &Node) -> Option<Node> {
        let Kind::Mapping(entries) = &item.kind else { return Some(item.clone()) };
        let [Entry { key, value: Node { kind: Kind::Scalar(value), .. }, .. }] = &entries[..] else {
            return Some(item.clone());
        };
        let text = format!("{key}={}", value.text);
        let problem = Diagnostic::error(Code::WrongType, "", "expected text, found a mapping").at(item.place);
        let written = format!("`{}`", shown(&text));
        self.report(problem.help(format!("did you mean {written}?")).taken_as(written));
        let kind = Kind::Scalar(crate::tree::Scalar { text: Rc::from(text), plain: false });
        self.is_lenient().then_some(Node { place: item.place, kind })
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
fn as_item(entry: &Entry, name: &str, value: &str) -> Node {
    let key = Kind::Scalar(crate::tree::Scalar { text: entry.key.clone(), plain: false });
    let fields = vec![
        Entry { key: Rc::from(name), key_place: entry.key_place, value: Node { place: entry.key_place, kind: key } },
        Entry { key: Rc::from(value), key_place: entry.key_place, value: entry.value.clone() },
    ];
    Node { place: entry.key_place, kind: Kind::Mapping(Rc::new(fields)) }
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
            Kind::Mapping(_) | Kind::Scalar(_) => Rc::new(reader.items_meant(node, &T::shape(), T::as_pair())?),
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = reader.item(index, item, |reader| {
                if item.is_null() {
                    reader.report(Diagnostic::error(Code::WrongType, "", "this item of the list is empty"));
                    return None;
                }
                match T::shape() {
                    Shape::Text => T::read(&reader.as_text(item)?, rule, reader),
                    Shape::Integer => T::read(item, rule, reader).filter(|number| reader.is_there(number, rule)),
                    _ => T::read(item, rule, reader),
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
