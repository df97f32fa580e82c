//! Lists and optional values.
//!
//! App Platform's clients leave out empty text, 0, `false` and empty lists, so those are read as absent.

use super::{Reader, Rule, Shape, SpecValue, Writer};
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::shown_key;
use crate::tree::{Kind, Node};

impl Reader {
    fn not_a_list<T: SpecValue>(&mut self, node: &Node) {
        let problem = Diagnostic::error(Code::WrongType, "", format!("expected a list, found {}", node.what()));
        let help = match &node.kind {
            Kind::Mapping(entries) => match entries.first().filter(|_| T::LABEL.is_some()) {
                Some(entry) if !T::shape().fields().iter().any(|field| *field.name == *entry.key) => {
                    let label = T::LABEL.unwrap_or_default();
                    let more = if label == "key" { "`value: …`" } else { "its fields below it" };
                    Some(format!("write each item as `- {label}: {}` with {more}", shown_key(&entry.key)))
                }
                _ => Some("put `- ` before the first field of each item".to_owned()),
            },
            Kind::Scalar(_) | Kind::Sequence(_) => None,
        };
        let problem = problem.at(self.place_of(node));
        self.hide(node);
        self.report(help.into_iter().fold(problem, Diagnostic::help));
    }

    /// Refuses zero in a list: zero means absent, but an item of a list cannot be absent.
    fn is_present<T: SpecValue>(&mut self, number: &T, rule: &Rule) -> bool {
        let is_absent = number.is_zero() && rule.min > 0;
        if is_absent {
            self.out_of_range("0", rule);
        }
        !is_absent
    }
}

impl<T: SpecValue> SpecValue for Option<T> {
    fn shape() -> Shape {
        T::shape()
    }

    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<Option<T>> {
        let value = T::read(node, rule, reader)?;
        let absent = value.is_zero() && !rule.keeps_empty;
        Some(if absent { None } else { Some(value) })
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<Node> {
        self.as_ref().and_then(|value| value.write(writer))
    }

    fn is_zero(&self) -> bool {
        self.is_none()
    }
}

impl<T: SpecValue> SpecValue for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    /// Adds a placeholder for an item that cannot be read, so that positions match the text.
    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<Vec<T>> {
        let Kind::Sequence(items) = &node.kind else {
            if !node.is_empty_text() {
                reader.not_a_list::<T>(node);
            }
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = reader.item(index, item, |reader| {
                if item.is_null() {
                    reader.report(Diagnostic::error(Code::WrongType, "", "this item of the list is empty"));
                    return None;
                }
                let value = reader.value::<T>(item, rule);
                match T::shape() {
                    Shape::Integer => value.filter(|number| reader.is_present(number, rule)),
                    _ => value,
                }
            });
            list.extend(value.or_else(T::placeholder));
        }
        Some(list)
    }

    fn write(&self, writer: &mut Writer<'_>) -> Option<Node> {
        let mut items = Vec::with_capacity(self.len());
        for (index, item) in self.iter().enumerate() {
            writer.trail.push_item(item.label(), index);
            items.extend(item.write(writer));
            writer.trail.pop();
        }
        Some(Node::list(items))
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}
