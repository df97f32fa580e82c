//! The reader: walks the located tree, knows where it is, collects every problem.

use super::{Places, Rule};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Remedy};
use crate::tree::{Entry, Node};

/// What becomes of a value that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leniency {
    /// It refuses the spec.
    Strict,
    /// It refuses the spec where it has the wrong form, else it is left out.
    SchemaOnly,
    /// It is mended where little doubt is left, else left out.
    Lenient,
}

/// Walks a tree and collects problems.
pub(crate) struct Reader {
    leniency: Leniency,
    path: Vec<Step>,
    pub problems: Diagnostics,
    pub places: Places,
    /// An object of a list could not be read at all, so that positions in the result are not those in the text.
    pub lost_items: bool,
}

enum Step {
    Field(&'static str),
    Item(usize),
}

impl Reader {
    /// A reader at the root. `problems` are those that the text itself has.
    pub fn new(leniency: Leniency, problems: Diagnostics) -> Reader {
        Reader { leniency, path: Vec::new(), problems, places: Places::default(), lost_items: false }
    }

    /// Whether wrong values are mended.
    pub fn is_lenient(&self) -> bool {
        self.leniency == Leniency::Lenient
    }

    /// Whether what is meant is read on in place of what was written. A strict reader does it to find what else is wrong;
    /// the spec is refused all the same.
    pub fn mends(&self) -> bool {
        self.leniency != Leniency::SchemaOnly
    }

    /// Whether it stands at the whole spec.
    pub fn is_at_root(&self) -> bool {
        self.path.is_empty()
    }

    /// Where the reader stands, as in `services[0].http_port`.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => path.push_str(&format!(".{name}")),
                Step::Item(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    /// Reads the value of a field.
    pub fn field<T>(&mut self, name: &'static str, entry: &Entry, read: impl FnOnce(&mut Reader) -> T) -> T {
        self.path.push(Step::Field(name));
        self.places.remember(self.path(), &entry.value, entry.key_place);
        let value = read(self);
        self.path.pop();
        value
    }

    /// Reads an item of a list.
    pub fn item<T>(&mut self, index: usize, node: &Node, read: impl FnOnce(&mut Reader) -> T) -> T {
        self.path.push(Step::Item(index));
        self.places.remember(self.path(), node, None);
        let value = read(self);
        self.path.pop();
        value
    }

    /// Reports a problem with the value at hand. If nobody says otherwise, the value is left out.
    pub fn report(&mut self, mut diagnostic: Diagnostic) {
        if diagnostic.is_error() {
            diagnostic.remedy.get_or_insert_with(|| Box::new(Remedy::LeftOut));
        }
        if diagnostic.path.is_empty() {
            diagnostic.path = self.path();
        }
        if diagnostic.place.is_none() {
            diagnostic.place = self.places.nearest(&diagnostic.path);
        }
        self.problems.push(diagnostic);
    }

    pub fn wrong_type(&mut self, wanted: &str, node: &Node) {
        self.report(Diagnostic::error(Code::WrongType, "", format!("expected {wanted}, found {}", node.what())));
    }

    /// Whether there are more problems than anyone reads. The next one is then only counted: wording it costs time, and
    /// a hostile text has thousands.
    pub fn is_full(&mut self) -> bool {
        let is_full = self.problems.is_full();
        if is_full {
            self.problems.count();
        }
        is_full
    }

    /// Holds a number against the limits of its field. Zero is absent and always allowed. A lenient reader takes the
    /// nearest number that is allowed.
    pub fn in_range(&mut self, number: i64, rule: &Rule) -> Option<i64> {
        if number == 0 || (rule.min..=rule.max).contains(&number) {
            return Some(number);
        }
        let limits = match (rule.min, rule.max) {
            (min, i64::MAX) => format!("at least {min}"),
            (min, max) => format!("{min} to {max}"),
        };
        let nearest = number.clamp(rule.min, rule.max);
        let problem = Diagnostic::error(Code::OutOfRange, "", format!("{number} is out of range"));
        self.report(problem.help(format!("allowed: {limits}")).taken_as(nearest.to_string()));
        self.is_lenient().then_some(nearest)
    }

    /// Never shows these bytes to anyone.
    pub fn hide(&mut self, node: &Node) {
        self.problems.hidden.extend(node.place.map(|p| p.start..p.end));
    }
}
