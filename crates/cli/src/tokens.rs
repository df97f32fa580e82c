//! `boatyard tokens` and `boatyard audit`: who may use the API, and who did.

use serde_json::json;

use crate::apps::first_items;
use crate::args::{Audit, Connection, Output, Scope, Tokens};
use crate::client::{Client, path_segment};
use crate::columns::{self, AUDIT, NEW_TOKEN, TOKENS};
use crate::discover;
use crate::exit::Exit;
use crate::output;

pub async fn run(command: Tokens, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Tokens::Create { name, scope, app, expires, output } => {
            create(&discover::client(connection)?, &name, scope, app.as_deref(), &expires, &output).await
        }
        Tokens::List { output } => list(&discover::client(connection)?, &output).await,
        Tokens::Revoke { revoked, output } => revoke(&discover::client(connection)?, &revoked, &output).await,
    }
}

async fn create(
    client: &Client,
    name: &str,
    scope: Scope,
    app: Option<&str>,
    expires: &str,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(NEW_TOKEN, &output.format)?;
    let body = json!({ "name": name, "scope": scope.api_name(), "app": app, "expires": expires });
    let created = client.post("/v2/boatyard/tokens", &body).await?["token"].take();
    columns::print(NEW_TOKEN, &[created], output)?;
    output::note("Store the token now: it cannot be shown again.");
    Ok(Exit::Done)
}

async fn list(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    columns::select(TOKENS, &output.format)?;
    let answer = client.get("/v2/boatyard/tokens").await?;
    columns::print(TOKENS, answer["tokens"].as_array().map_or(&[], Vec::as_slice), output)?;
    Ok(Exit::Done)
}

async fn revoke(client: &Client, name_or_id: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(TOKENS, &output.format)?;
    let revoked = client.delete(&format!("/v2/boatyard/tokens/{}", path_segment(name_or_id))).await?["token"].take();
    columns::print(TOKENS, &[revoked], output)?;
    Ok(Exit::Done)
}

/// Prints the newest rows of the audit trail, newest first.
pub async fn audit(options: Audit, connection: &Connection) -> anyhow::Result<Exit> {
    columns::select(AUDIT, &options.output.format)?;
    let client = discover::client(connection)?;
    let app = options.app.as_deref().map(|app| format!("&app={}", path_segment(app))).unwrap_or_default();
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let rows = first_items(&client, "/v2/boatyard/audit", &app, "audit", limit).await?;
    columns::print(AUDIT, &rows, &options.output)?;
    Ok(Exit::Done)
}
