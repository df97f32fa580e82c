//! Reads the destinations of an alert. A webhook's address is a secret, so no error repeats it.

use axum::http::Uri;
use controller::view::SlackWebhook;
use serde_json::{Map, Value};
use web::HttpError;

use super::{RequestBody, wrong_type};

impl RequestBody {
    /// `{"emails": […], "slack_webhooks": [{"url": …, "channel": …}]}`. A list that is absent or null is empty.
    pub fn destinations(&self) -> Result<(Vec<String>, Vec<SlackWebhook>), HttpError> {
        let fields = self.object()?;
        let emails = items(&fields, "emails")?.iter().enumerate().map(email).collect::<Result<_, _>>()?;
        let webhooks = items(&fields, "slack_webhooks")?.iter().enumerate().map(webhook).collect::<Result<_, _>>()?;
        Ok((emails, webhooks))
    }
}

fn items<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], HttpError> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(wrong_type(name, "a list", other)),
    }
}

fn email((index, item): (usize, &Value)) -> Result<String, HttpError> {
    let field = format!("emails[{index}]");
    let Value::String(text) = item else { return Err(wrong_type(&field, "text", item)) };
    let is_address = text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    match is_address {
        true => Ok(text.clone()),
        false => Err(HttpError::bad_request(format!("{field} must be an email address, not {text:?}"))),
    }
}

fn webhook((index, item): (usize, &Value)) -> Result<SlackWebhook, HttpError> {
    let field = format!("slack_webhooks[{index}]");
    let Value::Object(fields) = item else { return Err(wrong_type(&field, "an object", item)) };
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(wrong_type(&format!("{field}.{name}"), "text", other)),
    };
    let webhook = SlackWebhook { url: text("url")?, channel: text("channel")? };
    let uri = webhook.url.parse::<Uri>().ok().filter(|it| it.host().is_some_and(|host| !host.is_empty()));
    match uri.as_ref().and_then(Uri::scheme_str) {
        Some("https" | "http") => Ok(webhook),
        _ => Err(HttpError::bad_request(format!("{field}.url must be an address that begins with https://"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Vec<String>, Vec<SlackWebhook>), String> {
        RequestBody { text: text.to_owned(), yaml: false }.destinations().map_err(|error| error.message)
    }

    #[test]
    fn absent_and_null_lists_are_empty() {
        for empty in ["", "{}", r#"{"emails":null,"slack_webhooks":null}"#, r#"{"emails":[],"slack_webhooks":[]}"#] {
            assert_eq!(read(empty), Ok((vec![], vec![])), "{empty}");
        }
        let hook = SlackWebhook { url: "https://hooks.example.com/x".into(), channel: "#x".into() };
        let both = r##"{"emails":["a@b"],"slack_webhooks":[{"url":"https://hooks.example.com/x","channel":"#x"}]}"##;
        assert_eq!(read(both), Ok((vec!["a@b".into()], vec![hook])));
    }

    #[test]
    fn errors_name_the_item_and_repeat_no_address_of_a_webhook() {
        let table = [
            (r#"{"emails":"a@b"}"#, "field \"emails\" must be a list, not text"),
            (r#"{"emails":["a@b",7]}"#, "field \"emails[1]\" must be text, not a number"),
            (r#"{"emails":["nobody"]}"#, "emails[0] must be an email address, not \"nobody\""),
            (r#"{"emails":["a@b\n"]}"#, "emails[0] must be an email address, not \"a@b\\n\""),
            (r#"{"slack_webhooks":["u"]}"#, "field \"slack_webhooks[0]\" must be an object, not text"),
            (r#"{"slack_webhooks":[{"url":7}]}"#, "field \"slack_webhooks[0].url\" must be text, not a number"),
            (r#"{"slack_webhooks":[{}]}"#, "slack_webhooks[0].url must be an address that begins with https://"),
            (
                r#"{"slack_webhooks":[{"url":"file:///secret"}]}"#,
                "slack_webhooks[0].url must be an address that begins with https://",
            ),
        ];
        for (text, wanted) in table {
            assert_eq!(read(text), Err(wanted.to_owned()), "{text}");
        }
    }
}
