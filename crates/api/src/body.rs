//! Reads request bodies. Every error names the field or the line.
//!
//! Clients send `Content-Type: application/json` with an empty body, with `null` or with `{}`. All mean the same.

mod destinations;

use app_spec::{AppSpec, Diagnostics, Parsed};
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use web::HttpError;

use crate::state::ApiState;

/// Largest body. A spec has at most 256 KiB.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long a body may take to arrive. Less than the deadline of the response, so that the client gets the reason.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(20);

/// The body of a request.
pub(crate) struct RequestBody {
    text: String,
    yaml: bool,
}

impl FromRequest<ApiState> for RequestBody {
    type Rejection = HttpError;

    async fn from_request(request: Request, _: &ApiState) -> Result<Self, HttpError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let yaml = kind.split(';').next().is_some_and(|kind| kind.trim().ends_with("yaml"));
        let bytes = read(request.into_body()).await?;
        let text = String::from_utf8(bytes.into()).map_err(|_| HttpError::bad_request("the body is not UTF-8"))?;
        Ok(Self { text, yaml })
    }
}

async fn read(body: Body) -> Result<Bytes, HttpError> {
    let Ok(read) = tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_BODY_BYTES)).await else {
        return Err(HttpError::request_timeout());
    };
    match read {
        Ok(bytes) => Ok(bytes),
        Err(error) if std::error::Error::source(&error).is_some_and(|it| it.to_string().contains("length limit")) => {
            Err(HttpError::too_large(MAX_BODY_BYTES))
        }
        Err(_) => Err(HttpError::bad_request("the body ended too early; nothing was changed")),
    }
}

impl RequestBody {
    /// The object in the body; an empty one for an empty body or `null`.
    fn object(&self) -> Result<Map<String, Value>, HttpError> {
        if self.text.trim().is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_str(&self.text).map_err(not_json)? {
            Value::Null => Ok(Map::new()),
            Value::Object(fields) => Ok(fields),
            other => Err(HttpError::bad_request(format!("the body must be an object, not {}", kind(&other)))),
        }
    }

    /// `{"components": ["web"]}`. Empty means all components.
    pub fn components(&self) -> Result<Vec<String>, HttpError> {
        self.names("components")
    }

    /// A list of names or ids. Empty if the field is absent or null.
    pub fn names(&self, field: &str) -> Result<Vec<String>, HttpError> {
        let fields = self.object()?;
        let items = match fields.get(field) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(wrong_type(field, "a list of names", other)),
        };
        let name = |(index, item): (usize, &Value)| match item {
            Value::String(name) => Ok(name.clone()),
            other => Err(wrong_type(&format!("{field}[{index}]"), "a name", other)),
        };
        items.iter().enumerate().map(name).collect()
    }

    /// Whether any of these fields is true.
    pub fn any(&self, names: &[&str]) -> Result<bool, HttpError> {
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

    /// Whether this field beside the spec is true. A body in YAML is only a spec.
    pub fn flag(&self, name: &str) -> Result<bool, HttpError> {
        if self.yaml { Ok(false) } else { self.any(&[name]) }
    }

    /// A string field.
    pub fn text(&self, name: &str) -> Result<Option<String>, HttpError> {
        if self.yaml {
            return Ok(None);
        }
        match self.object()?.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(other) => Err(wrong_type(name, "text", other)),
        }
    }

    /// The repository in `{"git": {…}}` and the like, as the spec of an app with one service. Errors: as for a spec.
    pub fn source(&self) -> Result<Parsed, HttpError> {
        let fields = self.object()?;
        let mut service = Map::from_iter([("name".to_owned(), "web".into())]);
        for name in ["git", "github", "gitlab", "bitbucket", "source_dir"] {
            let given = fields.get(name).filter(|it| !it.is_null() && **it != "");
            service.extend(given.map(|it| (name.to_owned(), it.clone())));
        }
        let spec = serde_json::json!({ "name": "detect", "services": [service] });
        AppSpec::from_json_text(&spec.to_string()).map_err(|problems| spec_refused(&problems))
    }

    /// The spec in `{"spec": {…}}`, or the whole body if it is YAML. Errors: all problems of the spec, one per line, as App
    /// Platform words them.
    pub fn spec(&self) -> Result<Parsed, HttpError> {
        match self.yaml {
            true => AppSpec::from_yaml(&self.text).map_err(|problems| spec_refused(&problems)),
            false => self.json_spec(),
        }
    }

    fn json_spec(&self) -> Result<Parsed, HttpError> {
        if self.object()?.get("spec").is_none_or(Value::is_null) {
            return Err(HttpError::bad_request("the body has no field \"spec\". Send {\"spec\": {\"name\": …}}"));
        }
        let SpecField { spec } = serde_json::from_str(&self.text).map_err(not_json)?;
        let text = spec.get();
        let parsed = match has_lines(text) {
            true => AppSpec::from_yaml(&at_original_position(&self.text, text)),
            false => AppSpec::from_json_text(text),
        };
        parsed.map_err(|problems| spec_refused(&problems))
    }
}

#[derive(Deserialize)]
struct SpecField<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
}

/// Whether errors should name lines, which needs the YAML parser. A line number is useless in a body of one line. YAML does
/// not have JSON's surrogate escapes (`\ud83d`), so a text with these is read as JSON.
fn has_lines(text: &str) -> bool {
    text.contains('\n') && !text.contains("\\ud") && !text.contains("\\uD")
}

/// The spec with blanks before it, so that its lines and columns are those of the body.
fn at_original_position(body: &str, spec: &str) -> String {
    let before = (spec.as_ptr() as usize).saturating_sub(body.as_ptr() as usize);
    let blanks = body[..before].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
    blanks.chain(spec.chars()).collect()
}

/// All problems, one per line, and the number of omitted ones.
pub(crate) fn spec_refused(problems: &Diagnostics) -> HttpError {
    let lines = problems.iter().filter(|it| it.is_error()).map(|it| it.api_message());
    let more = Some(problems.omitted_errors()).filter(|more| *more > 0).map(|more| format!("and {more} more"));
    HttpError::bad_request(lines.chain(more).collect::<Vec<_>>().join("\n"))
}

fn not_json(error: serde_json::Error) -> HttpError {
    HttpError::bad_request(format!("the body is not JSON: {error}"))
}

fn wrong_type(field: &str, wanted: &str, got: &Value) -> HttpError {
    HttpError::bad_request(format!("field {field:?} must be {wanted}, not {}", kind(got)))
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

    fn json(text: &str) -> RequestBody {
        RequestBody { text: text.to_owned(), yaml: false }
    }

    fn message<T>(result: Result<T, HttpError>) -> String {
        result.map(|_| String::new()).unwrap_or_else(|error| error.message)
    }

    #[test]
    fn an_empty_body_means_all_components() {
        for empty in ["", " \n", "null", "{}", "{\"components\":[]}", "{\"components\":null}", "{\"other\":1}"] {
            assert_eq!(json(empty).components().ok(), Some(vec![]), "{empty:?}");
        }
        let two = json("{\"components\":[\"web\",\"worker\"]}\n").components().ok();
        assert_eq!(two, Some(vec!["web".into(), "worker".into()]));
    }

    #[test]
    fn errors_about_types_name_the_field() {
        let of = |text| message(json(text).components());
        assert_eq!(of("{\"components\":\"web\"}"), "field \"components\" must be a list of names, not text");
        assert_eq!(of("{\"components\":[\"web\",7]}"), "field \"components[1]\" must be a name, not a number");
        assert_eq!(of("[]"), "the body must be an object, not a list");
        assert_eq!(
            message(json("{\"force_build\":\"yes\"}").any(&["force_build"])),
            "field \"force_build\" must be true or false, not text"
        );
    }

    #[test]
    fn truncated_json_is_refused_with_its_position() {
        let message = message(json("{\"components\": [\n  \"web\"").components());
        assert!(message.contains("line 2 column 7"), "{message}");
    }

    #[test]
    fn deeply_nested_json_is_refused() {
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        assert!(message(json(&deep).components()).contains("recursion limit"));
    }

    #[test]
    fn problems_of_a_spec_name_the_lines_of_the_body() {
        let body = "{\n \"update_all_source_versions\": false,\n \"spec\": {\"name\": \"shop\",\n  \"services\": [{\"name\": \"web\",\n   \"htp_port\": 80}]}\n}";
        let message = message(json(body).spec());
        let line = message.lines().find(|line| line.contains("htp_port")).expect("the misspelt field is named");
        assert!(line.starts_with("error validating app spec field \"services"), "{message}");
        assert!(line.ends_with("did you mean `http_port`? (line 5)"), "{message}");
    }

    #[test]
    fn problems_in_a_body_of_one_line_have_no_line_number() {
        let message =
            message(json("{\"spec\":{\"name\":\"Shop!\",\"services\":[{\"name\":\"web\",\"htp_port\":80}]}}").spec());
        assert!(message.lines().count() >= 2, "{message}");
        assert!(message.lines().all(|line| line.starts_with("error validating app spec")), "{message}");
        assert!(!message.contains("(line"), "{message}");
    }

    #[test]
    fn the_last_value_of_a_duplicate_key_counts() {
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
    fn omitted_errors_are_counted() {
        let fields: String = (0..300).map(|i| format!(",\"bogus{i}\":1")).collect();
        let message = message(json(&format!("{{\"spec\":{{\"name\":\"shop\"{fields}}}}}")).spec());
        assert_eq!((message.lines().count(), message.lines().last()), (201, Some("and 100 more")));
    }

    #[test]
    fn a_missing_spec_is_refused() {
        assert!(message(json("{}").spec()).contains("no field \"spec\""));
        assert!(message(json("{\"spec\":null}").spec()).contains("no field \"spec\""));
    }

    #[test]
    fn surrogate_escapes_in_json_are_read() {
        let body = "{\"spec\":\n{\"name\":\"shop\",\"envs\":[{\"key\":\"A\",\"value\":\"\\ud83d\\ude80\"}],\"services\":[{\"name\":\"web\",\"image\":{\"registry_type\":\"DOCKER_HUB\",\"registry\":\"library\",\"repository\":\"nginx\"}}]}}";
        let parsed = json(body).spec().map_err(|error| error.message).expect("a spec");
        assert!(parsed.spec.to_json_value(&|_, s| s.expose().into()).to_string().contains('🚀'));
    }
}
