//! Reading and writing of plain values: text, numbers, booleans, lists, things that may be absent.
//!
//! App Platform's clients leave out empty text, 0, `false` and empty lists, so those are read as absent.

use super::form::unsubstituted;
use super::{Out, Reader, Rule, Shape, Unsealer, Wire, Writer};
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::shown;
use crate::tree::{Kind, Node, Plain, Scalar};

impl Reader {
    /// The text of a scalar exactly as it was written. Numbers and booleans are taken as text, with a warning.
    pub fn text(&mut self, node: &Node) -> Option<String> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong_type("text", node);
            return None;
        };
        match scalar.meaning() {
            Plain::Null => return None,
            Plain::Text => {}
            Plain::Bool(_) | Plain::Integer(_) | Plain::Number(_) => {
                let message = format!("{} where text is expected, taken as text as it is written", node.what());
                self.report(Diagnostic::warning(Code::Converted, "", message).help("put it in quotes"));
            }
        }
        Some(scalar.text.to_string())
    }

    fn checked_text(&mut self, node: &Node, rule: &Rule) -> Option<String> {
        if rule.secret {
            self.hide(node);
        }
        let text = self.text(node)?;
        if text.is_empty() {
            return Some(text);
        }
        if text.chars().nth(rule.longest).is_some() {
            let message = format!("longer than {} characters", rule.longest);
            self.report(Diagnostic::error(Code::OutOfRange, "", message));
            return None;
        }
        let complaint = rule.form.and_then(|form| form(&text).err());
        let Some(complaint) = complaint else { return Some(text) };
        let mut diagnostic = Diagnostic::error(complaint.code, "", complaint.message);
        diagnostic.help = complaint.help;
        self.report(diagnostic);
        None
    }

    fn integer(&mut self, node: &Node, rule: &Rule) -> Option<i64> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong_type("a number", node);
            return None;
        };
        let integer = match scalar.meaning() {
            Plain::Null => return None,
            Plain::Integer(integer) => integer,
            Plain::Text => self.integer_in_text(scalar, node)?,
            Plain::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => number as i64,
            Plain::Number(_) => {
                let message = format!("expected a whole number, found `{}`", shown(&scalar.text));
                self.report(Diagnostic::error(Code::WrongType, "", message));
                return None;
            }
            Plain::Bool(_) => {
                self.wrong_type("a number", node);
                return None;
            }
        };
        self.in_range(integer, rule).then_some(integer)
    }

    /// `"3000"` is taken for 3000; a template is told from other text.
    fn integer_in_text(&mut self, scalar: &Scalar, node: &Node) -> Option<i64> {
        if let Plain::Integer(integer) = Plain::of(scalar.text.trim()) {
            let message = format!("text where a number is expected, taken as {integer}");
            self.report(Diagnostic::warning(Code::Converted, "", message).help("leave out the quotes"));
            return Some(integer);
        }
        match unsubstituted(&scalar.text) {
            Err(complaint) => {
                let mut diagnostic = Diagnostic::error(complaint.code, "", complaint.message);
                diagnostic.help = complaint.help;
                self.report(diagnostic);
            }
            Ok(()) if scalar.text.is_empty() => {}
            Ok(()) => self.wrong_type("a number", node),
        }
        None
    }
}

impl Wire for String {
    fn shape() -> Shape {
        Shape::Text
    }

    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<String> {
        reader.checked_text(node, rule)
    }

    fn write(&self, _: &mut Writer<'_>) -> Option<Out> {
        Some(Out::Text(self.clone()))
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

impl Wire for bool {
    fn shape() -> Shape {
        Shape::Boolean
    }

    fn read(node: &Node, _: &Rule, reader: &mut Reader) -> Option<bool> {
        let Kind::Scalar(scalar) = &node.kind else {
            reader.wrong_type("true or false", node);
            return None;
        };
        if let Plain::Bool(truth) = scalar.meaning() {
            return Some(truth);
        }
        let truth = match scalar.text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => true,
            "false" | "no" | "off" => false,
            _ => {
                reader.wrong_type("true or false", node);
                return None;
            }
        };
        let message = format!("text where a boolean is expected, taken as {truth}");
        reader.report(Diagnostic::warning(Code::Converted, "", message).help(format!("write {truth} without quotes")));
        Some(truth)
    }

    fn write(&self, _: &mut Writer<'_>) -> Option<Out> {
        Some(Out::Boolean(*self))
    }

    fn is_zero(&self) -> bool {
        !*self
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl Wire for $ty {
            fn shape() -> Shape {
                Shape::Integer
            }

            fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<$ty> {
                let least = i64::from(<$ty>::MIN).max(rule.min);
                let most = i64::from(<$ty>::MAX).min(rule.max);
                let rule = Rule { min: least, max: most, ..*rule };
                reader.integer(node, &rule).and_then(|integer| integer.try_into().ok())
            }

            fn write(&self, _: &mut Writer<'_>) -> Option<Out> {
                Some(Out::Integer(i64::from(*self)))
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

integers!(u16, u32);

impl Wire for f64 {
    fn shape() -> Shape {
        Shape::Number
    }

    fn read(node: &Node, _: &Rule, reader: &mut Reader) -> Option<f64> {
        let scalar = if let Kind::Scalar(scalar) = &node.kind { Some(scalar) } else { None };
        let number = match scalar.map(Scalar::meaning) {
            Some(Plain::Integer(integer)) => Some(integer as f64),
            Some(Plain::Number(number)) => Some(number),
            Some(Plain::Text | Plain::Null | Plain::Bool(_)) | None => None,
        };
        match number.filter(|n| n.is_finite() && *n >= 0.0) {
            Some(number) => Some(number),
            None => {
                reader.wrong_type("a number that is not negative", node);
                None
            }
        }
    }

    fn write(&self, _: &mut Writer<'_>) -> Option<Out> {
        let whole = self.fract() == 0.0 && *self < 1e15;
        Some(if whole { Out::Integer(*self as i64) } else { Out::Number(*self) })
    }

    fn is_zero(&self) -> bool {
        *self == 0.0
    }
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
            Kind::Sequence(items) => items,
            Kind::Mapping(_) => {
                let message = "expected a list, found a mapping";
                reader.report(Diagnostic::error(Code::WrongType, "", message).help("put `- ` before each item"));
                return None;
            }
            Kind::Scalar(_) => {
                reader.wrong_type("a list", node);
                return None;
            }
        };
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let value = reader.item(index, item, |reader| {
                if item.is_null() {
                    reader.report(Diagnostic::error(Code::WrongType, "", "this item of the list is empty"));
                    return None;
                }
                T::read(item, rule, reader)
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
