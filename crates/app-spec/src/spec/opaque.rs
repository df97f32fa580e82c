//! Blocks that this version stores without reading them.

use std::fmt;

use crate::tree::{Kind, Node};
use crate::value::{Reader, Rule, Shape, SpecValue, Writer};

/// A block of the spec without effect here. Boatyard stores it as written and returns it unchanged.
#[derive(Clone, Default)]
pub struct Opaque(Option<Node>);

impl Opaque {
    /// The block as JSON. `None` if it is absent.
    pub(crate) fn to_json(&self) -> Option<serde_json::Value> {
        self.0.as_ref().and_then(|node| serde_json::to_value(node).ok())
    }
}

impl PartialEq for Opaque {
    fn eq(&self, other: &Opaque) -> bool {
        self.to_json() == other.to_json()
    }
}

impl fmt::Debug for Opaque {
    /// Hides the content, which may hold secrets such as the token of a log destination.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_zero() { "Opaque" } else { "Opaque(…)" })
    }
}

impl SpecValue for Opaque {
    fn shape() -> Shape {
        Shape::Any
    }

    fn read(node: &Node, _: &Rule, reader: &mut Reader) -> Option<Opaque> {
        reader.hide(node);
        Some(Opaque(Some(node.clone())))
    }

    fn write(&self, _: &mut Writer<'_>) -> Option<Node> {
        self.0.clone()
    }

    fn is_zero(&self) -> bool {
        match self.0.as_ref().map(|node| &node.kind) {
            None => true,
            Some(Kind::Scalar(scalar)) => matches!(&*scalar.text, "" | "~" | "null" | "false" | "0"),
            Some(Kind::Sequence(items)) => items.is_empty(),
            Some(Kind::Mapping(_)) => false,
        }
    }
}
