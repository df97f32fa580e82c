//! The fields of a spec as a JSON Schema, for completion and checks in editors.
//!
//! Generated from the same declarations as the reader, so the two cannot disagree. Text that the reader accepts
//! without a warning fits the schema. Text that it accepts with a warning, such as a number in quotes, may not.

use serde_json::{Map, Value, json};

use crate::spec::{AppSpec, Source};
use crate::value::rule::{Allowed, Fallback};
use crate::value::{Field, Object, Rule, Shape};

/// A JSON Schema (draft 7) of app specs, with or without an enclosing `spec:`.
pub fn json_schema() -> Value {
    let mut app = object(AppSpec::fields());
    // Keys that begin with `x-` hold anchors and notes.
    app["patternProperties"] = json!({"^x-": true});
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "App Platform app spec",
        "definitions": {"app": app},
        "if": {"required": ["spec"]},
        "then": {
            "type": "object",
            "properties": {"spec": {"$ref": "#/definitions/app"}},
            "patternProperties": {"^x-": true},
            "additionalProperties": false,
        },
        "else": {"$ref": "#/definitions/app"},
    })
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|f| (f.name.to_owned(), property(f))).collect();
    let required: Vec<&str> = fields.iter().filter(|f| f.rule.required).map(|f| f.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let is_source = |field: &&Field| Source::fields().iter().any(|source| source.name == field.name);
    let sources: Vec<Value> = fields.iter().filter(is_source).map(|f| json!({"required": [f.name]})).collect();
    if !sources.is_empty() {
        schema["anyOf"] = json!(sources);
    }
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = shape(&field.shape, &field.rule);
    if let Some(pattern) = field.rule.pattern {
        schema["pattern"] = json!(pattern);
    }
    match field.rule.allowed {
        Some(Allowed::Texts(texts)) => schema["enum"] = json!(texts),
        Some(Allowed::Integers(integers)) => schema["enum"] = json!(integers),
        None => {}
    }
    if !field.rule.required {
        allow_absent(&mut schema, &field.shape);
    }
    let description = plain(field.doc);
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    match field.rule.fallback {
        Some(Fallback::Text(text)) => schema["default"] = json!(text),
        Some(Fallback::Integer(integer)) => schema["default"] = json!(integer),
        None => {}
    }
    schema
}

/// Allows null, zero and empty text, which clients write for an absent field.
fn allow_absent(schema: &mut Value, shape_of: &Shape) {
    if schema.get("type").is_some() {
        schema["type"] = json!([schema["type"], "null"]);
    }
    if schema.get("minimum").is_some() {
        schema["minimum"] = json!(0);
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        schema["pattern"] = json!(format!("^$|{pattern}"));
    }
    if let Some(allowed) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        let zero = if matches!(shape_of, Shape::Integer) { json!(0) } else { json!("") };
        allowed.extend([zero, Value::Null]);
    }
}

/// The schema of a value. The limits of a list field apply to its items.
fn shape(shape_of: &Shape, rule: &Rule) -> Value {
    match shape_of {
        Shape::Text => match rule.longest {
            usize::MAX => json!({"type": "string"}),
            longest => json!({"type": "string", "maxLength": longest}),
        },
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Integer => integer(rule),
        Shape::Word(words) => json!({"type": "string", "enum": in_both_cases(words)}),
        Shape::List(items) => json!({"type": "array", "items": shape(items, rule)}),
        Shape::Object(fields) => object(fields),
        Shape::Any => json!({}),
    }
}

/// The words as written first, because editors offer them in this order.
fn in_both_cases(words: &[&str]) -> Vec<String> {
    let other = |word: &&str| match word.chars().any(|c| c.is_ascii_uppercase()) {
        true => word.to_ascii_lowercase(),
        false => word.to_ascii_uppercase(),
    };
    words.iter().map(|word| (*word).to_owned()).chain(words.iter().map(other)).collect()
}

fn integer(rule: &Rule) -> Value {
    let mut schema = json!({"type": "integer", "minimum": rule.min.max(0)});
    if rule.max != i64::MAX {
        schema["maximum"] = json!(rule.max);
    }
    schema
}

/// A doc comment without the sentences that link to code.
fn plain(doc: &str) -> String {
    let leads_away = |sentence: &&str| !sentence.to_lowercase().contains("see [");
    let sentences = doc.split_inclusive(['.', ';']).filter(leads_away).collect::<String>();
    let text = sentences.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.strip_suffix(';') {
        Some(cut) => format!("{cut}."),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_has_its_description_default_and_limits() {
        let schema = json_schema();
        let service = &schema["definitions"]["app"]["properties"]["services"]["items"];
        assert_eq!(service["required"], json!(["name"]));
        let wanted = json!({"type": ["integer", "null"], "minimum": 0, "maximum": 65535, "default": 8080,
            "description": "The port that the process listens on."});
        assert_eq!(service["properties"]["http_port"], wanted);
        assert_eq!(service["properties"]["instance_count"]["description"], "1 to 250.");
        assert_eq!(service["properties"]["name"]["pattern"], "^[a-z][a-z0-9-]{0,30}[a-z0-9]$");
        assert_eq!(service["properties"]["routes"]["items"]["properties"]["path"]["pattern"], "^$|^/");
        assert_eq!(service["properties"]["protocol"]["enum"], json!(["HTTP", "HTTP2", "http", "http2", "", null]));
        assert_eq!(service["properties"]["internal_ports"]["items"]["minimum"], 1);
        assert_eq!(service["properties"]["instance_size_slug"]["enum"][0], "apps-s-1vcpu-0.5gb");
        assert_eq!(service["anyOf"][1], json!({"required": ["github"]}));
        assert_eq!(service["properties"]["image"]["properties"]["registry_type"]["enum"][4], "unspecified");
    }

    #[test]
    fn no_description_links_to_code() {
        fn look(schema: &Value) {
            if let Some(text) = schema["description"].as_str() {
                assert!(!text.contains('['), "{text}");
            }
            let inside = schema["properties"].as_object().into_iter().flat_map(Map::values);
            inside.chain(schema.get("items")).for_each(look);
        }
        look(&json_schema()["definitions"]["app"]);
    }

    #[test]
    fn every_field_is_described() {
        fn look(fields: &[Field], path: &str, bare: &mut Vec<String>) {
            for field in fields {
                let path = format!("{path}.{}", field.name);
                look(field.shape.fields(), &path, bare);
                if plain(field.doc).is_empty() {
                    bare.push(path);
                }
            }
        }
        let mut bare = Vec::new();
        look(AppSpec::fields(), "", &mut bare);
        assert!(bare.is_empty(), "{bare:?}");
    }
}
