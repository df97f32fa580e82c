//! Converts trees from JSON, and to JSON and YAML.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_saphyr::LitStr;

use super::limits::{self, Budget};
use super::{Entry, Kind, Node, Plain, Scalar, Style};
use crate::diagnostic::Diagnostic;

impl Node {
    /// Checks the limits of a spec. Errors: `too_large`.
    pub fn within_limits(self) -> Result<Node, Diagnostic> {
        limits::check_depth(self.depth(), None)?;
        let (nodes, bytes) = self.size();
        Budget::default().spend(nodes, bytes, None)?;
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Node, D::Error> {
        value.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::plain("null"))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Node, E> {
        Ok(Node::plain(truth))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(Node::plain(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(Node::plain(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Ok(Node::plain(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::list(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = fields.next_entry::<String, Node>()? {
            entries.push(Entry::new(key, value));
        }
        Ok(Node::mapping(entries))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.kind {
            Kind::Sequence(items) => serializer.collect_seq(items.iter()),
            Kind::Mapping(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for Entry { key, value, .. } in entries.iter() {
                    map.serialize_entry(&**key, value)?;
                }
                map.end()
            }
            Kind::Scalar(Scalar { text, style }) => {
                match if *style == Style::Plain { Plain::of(text) } else { Plain::Text } {
                    Plain::Null => serializer.serialize_unit(),
                    Plain::Bool(truth) => serializer.serialize_bool(truth),
                    // A number in a different spelling, such as `0123` or `1.10`, stays text.
                    Plain::Integer(integer) if integer.to_string() == **text => serializer.serialize_i64(integer),
                    Plain::Number(number) if number.to_string() == **text => serializer.serialize_f64(number),
                    Plain::Text if reads_the_same_as_a_block(text) => LitStr(text).serialize(serializer),
                    Plain::Integer(_) | Plain::Number(_) | Plain::Text => serializer.serialize_str(text),
                }
            }
        }
    }
}

/// Whether every YAML reader reads this text back unchanged from a block scalar. Other text of several lines is quoted.
fn reads_the_same_as_a_block(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    let is_plain =
        |line: &str| !line.ends_with([' ', '\t']) && line.chars().all(|c| c == '\t' || (' '..='~').contains(&c));
    lines.contains('\n')
        && !text.starts_with([' ', '\t', '\n'])
        && !lines.ends_with('\n')
        && lines.split('\n').all(is_plain)
}
