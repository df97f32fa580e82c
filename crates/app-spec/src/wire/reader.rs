//! The reader: walks the located tree, knows where it is, collects every problem.

use std::collections::HashMap;
use std::rc::Rc;

use super::{Field, Object, Rule, Shape};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Place, Remedy};
use crate::suggest::{nearest, shown};
use crate::tree::{Entry, Kind, Node, Plain};

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
        self.remember(&entry.value, entry.key_place);
        let value = read(self);
        self.path.pop();
        value
    }

    /// Reads an item of a list.
    pub fn item<T>(&mut self, index: usize, node: &Node, read: impl FnOnce(&mut Reader) -> T) -> T {
        self.path.push(Step::Item(index));
        self.remember(node, None);
        let value = read(self);
        self.path.pop();
        value
    }

    fn remember(&mut self, node: &Node, key_place: Option<Place>) {
        let written = node.place.filter(|p| p.end > p.start && matches!(node.kind, Kind::Scalar(_)));
        if let Some(place) = written.or(key_place).or(node.place) {
            self.places.0.insert(self.path(), Spot { place, key: key_place });
        }
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

    /// Reads an object: every field it knows, a problem for every field it does not.
    pub fn object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let Kind::Mapping(entries) = &node.kind else {
            return self.not_an_object::<T>(node);
        };
        let mut object = T::default();
        let mut meant = Vec::new();
        for entry in entries.iter() {
            if !object.read_field(entry, self) {
                meant.extend(self.unknown_field::<T>(&mut object, entry, entries));
            }
        }
        for field in T::fields().iter().filter(|f| f.rule.required) {
            let is_given = |e: &Entry| &*e.key == field.name && !is_absent(&e.value, &field.shape);
            if !entries.iter().chain(&meant).any(is_given) {
                self.missing::<T>(field.name, node);
            }
        }
        object.finish(node, self);
        Some(object)
    }

    /// Says what is wrong. A lenient reader takes a bare text for the field that it stands for, and a list of one for
    /// its only item.
    fn not_an_object<T: Object>(&mut self, node: &Node) -> Option<T> {
        let message = format!("expected {} (a mapping of fields), found {}", T::WHAT, node.what());
        let problem =
            Diagnostic::error(Code::WrongType, "", message).at(self.places.nearest(&self.path()).or(node.place));
        match (&node.kind, T::SHORTHAND) {
            (Kind::Scalar(scalar), Some(field)) if !scalar.text.is_empty() => {
                let written = format!("`{field}: {}`", shown(&scalar.text));
                self.report(problem.help(format!("write {written} in it")).taken_as(&written));
                let entry = Entry { key: Rc::from(field), key_place: node.place, value: node.clone() };
                let meant = Node { place: node.place, kind: Kind::Mapping(Rc::new(vec![entry])) };
                if self.is_lenient() { self.object(&meant) } else { None }
            }
            (Kind::Sequence(items), _) => {
                let problem = problem.help("leave out the `- ` before the fields");
                match &items[..] {
                    [only @ Node { kind: Kind::Mapping(_), .. }] if self.is_lenient() => {
                        self.report(problem.taken_as("its only item"));
                        self.object(only)
                    }
                    _ => {
                        self.report(problem);
                        None
                    }
                }
            }
            (Kind::Mapping(_) | Kind::Scalar(_), _) => {
                self.report(problem);
                None
            }
        }
    }

    fn missing<T: Object>(&mut self, name: &'static str, node: &Node) {
        let here = self.path();
        let path = if here.is_empty() { name.to_owned() } else { format!("{here}.{name}") };
        let message = format!("{} needs `{name}`", T::WHAT);
        let start = node.place.map(|p| Place { end: p.start, ..p });
        self.report(Diagnostic::error(Code::Missing, path, message).at(start).remedied(Remedy::Kept));
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

    /// A lenient reader takes a misspelt field for the one that is meant, unless that one is given too. Returns the field
    /// as it was meant: whoever misspelt it need not be told that it is missing as well.
    fn unknown_field<T: Object>(&mut self, object: &mut T, entry: &Entry, entries: &[Entry]) -> Option<Entry> {
        let is_extension = self.path.is_empty() && entry.key.starts_with("x-");
        if is_extension || self.is_full() {
            return None;
        }
        let message = format!("{} has no field `{}`", T::WHAT, shown(&entry.key));
        let problem = Diagnostic::error(Code::UnknownField, self.path(), message).at(entry.key_place);
        let Some(near) = nearest(&entry.key, T::fields().iter().map(|f| f.name)) else {
            self.report(match owners(&entry.key) {
                Some(owners) => problem.help(format!("`{}` is a field of {owners}", entry.key)),
                None => problem,
            });
            return None;
        };
        let problem = problem.help(format!("did you mean `{near}`?"));
        if entries.iter().any(|e| &*e.key == near) {
            self.report(problem);
            return None;
        }
        self.report(problem.taken_as(format!("`{near}`")));
        let meant = Entry { key: Rc::from(near), ..entry.clone() };
        if self.is_lenient() {
            object.read_field(&meant, self);
        }
        Some(meant)
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

/// Nothing, empty text, or a number that is 0: what clients leave out.
fn is_absent(node: &Node, shape: &Shape) -> bool {
    let Kind::Scalar(scalar) = &node.kind else { return false };
    let is_zero = || matches!(shape, Shape::Integer) && Plain::of(&scalar.text) == Plain::Integer(0);
    node.is_null() || scalar.text.is_empty() || is_zero()
}

/// What has a field of that name, when the one at hand has not: it may only stand in the wrong place. The nearest to the
/// top of the spec are named, at most three.
fn owners(name: &str) -> Option<String> {
    let mut level: Vec<(&'static str, &'static [Field])> = vec![("the app", crate::spec::AppSpec::fields())];
    while !level.is_empty() {
        let mut owners: Vec<&str> = Vec::new();
        for (owner, fields) in &level {
            if fields.iter().any(|f| f.name == name) && !owners.contains(owner) {
                owners.push(owner);
            }
        }
        if !owners.is_empty() {
            owners.truncate(3);
            return Some(crate::suggest::one_of(owners));
        }
        level = level.iter().flat_map(|(_, fields)| fields.iter().map(|f| (f.name, f.shape.fields()))).collect();
    }
    None
}

/// Where each field of a text stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(HashMap<String, Spot>);

#[derive(Clone, Copy, Debug)]
struct Spot {
    /// What problems point at.
    place: Place,
    key: Option<Place>,
}

impl Places {
    /// Where a field begins: its key, or the item of a list.
    pub fn beginning(&self, path: &str) -> Option<Place> {
        self.0.get(path).map(|spot| spot.key.unwrap_or(spot.place))
    }

    /// The field whose key, or else whose value, begins at a place.
    fn path_at(&self, place: Place) -> Option<&str> {
        let by_key = |(_, spot): &(&String, &Spot)| spot.key.is_some_and(|key| key.start == place.start);
        let by_value = |(_, spot): &(&String, &Spot)| spot.place.start == place.start;
        // Several values may begin at one place, the outermost first.
        let value = || self.0.iter().filter(by_value).max_by_key(|(path, _)| path.len());
        self.0.iter().find(by_key).or_else(value).map(|(path, _)| path.as_str())
    }

    /// Gives paths to diagnostics that only know a place: those of the text itself.
    pub fn name<'d>(&self, diagnostics: impl IntoIterator<Item = &'d mut Diagnostic>) {
        for diagnostic in diagnostics {
            if let Some(place) = diagnostic.place.filter(|_| diagnostic.path.is_empty()) {
                diagnostic.path = self.path_at(place).unwrap_or_default().to_owned();
            }
        }
    }

    /// The place of a field, or of the nearest thing around it.
    pub fn nearest(&self, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(spot) = self.0.get(path) {
                return Some(spot.place);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Gives places to diagnostics that only know a path.
    pub fn locate<'d>(&self, diagnostics: impl IntoIterator<Item = &'d mut Diagnostic>) {
        for diagnostic in diagnostics {
            diagnostic.place = diagnostic.place.or_else(|| self.nearest(&diagnostic.path));
            if let Some(related) = &mut diagnostic.related {
                related.place = related.place.or_else(|| self.nearest(&related.path));
            }
        }
    }
}
