//! `boatyard certificates`: certificates of the host names of apps.

use std::path::Path;

use anyhow::Context;
use serde_json::json;

use crate::args::{Certificates, Connection, Output};
use crate::client::{Client, path_segment};
use crate::columns::{self, CERTIFICATES};
use crate::discover;
use crate::exit::Exit;
use crate::output;
use crate::secret_file::{self, MAX_SECRET};

pub async fn run(command: Certificates, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Certificates::Add { domain, cert, key, output } => {
            columns::select(CERTIFICATES, &output.format)?;
            let (chain, key) = (read(&cert, "certificate")?, read(&key, "key")?);
            add(&discover::client(connection)?, &domain, &chain, &key, &output).await
        }
        Certificates::List { output } => list(&discover::client(connection)?, &output).await,
        Certificates::Remove { domain, output } => remove(&discover::client(connection)?, &domain, &output).await,
    }
}

async fn add(client: &Client, domain: &str, chain: &str, key: &str, output: &Output) -> anyhow::Result<Exit> {
    let body = json!({ "name": domain, "chain": chain, "key": key });
    let added = client.post("/v2/boatyard/certificates", &body).await?["certificate"].take();
    columns::print(CERTIFICATES, &[added], output)?;
    output::note("New connections get it. Add it again before it expires: Boatyard does not renew your certificates");
    Ok(Exit::Done)
}

async fn list(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    columns::select(CERTIFICATES, &output.format)?;
    let answer = client.get("/v2/boatyard/certificates").await?;
    columns::print(CERTIFICATES, answer["certificates"].as_array().map_or(&[], Vec::as_slice), output)?;
    Ok(Exit::Done)
}

async fn remove(client: &Client, domain: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(CERTIFICATES, &output.format)?;
    let path = format!("/v2/boatyard/certificates/{}", path_segment(domain));
    let removed = client.delete(&path).await?["certificate"].take();
    columns::print(CERTIFICATES, &[removed], output)?;
    Ok(Exit::Done)
}

fn read(file: &Path, what: &str) -> anyhow::Result<String> {
    secret_file::text(file, MAX_SECRET).with_context(|| format!("cannot read the {what} from {}", file.display()))
}
