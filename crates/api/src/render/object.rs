//! Builds JSON objects. A field without a value is left out.

use serde::Serialize;
use serde_json::{Map, Value};

/// A JSON object.
#[derive(Default)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    pub fn new() -> Self {
        Self::default()
    }

    /// An object with the fields of a struct.
    pub fn with_fields_of(value: &impl Serialize) -> Self {
        match serialized(value) {
            Value::Object(fields) => Self(fields),
            _ => Self::default(),
        }
    }

    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Leaves the field out if there is no value.
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    pub fn serialized(self, name: &str, value: &impl Serialize) -> Self {
        self.set(name, serialized(value))
    }

    pub fn build(self) -> Value {
        Value::Object(self.0)
    }
}

fn serialized(value: &impl Serialize) -> Value {
    serde_json::to_value(value).expect("views have string keys, so they can be serialized")
}
