//! Commands that only read.

use std::time::Duration;

use present::App;
use serde::Deserialize;
use serde_json::Value;

use crate::args::{Output, WaitArgs};
use crate::client::{Client, ClientError, path_segment};
use crate::columns::{self, APPS, DEPLOYMENTS, INSTANCES};
use crate::exit::Exit;
use crate::output;
use crate::watch;

/// The largest page of the API.
const PER_PAGE: usize = 200;
/// Limit of pages, as in doctl.
const PAGES: usize = 50;

pub async fn get(client: &Client, app: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(APPS, &output.format)?;
    let mut answer = client.get(&format!("/v2/apps/{}", path_segment(app))).await?;
    let app = answer["app"].take();
    for why in app["boatyard"]["waiting"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        output::note(why);
    }
    let name = app["spec"]["name"].as_str().unwrap_or_default();
    if let Some(line) = App::deserialize(&app).ok().and_then(|view| view.pinned_line(name)) {
        output::note(&line);
    }
    columns::print(APPS, &[app], output)?;
    Ok(Exit::Done)
}

pub async fn list(client: &Client, with_projects: bool, output: &Output) -> anyhow::Result<Exit> {
    columns::select(APPS, &output.format)?;
    let filter = if with_projects { "&with_projects=true" } else { "" };
    let all = pages(client, "/v2/apps", filter, "apps").await?;
    columns::print(APPS, &all, output)?;
    crate::unknown::print_notices(client).await;
    Ok(Exit::Done)
}

pub async fn list_deployments(client: &Client, app: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(DEPLOYMENTS, &output.format)?;
    let all = pages(client, &format!("/v2/apps/{}/deployments", path_segment(app)), "", "deployments").await?;
    columns::print(DEPLOYMENTS, &all, output)?;
    Ok(Exit::Done)
}

pub async fn get_deployment(
    client: &Client,
    app: &str,
    deployment: &str,
    waiting: WaitArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(DEPLOYMENTS, &output.format)?;
    let mut answer =
        client.get(&format!("/v2/apps/{}/deployments/{}", path_segment(app), path_segment(deployment))).await?;
    let found = answer["deployment"].take();
    if !waiting.wait {
        columns::print(DEPLOYMENTS, &[found], output)?;
        return Ok(Exit::Done);
    }
    let id = found["id"].as_str().unwrap_or(deployment);
    let watched = watch::wait(client, app, id, None, Duration::from_secs(waiting.wait_timeout)).await?;
    // The wait may end before the first poll. Then the first answer is the newest.
    let last = if watched.deployment.is_null() { found } else { watched.deployment };
    columns::print(DEPLOYMENTS, &[last], output)?;
    Ok(watched.exit)
}

pub async fn list_instances(client: &Client, app: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(INSTANCES, &output.format)?;
    let answer = client.get(&format!("/v2/apps/{}/instances", path_segment(app))).await?;
    let all = answer["instances"].as_array().cloned().unwrap_or_default();
    columns::print(INSTANCES, &all, output)?;
    Ok(Exit::Done)
}

/// All pages of a list, in order. `filter`: more of the query, from `&`.
pub async fn pages(client: &Client, path: &str, filter: &str, key: &str) -> Result<Vec<Value>, ClientError> {
    first_items(client, path, filter, key, PAGES * PER_PAGE).await
}

/// The first items of a list, at most `limit`.
pub async fn first_items(
    client: &Client,
    path: &str,
    filter: &str,
    key: &str,
    limit: usize,
) -> Result<Vec<Value>, ClientError> {
    let (mut all, per_page) = (Vec::new(), PER_PAGE.min(limit).max(1));
    for page in 1..=limit.div_ceil(per_page) {
        let mut answer = client.get(&format!("{path}?page={page}&per_page={per_page}{filter}")).await?;
        if let Value::Array(items) = answer[key].take() {
            all.extend(items);
        }
        // A page may be shorter than it could be, because the server leaves out what it cannot read.
        if answer["links"]["pages"]["next"].is_null() {
            break;
        }
    }
    all.truncate(limit);
    Ok(all)
}
