//! What a request's body says. Bodies are small, and every complaint names the field or the line.
//!
//! Clients send `Content-Type: application/json` with no body at all, the word `null`, and `{}`; all mean "nothing said".

use app_spec::{AppSpec, Diagnostics, Parsed};
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::state::ApiState;

/// The largest body: a spec has 256 KiB at most.
pub(crate) const LIMIT: usize = 1024 * 1024;
/// How long a body may take to arrive: less than a request has for its answer, so that the reason can be told.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(20);

/// A body as it came.
pub(crate) struct Content {
    text: String,
    yaml: bool,
}

impl FromRequest<ApiState> for Content {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &ApiState) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let yaml = kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("yaml"));
        let bytes = bytes_of(request.into_body()).await?;
        let text = String::from_utf8(bytes.into()).map_err(|_| ApiError::bad_request("the body is not UTF-8"))?;
        Ok(Self { text, yaml })
    }
}

async fn bytes_of(body: Body) -> Result<Bytes, ApiError> {
    let Ok(read) = tokio::time::timeout(WITHIN, axum::body::to_bytes(body, LIMIT)).await else {
        return Err(ApiError::request_timeout());
    };
    match read {
        Ok(bytes) => Ok(bytes),
        Err(error) if std::error::Error::source(&error).is_some_and(|it| it.to_string().contains("length limit")) => {
            Err(ApiError::too_large(LIMIT))
        }
        Err(_) => Err(ApiError::bad_request("the body broke off before its end; nothing was changed")),
    }
}

impl Content {
    /// The object in the body; empty when there is no body, or `null`.
    fn object(&self) -> Result<Map<String, Value>, ApiError> {
        if self.text.trim().is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_str(&self.text).map_err(not_json)? {
            Value::Null => Ok(Map::new()),
            Value::Object(fields) => Ok(fields),
            other => Err(ApiError::bad_request(format!("the body is {}, where an object belongs", kind(&other)))),
        }
    }

    /// `{"components": ["web"]}`; empty: all.
    pub fn components(&self) -> Result<Vec<String>, ApiError> {
        let fields = self.object()?;
        let items = match fields.get("components") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong_type("components", "a list of names", other)),
        };
        let name = |(index, item): (usize, &Value)| match item {
            Value::String(name) => Ok(name.clone()),
            other => Err(wrong_type(&format!("components[{index}]"), "a name", other)),
        };
        items.iter().enumerate().map(name).collect()
    }

    /// Whether any of these fields of the body is true.
    pub fn any(&self, names: &[&str]) -> Result<bool, ApiError> {
        let fields = self.object()?;
        let mut any = false;
        for name in names {
            match fields.get(*name) {
                None | Some(Value::Null) => {}
                Some(Value::Bool(value)) => any |= value,
                Some(other) => return Err(wrong_type(name, "true or false", other)),
            }
        }
        Ok(any)
    }

    /// A text field of the body.
    pub fn text(&self, name: &str) -> Result<Option<String>, ApiError> {
        if self.yaml {
            return Ok(None);
        }
        match self.object()?.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(other) => Err(wrong_type(name, "text", other)),
        }
    }

    /// The spec in `{"spec": {…}}`, or the whole body where it is YAML. Errors: everything that is wrong with it, one a
    /// line, in App Platform's words.
    pub fn spec(&self) -> Result<Parsed, ApiError> {
        match self.yaml {
            true => AppSpec::from_yaml(&self.text).map_err(|problems| refused(&problems)),
            false => self.json_spec(),
        }
    }

    fn json_spec(&self) -> Result<Parsed, ApiError> {
        if self.object()?.get("spec").is_none_or(Value::is_null) {
            return Err(ApiError::bad_request("the body has no \"spec\": send {\"spec\": {\"name\": …}}"));
        }
        let Enclosed { spec } = serde_json::from_str(&self.text).map_err(not_json)?;
        let text = spec.get();
        let parsed = match has_lines(text) {
            true => AppSpec::from_yaml(&at_its_place(&self.text, text)),
            false => AppSpec::from_json_text(text),
        };
        parsed.map_err(|problems| refused(&problems))
    }
}

#[derive(Deserialize)]
struct Enclosed<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
}

/// A body on one line gains nothing from "line 1". YAML has JSON's escapes but for the halves of a character beyond
/// 16 bits (`\ud83d`), so a text with those is read as JSON.
fn has_lines(text: &str) -> bool {
    text.contains('\n') && !text.contains("\\ud") && !text.contains("\\uD")
}

/// The spec alone, with blanks before it so that its lines and columns are those of the body.
fn at_its_place(body: &str, spec: &str) -> String {
    let before = (spec.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    let blank = body[..before].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
    blank.chain(spec.chars()).collect()
}

/// All that is wrong, one a line, and how much more there is.
pub(crate) fn refused(problems: &Diagnostics) -> ApiError {
    let lines = problems.iter().filter(|it| it.is_error()).map(|it| it.api_message());
    let more = Some(problems.omitted_errors()).filter(|more| *more > 0).map(|more| format!("and {more} more"));
    ApiError::bad_request(lines.chain(more).collect::<Vec<_>>().join("\n"))
}

fn not_json(error: serde_json::Error) -> ApiError {
    ApiError::bad_request(format!("the body is not JSON: {error}"))
}

fn wrong_type(field: &str, wanted: &str, got: &Value) -> ApiError {
    ApiError::bad_request(format!("field {field:?} must be {wanted}, not {}", kind(got)))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Content {
        Content { text: text.to_owned(), yaml: false }
    }

    fn message<T>(result: Result<T, ApiError>) -> String {
        result.map(|_| String::new()).unwrap_or_else(|error| error.message)
    }

    #[test]
    fn every_way_of_saying_nothing_means_all_components() {
        for nothing in ["", " \n", "null", "{}", "{\"components\":[]}", "{\"components\":null}", "{\"other\":1}"] {
            assert_eq!(json(nothing).components().ok(), Some(vec![]), "{nothing:?}");
        }
        let two = json("{\"components\":[\"web\",\"worker\"]}\n").components().ok();
        assert_eq!(two, Some(vec!["web".into(), "worker".into()]));
    }

    #[test]
    fn wrong_types_are_named_by_field() {
        let of = |text| message(json(text).components());
        assert_eq!(of("{\"components\":\"web\"}"), "field \"components\" must be a list of names, not text");
        assert_eq!(of("{\"components\":[\"web\",7]}"), "field \"components[1]\" must be a name, not a number");
        assert_eq!(of("[]"), "the body is a list, where an object belongs");
        assert_eq!(
            message(json("{\"force_build\":\"yes\"}").any(&["force_build"])),
            "field \"force_build\" must be true or false, not text"
        );
    }

    #[test]
    fn half_a_json_is_refused_with_its_place() {
        let message = message(json("{\"components\": [\n  \"web\"").components());
        assert!(message.contains("line 2 column 7"), "{message}");
    }

    #[test]
    fn a_body_cannot_be_nested_without_end() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(message(json(&deep).components()).contains("recursion limit"));
    }

    #[test]
    fn problems_of_a_spec_have_the_lines_of_the_body() {
        let body = "{\n \"update_all_source_versions\": false,\n \"spec\": {\"name\": \"shop\",\n  \"services\": [{\"name\": \"web\",\n   \"htp_port\": 80}]}\n}";
        let message = message(json(body).spec());
        let line = message.lines().find(|line| line.contains("htp_port")).expect("the misspelt field is named");
        assert!(line.starts_with("error validating app spec field \"services"), "{message}");
        assert!(line.ends_with("did you mean `http_port`? (line 5)"), "{message}");
    }

    #[test]
    fn a_body_on_one_line_names_all_problems_and_no_line() {
        let message =
            message(json("{\"spec\":{\"name\":\"Shop!\",\"services\":[{\"name\":\"web\",\"htp_port\":80}]}}").spec());
        assert!(message.lines().count() >= 2, "{message}");
        assert!(message.lines().all(|line| line.starts_with("error validating app spec")), "{message}");
        assert!(!message.contains("(line"), "{message}");
    }

    #[test]
    fn of_a_key_that_is_given_twice_the_last_one_counts() {
        for space in [" ", "\n"] {
            let body = format!(
                "{{\"spec\":{space}{{\"name\":\"shop\",\"region\":\"nyc\",\"region\":\"fra\",\"databases\":[{{\"name\":\"db\"}}]}}}}"
            );
            let parsed = json(&body).spec().map_err(|error| error.message).expect("a warning refuses nothing");
            assert_eq!(parsed.spec.region.as_deref(), Some("fra"));
            assert!(
                parsed.warnings.iter().any(|it| it.message.contains("`region` is given twice")),
                "{:?}",
                parsed.warnings
            );
        }
    }

    #[test]
    fn errors_that_are_not_told_are_counted() {
        let fields: String = (0..300).map(|i| format!(",\"bogus{i}\":1")).collect();
        let message = message(json(&format!("{{\"spec\":{{\"name\":\"shop\"{fields}}}}}")).spec());
        assert_eq!((message.lines().count(), message.lines().last()), (201, Some("and 100 more")));
    }

    #[test]
    fn a_missing_spec_is_said() {
        assert!(message(json("{}").spec()).contains("no \"spec\""));
        assert!(message(json("{\"spec\":null}").spec()).contains("no \"spec\""));
    }

    #[test]
    fn characters_beyond_16_bits_survive_json_escapes() {
        let body = "{\"spec\":\n{\"name\":\"shop\",\"envs\":[{\"key\":\"A\",\"value\":\"\\ud83d\\ude80\"}],\"services\":[{\"name\":\"web\",\"image\":{\"registry_type\":\"DOCKER_HUB\",\"registry\":\"library\",\"repository\":\"nginx\"}}]}}";
        let parsed = json(body).spec().map_err(|error| error.message).expect("a spec");
        assert!(parsed.spec.to_json_value(&|_, s| s.expose().into()).to_string().contains('🚀'));
    }
}
