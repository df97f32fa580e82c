//! `boatyard apps explain`: requests what the API knows about an app, and prints the sentences for it.

use anyhow::Context;
use chrono::Utc;
use present::explain::{AppStatus, Facts, explain};
use present::{App, Deployment};
use serde::Deserialize;
use serde_json::Value;

use crate::args::OutputFormat;
use crate::client::{Client, path_segment};
use crate::exit::Exit;
use crate::output;

/// How many of the newest deployments to look at.
const RECENT: usize = 20;

pub async fn run(client: &Client, app: &str, format: OutputFormat) -> anyhow::Result<Exit> {
    let explanation = explain(&facts(client, app).await?, Utc::now());
    let json = serde_json::to_value(&explanation).context("cannot write the explanation as JSON")?;
    let text = || explanation.lines().iter().map(|line| output::printable(line) + "\n").collect();
    output::result(&format.document(&json).unwrap_or_else(text));
    Ok(Exit::Done)
}

async fn facts(client: &Client, app: &str) -> anyhow::Result<Facts> {
    let status = client.get(&format!("/v2/boatyard/apps/{}/status", path_segment(app))).await?;
    let status: AppStatus = read(&status["status"])?;
    if status.deleting {
        return Ok(Facts { status, ..Facts::default() });
    }
    let path = format!("/v2/apps/{}", path_segment(&status.id));
    let app: App = read(&client.get(&path).await?["app"])?;
    let recent: Vec<Deployment> =
        read(&client.get(&format!("{path}/deployments?per_page={RECENT}")).await?["deployments"])?;
    Ok(Facts { status, app, recent })
}

fn read<'a, T: Deserialize<'a>>(object: &'a Value) -> anyhow::Result<T> {
    T::deserialize(object).context("the API did not send what this version of boatyard expects")
}
