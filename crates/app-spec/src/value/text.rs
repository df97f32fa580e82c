//! Reads text and checks its form.

use super::{Reader, Rule, Shape, SpecValue, Writer};
use crate::diagnostic::{Code, Diagnostic};
use crate::tree::{Kind, Node, Plain, Scalar, Style, is_old_boolean};

impl Reader {
    /// The text of a scalar exactly as written, if it has the form that `rule` asks for. Numbers and booleans are read
    /// as text, with a warning.
    pub fn text(&mut self, node: &Node, rule: &Rule) -> Option<String> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong_type("text", node);
            return None;
        };
        if scalar.meaning() == Plain::Null {
            return None;
        }
        let text = scalar.text.to_string();
        if self.is_stored || text.is_empty() {
            return Some(text);
        }
        if text.contains('\0') {
            let message = "the text contains a NUL character, which no program, path or request accepts";
            self.report(Diagnostic::error(Code::BadFormat, "", message));
            return None;
        }
        if text.chars().nth(rule.longest).is_some() {
            let message = format!("the text is longer than {} characters", rule.longest);
            self.report(Diagnostic::error(Code::OutOfRange, "", message));
            return None;
        }
        if let Some(complaint) = rule.form.and_then(|form| form(&text).err()) {
            if rule.may_hold_login || text.contains('@') {
                self.hide(node);
            }
            self.report(complaint.into_problem(""));
            return None;
        }
        self.warn_of_conversion(node, scalar);
        Some(text)
    }

    fn warn_of_conversion(&mut self, node: &Node, scalar: &Scalar) {
        let message = match scalar.meaning() {
            Plain::Bool(_) | Plain::Integer(_) | Plain::Number(_) => {
                format!("{} where text is expected, read as text", node.what())
            }
            Plain::Text if scalar.style == Style::Plain && is_old_boolean(&scalar.text) => AMBIGUOUS.to_owned(),
            Plain::Text | Plain::Null => return,
        };
        self.report(Diagnostic::warning(Code::Converted, "", message).help("put it in quotes"));
    }
}

/// The warning for text that YAML 1.1 reads as another type.
pub(crate) const AMBIGUOUS: &str = "read as text; older YAML parsers read it as another type";

impl SpecValue for String {
    fn shape() -> Shape {
        Shape::Text
    }

    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<String> {
        reader.text(node, rule)
    }

    fn write(&self, _: &mut Writer<'_>) -> Option<Node> {
        Some(Node::text(self))
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}
