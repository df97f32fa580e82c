//! A tree from a JSON value that an API client sent: the same shape, without places.

use std::rc::Rc;

use serde_json::Value;

use super::limits::{self, Budget, Cost};
use super::{Entry, Kind, Node, Scalar};
use crate::diagnostic::Diagnostic;

/// Errors: `too_large` when the value breaks a limit of [`limits`].
pub(crate) fn from_json(value: &Value) -> Result<Node, Diagnostic> {
    convert(value, 1, &mut Budget::default())
}

/// A value that was stored. Errors: it is nested too deep for any spec.
pub(crate) fn from_stored(value: &Value) -> Result<Node, Diagnostic> {
    convert(value, 1, &mut Budget::unlimited())
}

fn convert(value: &Value, depth: usize, budget: &mut Budget) -> Result<Node, Diagnostic> {
    let scalar = |text: &str, plain: bool| Kind::Scalar(Scalar { text: Rc::from(text), plain });
    let kind = match value {
        Value::Null => scalar("null", true),
        Value::Bool(truth) => scalar(if *truth { "true" } else { "false" }, true),
        Value::Number(number) => scalar(&number.to_string(), true),
        Value::String(text) => scalar(text, false),
        Value::Array(items) => {
            limits::check_depth(depth, None)?;
            let items = items.iter().map(|item| convert(item, depth + 1, budget));
            Kind::Sequence(Rc::new(items.collect::<Result<_, _>>()?))
        }
        Value::Object(fields) => {
            limits::check_depth(depth, None)?;
            let mut entries = Vec::with_capacity(fields.len());
            for (key, value) in fields {
                budget.spend(Cost { nodes: 1, bytes: key.len() }, None)?;
                let value = convert(value, depth + 1, budget)?;
                entries.push(Entry { key: Rc::from(key.as_str()), key_place: None, value });
            }
            Kind::Mapping(Rc::new(entries))
        }
    };
    let bytes = if let Kind::Scalar(scalar) = &kind { scalar.text.len() } else { 0 };
    budget.spend(Cost { nodes: 1, bytes }, None)?;
    Ok(Node { place: None, kind })
}
