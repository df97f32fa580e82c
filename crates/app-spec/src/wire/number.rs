//! Numbers and booleans. Text that holds one is taken for it, with a warning.

use super::form::unsubstituted;
use super::{Out, Reader, Rule, Shape, Wire, Writer};
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
        self.in_range(integer, rule)
    }

    /// `"3000"` is taken for 3000; a template is told from other text.
    fn integer_in_text(&mut self, scalar: &Scalar, node: &Node) -> Option<i64> {
        if let Plain::Integer(integer) = Plain::of(scalar.text.trim()) {
            let message = format!("text where a number is expected, taken as {integer}");
            self.report(Diagnostic::warning(Code::Converted, "", message).help("leave out the quotes"));
            return Some(integer);
        }
        match unsubstituted(&scalar.text) {
            Err(complaint) => self.report(complaint.into_problem("")),
            Ok(()) if scalar.text.is_empty() => {}
            Ok(()) => self.wrong_type("a number", node),
        }
        None
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
