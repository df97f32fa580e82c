//! Text: as it is written, of the form that its field demands.

use std::borrow::Cow;

use super::{Out, Reader, Rule, Shape, Wire, Writer};
use crate::diagnostic::{Code, Diagnostic, Remedy};
use crate::suggest::shown;
use crate::tree::{Kind, Node, Plain, is_old_boolean};

impl Reader {
    /// The text of a scalar exactly as it was written. Numbers and booleans are taken as text, with a warning.
    pub fn text(&mut self, node: &Node) -> Option<String> {
        let text = self.scalar_text(node)?;
        self.tell_conversion(node);
        Some(text)
    }

    fn scalar_text(&mut self, node: &Node) -> Option<String> {
        match &node.kind {
            Kind::Scalar(scalar) => (scalar.meaning() != Plain::Null).then(|| scalar.text.to_string()),
            Kind::Sequence(items) => self.only_text(items, node),
            Kind::Mapping(_) => {
                self.wrong_type("text", node);
                None
            }
        }
    }

    /// The text of a list of one, which is meant where a text belongs.
    fn only_text(&mut self, items: &[Node], node: &Node) -> Option<String> {
        let problem = Diagnostic::error(Code::WrongType, "", format!("expected text, found {}", node.what()));
        let problem = problem.at(self.place_of(node));
        let [Node { kind: Kind::Scalar(only), .. }] = items else {
            self.report(problem);
            return None;
        };
        self.report(problem.help("write its only item in place of the list").taken_as("its only item"));
        Some(only.text.to_string())
    }

    /// A command that was written as a list: of its words, or of several commands.
    fn command(&mut self, parts: &[Node], node: &Node) -> Option<String> {
        let texts: Option<Vec<&str>> = parts
            .iter()
            .map(|part| if let Kind::Scalar(scalar) = &part.kind { Some(&*scalar.text) } else { None })
            .collect();
        let problem = Diagnostic::error(Code::WrongType, "", format!("expected text, found {}", node.what()));
        let problem = problem.at(self.place_of(node));
        let Some(texts) = texts.filter(|texts| !texts.is_empty()) else {
            self.report(problem);
            return None;
        };
        let are_commands = texts[0].contains(' ');
        let text = match are_commands {
            true => texts.join(" && "),
            false => texts.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" "),
        };
        let written = format!("`{}`", crate::yaml::text(&shown(&text)));
        self.report(problem.help(format!("write {written}")).taken_as(written));
        Some(text)
    }

    fn tell_conversion(&mut self, node: &Node) {
        let Kind::Scalar(scalar) = &node.kind else { return };
        if scalar.plain && is_old_boolean(&scalar.text) {
            self.report(Diagnostic::warning(Code::Converted, "", READ_OTHERWISE).help("put it in quotes"));
        }
        if matches!(scalar.meaning(), Plain::Bool(_) | Plain::Integer(_) | Plain::Number(_)) {
            let message = format!("{} where text is expected, taken as text as it is written", node.what());
            self.report(Diagnostic::warning(Code::Converted, "", message).help("put it in quotes"));
        }
    }

    fn checked_text(&mut self, node: &Node, rule: &Rule) -> Option<String> {
        if rule.secret {
            self.hide(node);
        }
        let text = match &node.kind {
            Kind::Sequence(parts) if rule.command => self.command(parts, node)?,
            Kind::Sequence(_) | Kind::Mapping(_) | Kind::Scalar(_) => self.scalar_text(node)?,
        };
        if text.is_empty() {
            return Some(text);
        }
        if text.contains('\0') && !self.is_stored() {
            let message = "contains a NUL character, which no program, path or request can hold";
            self.report(Diagnostic::error(Code::BadFormat, "", message).remedied(Remedy::Kept));
            return self.is_lenient().then_some(text);
        }
        if text.chars().nth(rule.longest).is_some() {
            let message = format!("longer than {} characters", rule.longest);
            self.report(Diagnostic::error(Code::OutOfRange, "", message).remedied(Remedy::Kept));
            return self.is_lenient().then_some(text);
        }
        let Some(complaint) = rule.form.and_then(|form| form(&text).err()) else {
            self.tell_conversion(node);
            return Some(text);
        };
        let remedy =
            complaint.meant.as_ref().map_or(Remedy::Kept, |meant| Remedy::TakenAs(format!("`{}`", shown(meant))));
        let meant = complaint.meant.clone();
        self.report(complaint.into_problem("").remedied(remedy));
        self.is_lenient().then(|| meant.unwrap_or(text))
    }
}

/// What is said of text that YAML 1.1 takes for something else.
pub(crate) const READ_OTHERWISE: &str = "taken as text as it is written; older YAML readers take it for something else";

/// A word as a shell reads it.
fn shell_word(word: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => Cow::Borrowed(word),
        false => Cow::Owned(format!("'{}'", word.replace('\'', "'\\''"))),
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
