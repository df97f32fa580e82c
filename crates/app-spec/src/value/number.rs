//! Numbers and booleans. Text that holds a number or a boolean is converted, with a warning.

use super::form::unsubstituted;
use super::{Reader, Rule, Shape, SpecValue, Writer};
use crate::diagnostic::{Code, Diagnostic};
use crate::suggest::shown;
use crate::tree::{Kind, Node, Plain, Scalar};

impl Reader {
    fn integer(&mut self, node: &Node, rule: &Rule) -> Option<i64> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong_type("a number", node);
            return None;
        };
        let integer = match scalar.meaning() {
            Plain::Null => return None,
            Plain::Integer(integer) => integer,
            Plain::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => number as i64,
            Plain::Number(number) if number.fract() == 0.0 => {
                self.out_of_range(&shown(&scalar.text), rule);
                return None;
            }
            Plain::Number(_) => {
                let message = format!("expected a whole number, found `{}`", shown(&scalar.text));
                self.report(Diagnostic::error(Code::WrongType, "", message));
                return None;
            }
            Plain::Bool(_) => {
                self.wrong_type("a number", node);
                return None;
            }
            Plain::Text => {
                let Plain::Integer(integer) = Plain::of(scalar.text.trim()) else {
                    self.no_value_in_text(scalar, "a number", node);
                    return None;
                };
                let message = format!("text where a number is expected, read as {integer}");
                self.report(Diagnostic::warning(Code::Converted, "", message).help("leave out the quotes"));
                integer
            }
        };
        // Zero means absent and is always allowed.
        if integer != 0 && !(rule.min..=rule.max).contains(&integer) {
            self.out_of_range(&integer.to_string(), rule);
            return None;
        }
        Some(integer)
    }

    /// Reports text that holds no value. Empty text counts as absent, because clients send it.
    fn no_value_in_text(&mut self, scalar: &Scalar, wanted: &str, node: &Node) {
        match unsubstituted(&scalar.text) {
            Err(complaint) => self.report(complaint.into_problem("")),
            Ok(()) if scalar.text.is_empty() => {}
            Ok(()) => self.wrong_type(wanted, node),
        }
    }
}

impl SpecValue for bool {
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
            "true" => true,
            "false" => false,
            _ => {
                reader.no_value_in_text(scalar, "true or false", node);
                return None;
            }
        };
        let message = format!("text where a boolean is expected, read as {truth}");
        reader.report(Diagnostic::warning(Code::Converted, "", message).help(format!("write {truth} without quotes")));
        Some(truth)
    }

    fn write(&self, _: &mut Writer<'_>) -> Option<Node> {
        Some(Node::plain(self))
    }

    fn is_zero(&self) -> bool {
        !*self
    }
}

macro_rules! integers {
    ($($ty:ty),*) => {$(
        impl SpecValue for $ty {
            fn shape() -> Shape {
                Shape::Integer
            }

            fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<$ty> {
                let least = i64::from(<$ty>::MIN).max(rule.min);
                let most = i64::from(<$ty>::MAX).min(rule.max);
                let rule = Rule { min: least, max: most, ..*rule };
                reader.integer(node, &rule).and_then(|integer| integer.try_into().ok())
            }

            fn write(&self, _: &mut Writer<'_>) -> Option<Node> {
                Some(Node::plain(self))
            }

            fn is_zero(&self) -> bool {
                *self == 0
            }
        }
    )*};
}

integers!(u16, u32);
