//! How values cross the border between text and types: one trait, implemented once for each kind of value.
//!
//! The object types themselves are declared with [`object!`] and [`words!`], which derive reading, writing and the
//! description of the fields from one declaration, so that the three cannot disagree.

mod declare;
pub(crate) mod form;
mod list;
mod number;
mod objects;
mod places;
mod reader;
pub(crate) mod rule;
mod text;
mod writer;

pub(crate) use declare::{field_name, last_name, object, words};
pub(crate) use places::Places;
pub(crate) use reader::Reader;
pub(crate) use rule::Rule;
pub(crate) use text::READ_OTHERWISE;
pub use writer::Seal;
pub(crate) use writer::{Trail, Writer};

use crate::secret::SecretText;
use crate::tree::{Entry, Node};

/// A value that a spec can hold.
pub(crate) trait SpecValue: Sized {
    /// The field that distinguishes the items of a list.
    const LABEL: Option<&'static str> = None;

    /// What stands in a list for an item that cannot be read.
    fn placeholder() -> Option<Self> {
        None
    }

    /// What it looks like in a text.
    fn shape() -> Shape;

    /// Reads it. `None`: it is not there, or a problem was reported.
    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<Self>;

    /// Writes it. `None`: it is absent, or zero, which is the same.
    fn write(&self, writer: &mut Writer<'_>) -> Option<Node>;

    /// Empty text, 0, `false`, an empty list: what App Platform's clients leave out.
    fn is_zero(&self) -> bool {
        false
    }

    /// What names it among its neighbours in a list, for paths that survive a change of order.
    fn label(&self) -> Option<&str> {
        None
    }

    /// Opens the sealed secrets inside.
    fn unseal(&mut self, _unsealer: &mut Unsealer<'_>) {}
}

/// A value made of fields.
pub(crate) trait Object: Default {
    /// In the words of a diagnostic, for example "a service".
    const WHAT: &'static str;

    /// Its fields in the order they are written.
    fn fields() -> &'static [Field];

    /// Reads one field. `false`: it has no such field.
    fn read_field(&mut self, entry: &Entry, reader: &mut Reader) -> bool;

    /// Writes all fields that are not absent.
    fn write_fields(&self, writer: &mut Writer<'_>, out: &mut Vec<Entry>);

    /// Opens the sealed secrets inside.
    fn unseal_fields(&mut self, unsealer: &mut Unsealer<'_>);

    /// Called once after the last field was read.
    fn finish(&mut self, _node: &Node, _reader: &mut Reader) {}
}

/// A field of an object, as described to tests, tables and editors.
#[derive(Clone)]
pub(crate) struct Field {
    pub name: &'static str,
    /// What it is for, in the words of its documentation.
    pub doc: &'static str,
    pub shape: Shape,
    pub rule: Rule,
}

/// What a value looks like in a text.
#[derive(Clone)]
pub(crate) enum Shape {
    Text,
    Boolean,
    Integer,
    /// One of these.
    Word(&'static [&'static str]),
    List(Box<Shape>),
    Object(&'static [Field]),
    /// Whatever it is.
    Any,
}

impl Shape {
    /// The fields of the object, or of the objects in the list.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Shape::Object(fields) => fields,
            Shape::List(items) => items.fields(),
            Shape::Text | Shape::Boolean | Shape::Integer | Shape::Word(_) | Shape::Any => &[],
        }
    }
}

/// Opens sealed values on its way through a spec.
pub(crate) struct Unsealer<'a> {
    pub trail: Trail,
    pub open: &'a dyn Fn(&str, &str) -> Option<SecretText>,
    /// The paths that could not be opened.
    pub closed: Vec<String>,
}

impl Unsealer<'_> {
    /// The secret in `sealed`, or a note that it stays sealed.
    pub fn open(&mut self, sealed: &str) -> Option<SecretText> {
        let path = self.trail.path();
        let opened = (self.open)(&path, sealed);
        if opened.is_none() {
            self.closed.push(path);
        }
        opened
    }
}
