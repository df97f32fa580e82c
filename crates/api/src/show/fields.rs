//! An object in the making: what is not known is left out.

use chrono::{DateTime, SecondsFormat};
use rollout::time::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// Fields in the order in which they were added.
#[derive(Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Leaves it out when there is none.
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    pub fn serialized(self, name: &str, value: &impl Serialize) -> Self {
        let value = serde_json::to_value(value).expect("records are plain data with text keys");
        self.set(name, value)
    }

    pub fn build(self) -> Value {
        Value::Object(self.0)
    }
}

/// RFC 3339 in UTC. `None` for a time that no calendar has.
pub(super) fn time(at: Timestamp) -> Option<String> {
    let at = DateTime::from_timestamp_millis(i64::try_from(at.0).ok()?)?;
    Some(at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_utc() {
        assert_eq!(time(Timestamp(1_772_359_293_074)).as_deref(), Some("2026-03-01T10:01:33.074Z"));
        assert_eq!(time(Timestamp(u64::MAX)), None);
    }
}
