//! `boatyard sources`: logins for git servers.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::{Map, Value, json};

use crate::args::{AddSource, Connection, Output, Sources};
use crate::client::{Client, ClientError, path_segment};
use crate::columns::{self, SOURCES};
use crate::discover;
use crate::exit::{Exit, UsageError};
use crate::output;
use crate::secret_file::{self, MAX_SECRET};
use crate::spec::file::is_standard_input;

const PATH: &str = "/v2/boatyard/sources";
/// The most bytes of a file of known hosts.
const MAX_KNOWN_HOSTS: u64 = 16 * 1024 * 1024;

pub async fn run(command: Sources, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Sources::Add(add) => add_login(&discover::client(connection)?, add).await,
        Sources::List { output } => list(&discover::client(connection)?, &output).await,
        Sources::Remove { host, output } => remove(&discover::client(connection)?, &host, &output).await,
    }
}

async fn add_login(client: &Client, add: AddSource) -> anyhow::Result<Exit> {
    columns::select(SOURCES, &add.output.format)?;
    let mut body = login(&add)?;
    let added = match client.post(PATH, &Value::Object(body.clone())).await {
        // The server does not know the keys of the host.
        Err(ClientError::ErrorResponse { message, .. })
            if add.ssh_key.is_some() && !body.contains_key("fingerprints") && can_ask(&add) =>
        {
            let fingerprint = confirmed_host_key(client, &add.host).await.with_context(|| message)?;
            body.insert("fingerprints".to_owned(), json!([fingerprint]));
            client.post(PATH, &Value::Object(body)).await?
        }
        answer => answer?,
    };
    columns::print(SOURCES, &[added["source"].clone()], &add.output)?;
    Ok(Exit::Done)
}

/// The body of the request. Errors: a file cannot be read, or has no key for the host.
fn login(add: &AddSource) -> anyhow::Result<Map<String, Value>> {
    let mut body = Map::from_iter([("host".to_owned(), json!(add.host))]);
    for (field, file) in [("token", &add.token_file), ("ssh_key", &add.ssh_key)] {
        if let Some(file) = file {
            body.insert(field.to_owned(), text(file, MAX_SECRET)?.into());
        }
    }
    if let Some(user) = &add.username {
        body.insert("username".to_owned(), json!(user));
    }
    if !add.fingerprint.is_empty() {
        body.insert("fingerprints".to_owned(), json!(add.fingerprint));
    }
    if let Some(file) = &add.known_hosts {
        if is_standard_input(file) && add.ssh_key.as_deref().is_some_and(is_standard_input) {
            return Err(UsageError("only one of --ssh-key and --known-hosts can read standard input".into()).into());
        }
        let keys = source::known_host_keys(&text(file, MAX_KNOWN_HOSTS)?, &add.host);
        let keys = keys.with_context(|| format!("cannot use {}", file.display()))?;
        body.insert("fingerprints".to_owned(), json!(keys));
    }
    Ok(body)
}

fn text(file: &Path, most: u64) -> anyhow::Result<String> {
    secret_file::text(file, most).with_context(|| format!("cannot read {}", file.display()))
}

/// Whether a person can answer a question. Not if standard input is the key.
fn can_ask(add: &AddSource) -> bool {
    !add.ssh_key.as_deref().is_some_and(is_standard_input) && std::io::stdin().is_terminal()
}

/// Shows the key that the host presents, and returns it if the person accepts it.
async fn confirmed_host_key(client: &Client, host: &str) -> anyhow::Result<String> {
    let found = client.post(&format!("{PATH}/host-key"), &json!({ "host": host })).await?;
    let fingerprint = found["host_key"]["fingerprint"].as_str().context("the server did not send a fingerprint")?;
    let question = format!(
        "{host} presents the ssh host key {fingerprint}.\nCompare it with the key that its operator publishes. Pin it? (y/N) "
    );
    let mut out = std::io::stderr().lock();
    let asked = out.write_all(output::printable(&question).as_bytes()).and_then(|()| out.flush());
    asked.context("cannot write to the terminal")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read from the terminal")?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(fingerprint.to_owned()),
        _ => bail!("the key was not accepted; nothing was saved"),
    }
}

async fn list(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    columns::select(SOURCES, &output.format)?;
    let answer = client.get(PATH).await?;
    columns::print(SOURCES, answer["sources"].as_array().map_or(&[], Vec::as_slice), output)?;
    Ok(Exit::Done)
}

async fn remove(client: &Client, host: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(SOURCES, &output.format)?;
    let removed = client.delete(&format!("{PATH}/{}", path_segment(host))).await?;
    columns::print(SOURCES, removed["sources"].as_array().map_or(&[], Vec::as_slice), output)?;
    Ok(Exit::Done)
}
