//! Commands that change nothing.

use std::time::Duration;

use serde_json::Value;

use crate::args::{Output, Waiting};
use crate::client::{Client, ClientError, part};
use crate::columns::{self, APPS, DEPLOYMENTS, INSTANCES};
use crate::exit::Exit;
use crate::say;
use crate::watch;

/// The largest page there is.
const PER_PAGE: usize = 200;
/// doctl's order of magnitude; nobody reads more.
const PAGES: usize = 50;

pub async fn get(client: &Client, app: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::chosen(APPS, &output.format)?;
    let mut answer = client.get(&format!("/v2/apps/{}", part(app))).await?;
    let app = answer["app"].take();
    for why in app["boatyard"]["waiting"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        say::note(&say::plain(why));
    }
    columns::print(APPS, &[app], output)?;
    Ok(Exit::Done)
}

pub async fn list(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    columns::chosen(APPS, &output.format)?;
    let all = pages(client, "/v2/apps", "apps").await?;
    columns::print(APPS, &all, output)?;
    Ok(Exit::Done)
}

pub async fn list_deployments(client: &Client, app: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::chosen(DEPLOYMENTS, &output.format)?;
    let all = pages(client, &format!("/v2/apps/{}/deployments", part(app)), "deployments").await?;
    columns::print(DEPLOYMENTS, &all, output)?;
    Ok(Exit::Done)
}

pub async fn get_deployment(
    client: &Client,
    app: &str,
    deployment: &str,
    waiting: Waiting,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::chosen(DEPLOYMENTS, &output.format)?;
    let mut answer = client.get(&format!("/v2/apps/{}/deployments/{}", part(app), part(deployment))).await?;
    let found = answer["deployment"].take();
    if !waiting.wait {
        columns::print(DEPLOYMENTS, &[found], output)?;
        return Ok(Exit::Done);
    }
    let id = found["id"].as_str().unwrap_or(deployment);
    let watched = watch::wait(client, app, id, None, Duration::from_secs(waiting.wait_timeout)).await?;
    // Left before the first look: what was read above is what there is.
    let last = if watched.deployment.is_null() { found } else { watched.deployment };
    columns::print(DEPLOYMENTS, &[last], output)?;
    Ok(watched.exit)
}

pub async fn list_instances(client: &Client, app: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::chosen(INSTANCES, &output.format)?;
    let answer = client.get(&format!("/v2/apps/{}/instances", part(app))).await?;
    let all = answer["instances"].as_array().cloned().unwrap_or_default();
    columns::print(INSTANCES, &all, output)?;
    Ok(Exit::Done)
}

/// All pages of a list, in order.
async fn pages(client: &Client, path: &str, key: &str) -> Result<Vec<Value>, ClientError> {
    let mut all = Vec::new();
    for page in 1..=PAGES {
        let answer = client.get(&format!("{path}?page={page}&per_page={PER_PAGE}")).await?;
        let items = answer[key].as_array().cloned().unwrap_or_default();
        let last = items.len() < PER_PAGE;
        all.extend(items);
        if last {
            break;
        }
    }
    Ok(all)
}
