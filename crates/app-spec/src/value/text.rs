//! Reads text and checks its form.

use super::{Reader, Rule, Shape, SpecValue, Writer};
use crate::diagnostic::{Code, Diagnostic};
use crate::tree::{Kind, Node, Plain, Style, is_old_boolean};

impl Reader {
    /// The text of a scalar exactly as written. Numbers and booleans are read as text, with a warning.
    pub fn text(&mut self, node: &Node) -> Option<String> {
        let text = self.scalar_text(node)?;
        self.warn_of_conversion(node);
        Some(text)
    }

    fn scalar_text(&mut self, node: &Node) -> Option<String> {
        let Kind::Scalar(scalar) = &node.kind else {
            self.wrong_type("text", node);
            return None;
        };
        (scalar.meaning() != Plain::Null).then(|| scalar.text.to_string())
    }

    fn warn_of_conversion(&mut self, node: &Node) {
        let Kind::Scalar(scalar) = &node.kind else { return };
        let message = match scalar.meaning() {
            Plain::Bool(_) | Plain::Integer(_) | Plain::Number(_) => {
                format!("{} where text is expected, read as text", node.what())
            }
            Plain::Text if scalar.style == Style::Plain && is_old_boolean(&scalar.text) => AMBIGUOUS.to_owned(),
            Plain::Text | Plain::Null => return,
        };
        self.report(Diagnostic::warning(Code::Converted, "", message).help("put it in quotes"));
    }

    /// The text of a scalar if it has the form that `rule` asks for.
    pub fn checked_text(&mut self, node: &Node, rule: &Rule) -> Option<String> {
        let text = self.scalar_text(node)?;
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
        self.warn_of_conversion(node);
        Some(text)
    }
}

/// The warning for text that YAML 1.1 reads as another type.
pub(crate) const AMBIGUOUS: &str = "read as text; older YAML parsers read it as another type";

impl SpecValue for String {
    fn shape() -> Shape {
        Shape::Text
    }

    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<String> {
        reader.checked_text(node, rule)
    }

    fn write(&self, _: &mut Writer<'_>) -> Option<Node> {
        Some(Node::text(self))
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}
