//! Converts values between text and types, with one trait that each kind of value implements.
//!
//! [`object!`] and [`words!`] declare the types of objects and words. They derive reading, writing and the description
//! of the fields from one declaration, so the three cannot disagree.

pub(crate) mod declare;
pub(crate) mod form;
mod list;
mod number;
mod objects;
mod places;
mod reader;
pub(crate) mod rule;
mod text;
mod writer;

pub(crate) use declare::{object, words};
pub(crate) use places::Places;
pub(crate) use reader::Reader;
pub(crate) use rule::Rule;
pub(crate) use text::AMBIGUOUS;
pub use writer::Seal;
pub(crate) use writer::{Trail, Writer};

use crate::tree::{Entry, Node};

/// A value that a spec can hold.
pub(crate) trait SpecValue: Sized {
    /// The field that identifies an item of a list.
    const LABEL: Option<&'static str> = None;

    /// The placeholder in a list for an item that cannot be read.
    fn placeholder() -> Option<Self> {
        None
    }

    /// The form of the value in a text.
    fn shape() -> Shape;

    /// Reads the value. `None` if it is absent or a problem was reported.
    fn read(node: &Node, rule: &Rule, reader: &mut Reader) -> Option<Self>;

    /// Writes the value. `None` if it is absent or zero, which mean the same.
    fn write(&self, writer: &mut Writer<'_>) -> Option<Node>;

    /// Whether the value is empty text, 0, `false` or an empty list. App Platform's clients leave those out.
    fn is_zero(&self) -> bool {
        false
    }

    /// The name of the value in a list. Paths use it, so that they stay the same when the order changes.
    fn label(&self) -> Option<&str> {
        None
    }
}

/// A value with fields.
pub(crate) trait Object: Default {
    /// The name for diagnostics, for example "a service".
    const WHAT: &'static str;

    /// The fields in the order they are written.
    fn fields() -> &'static [Field];

    /// Reads one field. Returns `false` if there is no such field.
    fn read_field(&mut self, entry: &Entry, reader: &mut Reader) -> bool;

    /// Writes all fields that are present.
    fn write_fields(&self, writer: &mut Writer<'_>, out: &mut Vec<Entry>);

    /// Called once after the last field is read. `what` is the name of the object for diagnostics.
    fn finish(&mut self, what: &str, node: &Node, reader: &mut Reader);
}

/// The description of a field, for tests, tables and editors.
#[derive(Clone)]
pub(crate) struct Field {
    pub name: &'static str,
    /// The doc comment of the field.
    pub doc: &'static str,
    pub shape: Shape,
    pub rule: Rule,
}

/// The form of a value in a text.
#[derive(Clone)]
pub(crate) enum Shape {
    Text,
    Boolean,
    Integer,
    /// One of the words.
    Word(&'static [&'static str]),
    List(Box<Shape>),
    Object(&'static [Field]),
    /// Any value.
    Any,
}

impl Shape {
    /// The fields of the object, or of the objects in the list. Empty for other values.
    pub fn fields(&self) -> &'static [Field] {
        match self {
            Shape::Object(fields) => fields,
            Shape::List(items) => items.fields(),
            Shape::Text | Shape::Boolean | Shape::Integer | Shape::Word(_) | Shape::Any => &[],
        }
    }
}
