//! The fields of a spec as a JSON Schema, for editors that complete and check while someone types.
//!
//! Made from the same declarations as the reader, so that the two cannot disagree. It is narrower than the reader where
//! that helps the person who types: words in their written case, numbers without quotes.

use serde_json::{Map, Value, json};

use crate::spec::AppSpec;
use crate::wire::rule::Fallback;
use crate::wire::{Field, Object, Rule, Shape};

/// A JSON Schema (draft 7) of app specs, with or without a `spec:` around them.
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
    schema
}

fn property(field: &Field) -> Value {
    let mut schema = shape(&field.shape, &field.rule);
    let description = plain(field.doc);
    if !description.is_empty() {
        schema["description"] = json!(description);
    }
    if let Some(pattern) = field.rule.pattern {
        schema["pattern"] = json!(pattern);
    }
    match field.rule.fallback {
        Some(Fallback::Text(text)) => schema["default"] = json!(text),
        Some(Fallback::Integer(integer)) => schema["default"] = json!(integer),
        None => {}
    }
    schema
}

/// The limits of a list's field are those of its items.
fn shape(shape_of: &Shape, rule: &Rule) -> Value {
    match shape_of {
        Shape::Text => match rule.longest {
            usize::MAX => json!({"type": "string"}),
            longest => json!({"type": "string", "maxLength": longest}),
        },
        Shape::Boolean => json!({"type": "boolean"}),
        Shape::Integer => integer(rule),
        Shape::Number => json!({"type": "number", "minimum": 0}),
        Shape::Word(words) => json!({"type": "string", "enum": words}),
        Shape::List(items) => json!({"type": "array", "items": shape(items, rule)}),
        Shape::Object(fields) => object(fields),
    }
}

fn integer(rule: &Rule) -> Value {
    let mut schema = json!({"type": "integer", "minimum": rule.min.max(0)});
    if rule.max != i64::MAX {
        schema["maximum"] = json!(rule.max);
    }
    schema
}

/// A doc comment without the sentences that lead into the code.
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
        let wanted = json!({"type": "integer", "minimum": 1, "maximum": 65535, "default": 8080,
            "description": "The port that the process listens on."});
        assert_eq!(service["properties"]["http_port"], wanted);
        assert_eq!(service["properties"]["instance_count"]["description"], "1 to 250.");
        assert_eq!(service["properties"]["name"]["pattern"], "^[a-z][a-z0-9-]{0,30}[a-z0-9]$");
        assert_eq!(service["properties"]["protocol"]["enum"], json!(["HTTP", "HTTP2"]));
        assert_eq!(service["properties"]["internal_ports"]["items"]["maximum"], 65535);
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
