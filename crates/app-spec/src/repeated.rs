//! Keys that a JSON text gives twice: a JSON value keeps the last one and forgets the others.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::diagnostic::{Code, Diagnostic, Diagnostics};
use crate::suggest::shown;

/// One error for each repetition, with its path. What is no JSON has none: whoever reads the value tells that.
pub(crate) fn repeated_keys(text: &str) -> Diagnostics {
    let mut found = Diagnostics::default();
    let look = Look { path: String::new(), found: &mut found };
    // The visitor itself never fails.
    _ = look.deserialize(&mut serde_json::Deserializer::from_str(text));
    found
}

/// Looks at one value.
struct Look<'f> {
    path: String,
    found: &'f mut Diagnostics,
}

impl Look<'_> {
    fn inside(&mut self, path: String) -> Look<'_> {
        Look { path, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Look<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(key) = fields.next_key::<String>()? {
            let name = shown(&key);
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            fields.next_value_seed(self.inside(path.clone()))?;
            if !seen.insert(key) {
                let twice = Diagnostic::error(Code::DuplicateKey, path, format!("`{name}` is given twice"));
                self.found.push(twice.help("keep one of them").taken_as("the last one"));
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        for i in 0.. {
            let path = format!("{}[{i}]", self.path);
            if items.next_element_seed(self.inside(path))?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::repeated_keys;

    #[test]
    fn every_repetition_has_its_path() {
        let text = r#"{"a": 1, "b": [{"c": null, "c": {"d": "x", "d": 1.5}}, {"c": true}], "a": -2}"#;
        let paths: Vec<String> = repeated_keys(text).into_iter().map(|it| it.path).collect();
        assert_eq!(paths, ["b[0].c.d", "b[0].c", "a"]);
        assert!(repeated_keys(r#"{"a": 1, "b": 2}"#).is_empty());
        assert!(repeated_keys("no JSON").is_empty());
    }
}
