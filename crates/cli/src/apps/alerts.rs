//! Commands about alerts.

use std::path::Path;

use anyhow::bail;
use serde_json::{Value, json};

use crate::args::Output;
use crate::client::{Client, path_segment};
use crate::columns::{self, ALERTS};
use crate::exit::Exit;
use crate::output;
use crate::spec::file;

pub async fn list(client: &Client, app: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(ALERTS, &output.format)?;
    let answer = client.get(&format!("/v2/apps/{}/alerts", path_segment(app))).await?;
    print(answer["alerts"].as_array().map_or(&[], Vec::as_slice), output)
}

pub async fn update_destinations(
    client: &Client,
    app: &str,
    alert: &str,
    destinations: &Value,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(ALERTS, &output.format)?;
    let path = format!("/v2/apps/{}/alerts/{}/destinations", path_segment(app), path_segment(alert));
    let updated = client.post(&path, destinations).await?["alert"].take();
    print(&[updated], output)
}

fn print(alerts: &[Value], output: &Output) -> anyhow::Result<Exit> {
    columns::print(ALERTS, alerts, output)?;
    if !alerts.is_empty() {
        output::note(present::alert::NOT_SENT);
    }
    Ok(Exit::Done)
}

/// The destinations in a JSON or YAML file. Errors name the file, and do not quote it, because the address of a webhook
/// is a secret.
pub fn read_destinations(file: &Path) -> anyhow::Result<Value> {
    let name = file::display_name(file);
    let text = file::text(file)?;
    let read: Result<Value, _> = serde_yaml::from_str(&text);
    let Ok(Value::Object(mut fields)) = read else {
        bail!("{name} is not an object in JSON or YAML with `emails` and `slack_webhooks`; nothing was sent");
    };
    let mut list = |field: &str| fields.remove(field).unwrap_or(Value::Null);
    let destinations = json!({ "emails": list("emails"), "slack_webhooks": list("slack_webhooks") });
    match fields.keys().next() {
        Some(key) => {
            bail!("{name} has an unknown field {key:?}; nothing was sent. Known fields: emails, slack_webhooks")
        }
        None => Ok(destinations),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("destinations.yaml");
        std::fs::write(&file, text).expect("writable");
        read_destinations(&file).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn destinations_are_read_as_json_and_as_yaml() {
        let yaml = "emails: [a@example.com]\nslack_webhooks:\n- {url: https://hooks.example.com/x, channel: '#x'}\n";
        let webhook = json!({ "url": "https://hooks.example.com/x", "channel": "#x" });
        let both = json!({ "emails": ["a@example.com"], "slack_webhooks": [webhook] });
        assert_eq!(read(yaml), Ok(both.clone()));
        assert_eq!(read(&both.to_string()), Ok(both));
        assert_eq!(read("{}"), Ok(json!({ "emails": null, "slack_webhooks": null })));
    }

    #[test]
    fn a_wrong_file_is_refused_without_its_content() {
        for text in ["", "- a", "emails: [", "secret"] {
            let error = read(text).expect_err(text);
            assert!(error.contains("destinations.yaml is not an object") && !error.contains("secret"), "{error}");
        }
        let error = read("email: [a@example.com]").expect_err("misspelt");
        assert!(error.contains("unknown field \"email\"") && error.contains("slack_webhooks"), "{error}");
    }
}
