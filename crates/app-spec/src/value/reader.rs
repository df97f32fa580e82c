//! The reader walks through the tree, tracks the path, and collects all problems.

use super::{Field, Places, Rule, SpecValue, form};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place};
use crate::tree::{Entry, Kind, Node, Style};

/// Walks through a tree and collects problems.
pub(crate) struct Reader {
    /// Whether the spec is a stored one, which need not satisfy the current rules.
    pub is_stored: bool,
    path: Vec<Step>,
    pub problems: Diagnostics,
    pub places: Places,
    /// The fields of the current object and of the enclosing ones, the outermost first.
    pub enclosing: Vec<&'static [Field]>,
}

enum Step {
    Field(&'static str),
    Item(usize),
}

impl Reader {
    /// Creates a reader at the root. `problems` are the problems found while parsing the text.
    pub fn new(problems: Diagnostics) -> Reader {
        Reader { is_stored: false, path: Vec::new(), problems, places: Places::default(), enclosing: Vec::new() }
    }

    /// Creates a reader of a stored spec. Other rules may have applied when it was stored, so this reader applies no
    /// rules and reports only what the types cannot hold.
    pub fn of_stored() -> Reader {
        Reader { is_stored: true, ..Reader::new(Diagnostics::default()) }
    }

    /// The rule that applies to a value. A stored value has no limits and no form.
    fn rule_for(&self, rule: &Rule) -> Rule {
        match self.is_stored {
            true => Rule { min: i64::MIN, max: i64::MAX, longest: usize::MAX, form: None, ..*rule },
            false => *rule,
        }
    }

    /// Whether the reader is at the root of the spec.
    pub fn is_at_root(&self) -> bool {
        self.path.is_empty()
    }

    /// The current field, or the field of the list that contains the current item.
    pub fn field_name(&self) -> Option<&'static str> {
        self.path.iter().rev().find_map(|step| if let Step::Field(name) = step { Some(*name) } else { None })
    }

    /// The path of a field of the current object.
    pub fn path_of(&self, field: &str) -> String {
        let here = self.path();
        if here.is_empty() { field.to_owned() } else { format!("{here}.{field}") }
    }

    /// The place of a value, or of its key if the key is on a different line.
    pub fn place_of(&self, node: &Node) -> Option<Place> {
        let known = self.places.nearest(&self.path());
        let own = node.place.filter(|own| own.end > own.start);
        own.filter(|own| known.is_none_or(|known| known.line == own.line)).or(known).or(node.place)
    }

    /// The current path, such as `services[0].http_port`.
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

    /// Reads a value. `None` if it is absent or a problem was reported.
    pub fn value<T: SpecValue>(&mut self, node: &Node, rule: &Rule) -> Option<T> {
        match &node.kind {
            _ if node.is_null() => None,
            Kind::Scalar(scalar) if scalar.style == Style::Template => {
                self.report(form::unsubstituted(&scalar.text).err()?.into_problem(""));
                None
            }
            _ => T::read(node, &self.rule_for(rule), self),
        }
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

    /// Reports a problem with the current value.
    pub fn report(&mut self, mut diagnostic: Diagnostic) {
        if self.is_stored && (!diagnostic.is_error() || diagnostic.code == Code::Missing) {
            return;
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
        self.hide(node);
        let problem = Diagnostic::error(Code::WrongType, "", format!("expected {wanted}, found {}", node.what()));
        self.report(problem.at(self.place_of(node)));
    }

    /// Refuses a number, shown as written.
    pub fn out_of_range(&mut self, number: &str, rule: &Rule) {
        let limits = match (rule.min, rule.max) {
            (min, i64::MAX) => format!("at least {min}"),
            (min, max) => format!("{min} to {max}"),
        };
        let problem = Diagnostic::error(Code::OutOfRange, "", format!("{number} is out of range"));
        self.report(problem.help(format!("allowed: {limits}")));
    }

    /// Marks the bytes of a value as hidden, so that the renderer never shows them.
    pub fn hide(&mut self, node: &Node) {
        self.hide_place(node.place);
    }

    pub fn hide_place(&mut self, place: Option<Place>) {
        self.problems.hidden.extend(place.map(|p| p.start..p.end));
    }
}
