//! What people mean by a bare text where an object belongs, and how it is written out.

use std::rc::Rc;

use super::{Field, Shape};
use crate::diagnostic::Place;
use crate::suggest::shown;
use crate::tree::{Entry, Kind, Node, Plain, Scalar};

/// The fields that a text stands for.
pub(crate) type Meant = Vec<(&'static str, Scalar)>;

/// Fields with texts.
pub(crate) fn texts(fields: impl IntoIterator<Item = (&'static str, String)>) -> Meant {
    let scalar = |text: String| Scalar { text: Rc::from(text), plain: false };
    fields.into_iter().map(|(name, text)| (name, scalar(text))).collect()
}

/// The one field that a text is meant for, if it is what that field takes.
pub(crate) fn shorthand(fields: &[Field], name: &'static str, scalar: &Scalar) -> Option<Meant> {
    let field = fields.iter().find(|field| field.name == name)?;
    let fits = match field.shape {
        Shape::Boolean => matches!(scalar.meaning(), Plain::Bool(_)),
        _ => scalar.meaning() == Plain::Text && !scalar.text.is_empty(),
    };
    fits.then(|| vec![(name, scalar.clone())])
}

/// The object that is meant, at the place of the text. Its fields have no places of their own.
pub(super) fn as_object(meant: &Meant, place: Option<Place>) -> Node {
    let value = |scalar: &Scalar| Node { place: None, kind: Kind::Scalar(scalar.clone()) };
    let entry = |(name, scalar): &(&str, Scalar)| Entry { key: Rc::from(*name), key_place: None, value: value(scalar) };
    Node { place, kind: Kind::Mapping(Rc::new(meant.iter().map(entry).collect())) }
}

/// The fields as they are written between braces. The value of a variable is not shown: it may be a secret.
pub(super) fn between_braces(meant: &Meant, pair: Option<(&str, &str)>) -> String {
    let field = |(name, scalar): &(&str, Scalar)| match pair {
        Some((_, value)) if value == *name => format!("{name}: …"),
        _ if scalar.plain && scalar.meaning() != Plain::Text => format!("{name}: {}", scalar.text),
        _ => format!("{name}: {}", crate::yaml::in_flow(&shown(&scalar.text))),
    };
    meant.iter().map(field).collect::<Vec<_>>().join(", ")
}

/// The fields as an item of a list.
pub(super) fn as_item(meant: &Meant, pair: Option<(&str, &str)>) -> String {
    let fields = between_braces(meant, pair);
    if meant.len() == 1 { format!("- {fields}") } else { format!("- {{{fields}}}") }
}
