//! `boatyard webhooks`: addresses at which hosts of repositories report pushes.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::args::{Connection, Output, OutputFormat, Webhooks};
use crate::client::{Client, path_segment};
use crate::columns::{self, NEW_WEBHOOK, WEBHOOKS};
use crate::discover;
use crate::exit::Exit;
use crate::output;
use crate::secret_file::{self, MAX_SECRET};
use crate::spec::file::is_standard_input;

pub async fn run(command: Webhooks, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Webhooks::Add { name, app, secret_file, output } => {
            let secret = secret_file.as_deref().map(read_secret).transpose()?;
            add(&discover::client(connection)?, &name, app.as_deref(), secret, &output).await
        }
        Webhooks::List { output } => list(&discover::client(connection)?, &output).await,
        Webhooks::Remove { name, output } => remove(&discover::client(connection)?, &name, &output).await,
    }
}

/// The first line of the file, or of the input for `-`.
fn read_secret(file: &Path) -> anyhow::Result<String> {
    let text = secret_file::text(file, MAX_SECRET);
    let text = text.with_context(|| match is_standard_input(file) {
        true => "cannot read the secret from the input".to_owned(),
        false => format!("cannot read {}", file.display()),
    })?;
    let secret = text.lines().next().unwrap_or_default().trim();
    if secret.is_empty() {
        bail!("{} has no secret in its first line", file.display());
    }
    Ok(secret.to_owned())
}

async fn add(
    client: &Client,
    name: &str,
    app: Option<&str>,
    secret: Option<String>,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(NEW_WEBHOOK, &output.format)?;
    let is_given = secret.is_some();
    let body = json!({ "name": name, "app": app, "secret": secret });
    let mut created = client.post("/v2/boatyard/webhooks", &body).await?["webhook"].take();
    if is_given && let Some(created) = created.as_object_mut() {
        created.remove("secret");
    }
    columns::print(NEW_WEBHOOK, &[created], output)?;
    output::note(
        "Enter the address and the secret in the settings of the repository, with the content type application/json and \
         push events. If a proxy in front of the ingress offers HTTPS, the address begins with https:// and has its port.",
    );
    if !is_given {
        output::note("Store the secret now: it cannot be shown again.");
    }
    Ok(Exit::Done)
}

/// Prints the webhooks and, as text, what was delivered to them.
async fn list(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    columns::select(WEBHOOKS, &output.format)?;
    let answer = client.get("/v2/boatyard/webhooks").await?;
    let all = answer["webhooks"].as_array().map_or(&[][..], Vec::as_slice);
    columns::print(WEBHOOKS, all, output)?;
    if output.output == OutputFormat::Text && output.format.is_empty() {
        all.iter().flat_map(deliveries).for_each(|line| output::result(&(output::printable(&line) + "\n")));
    }
    Ok(Exit::Done)
}

/// The newest deliveries of a webhook, newest first, one per line, each followed by its result.
fn deliveries(webhook: &Value) -> Vec<String> {
    let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let list = |it: &Value, name: &str| it[name].as_array().cloned().unwrap_or_default();
    let mut lines = Vec::new();
    for delivery in list(webhook, "deliveries") {
        let (at, host, answer) = (text(&delivery, "at"), text(&delivery, "host"), text(&delivery, "answer"));
        lines.push(format!("{at} {} from {host}: {answer}", text(webhook, "name")));
        for app in list(&delivery, "apps") {
            let result = app["result"].as_str().unwrap_or("not looked at yet");
            lines.push(format!("  {}: {result}", text(&app, "app_name")));
        }
    }
    lines
}

async fn remove(client: &Client, name: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(WEBHOOKS, &output.format)?;
    let removed = client.delete(&format!("/v2/boatyard/webhooks/{}", path_segment(name))).await?["webhook"].take();
    columns::print(WEBHOOKS, &[removed], output)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_delivery_is_listed_with_what_came_of_it() {
        let apps = json!([{ "app_name": "shop", "result": "deployment 3 was started" }, { "app_name": "blog" }]);
        let delivery =
            json!({ "at": "2026-01-01T00:00:00Z", "host": "GitHub", "answer": "looking at shop", "apps": apps });
        let lines = deliveries(&json!({ "name": "github", "deliveries": [delivery] }));
        assert_eq!(
            lines,
            [
                "2026-01-01T00:00:00Z github from GitHub: looking at shop",
                "  shop: deployment 3 was started",
                "  blog: not looked at yet"
            ]
        );
        assert!(deliveries(&json!({ "name": "github" })).is_empty());
    }

    #[test]
    fn a_secret_is_the_first_line_of_a_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("secret");
        std::fs::write(&file, "a-long-secret-text\nnot this\n").expect("written");
        assert_eq!(read_secret(&file).expect("readable"), "a-long-secret-text");
        let error = read_secret(&directory.path().join("none")).expect_err("missing");
        assert!(error.to_string().contains("/none"), "{error}");
    }
}
