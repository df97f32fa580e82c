//! Commands that start, end or remove something.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use app_spec::AppSpec;
use present::outcome;
use serde_json::{Value, json};

use super::planning;
use crate::args::{Acting, Output};
use crate::client::{Client, part};
use crate::columns::{self, APPS, Column, DEPLOYMENTS};
use crate::exit::Exit;
use crate::say;
use crate::spec::wire;
use crate::watch::{self, read_deployment};

pub async fn create(
    client: &Client,
    spec: &AppSpec,
    upsert: bool,
    acting: &Acting,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::chosen(APPS, &output.format)?;
    if acting.dry_run {
        return planning::create(client, spec).await;
    }
    let body = json!({ "spec": wire(spec) });
    match client.post("/v2/apps", &body).await {
        Ok(answer) => {
            say::note(&format!("App {} created", spec.name));
            put_answered(client, &spec.name, answer, acting, output).await
        }
        Err(error) if upsert && error.is_conflict() => update(client, &spec.name, spec, acting, output).await,
        Err(error) => Err(error.into()),
    }
}

/// Whether the server has an app of that name.
pub async fn is_there(client: &Client, app: &str) -> anyhow::Result<bool> {
    match client.get(&format!("/v2/apps/{}", part(app))).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub async fn update(
    client: &Client,
    app: &str,
    spec: &AppSpec,
    acting: &Acting,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::chosen(APPS, &output.format)?;
    if acting.dry_run {
        return planning::update(client, app, spec).await;
    }
    let answer = client.put(&format!("/v2/apps/{}", part(app)), &json!({ "spec": wire(spec) })).await?;
    put_answered(client, app, answer, acting, output).await
}

/// Prints the app, after its deployment has ended where that is asked for.
async fn put_answered(
    client: &Client,
    app: &str,
    mut answer: Value,
    acting: &Acting,
    output: &Output,
) -> anyhow::Result<Exit> {
    let started = answer["boatyard"]["deployment_started"] != false;
    let mut object = answer["app"].take();
    let pending = read_deployment(&object["pending_deployment"])?;
    let exit = match (started, pending.has_ended()) {
        (false, true) => {
            say::note(&outcome::nothing_changed(app, &pending));
            Exit::Done
        }
        _ if acting.waiting.wait => {
            let limit = Duration::from_secs(acting.waiting.wait_timeout);
            let exit = watch::wait(client, app, &pending.id, None, limit).await?.exit;
            if exit != Exit::Detached {
                object = client.get(&format!("/v2/apps/{}", part(app))).await?["app"].take();
            }
            exit
        }
        _ => {
            say::note(&say::plain(&outcome::started(app, &pending)));
            Exit::Done
        }
    };
    columns::print(APPS, &[object], output)?;
    Ok(exit)
}

pub async fn restart(
    client: &Client,
    app: &str,
    components: &[String],
    acting: &Acting,
    output: &Output,
) -> anyhow::Result<Exit> {
    let names: Vec<_> = components.iter().filter(|it| !it.is_empty()).collect();
    start(client, &format!("/v2/apps/{}/restart", part(app)), app, &json!({ "components": names }), acting, output)
        .await
}

pub async fn deploy(
    client: &Client,
    app: &str,
    body: &Value,
    acting: &Acting,
    output: &Output,
) -> anyhow::Result<Exit> {
    start(client, &format!("/v2/apps/{}/deployments", part(app)), app, body, acting, output).await
}

/// Starts a deployment and prints it, after it has ended where that is asked for.
async fn start(
    client: &Client,
    path: &str,
    app: &str,
    body: &Value,
    acting: &Acting,
    output: &Output,
) -> anyhow::Result<Exit> {
    // A misspelt column is found before anything is started; doctl starts it first.
    columns::chosen(DEPLOYMENTS, &output.format)?;
    if acting.dry_run {
        return planning::print(&client.post(&format!("{path}?dry_run=true"), body).await?);
    }
    let before = if acting.waiting.wait { watch::instances(client, app).await } else { None };
    let begun_with = client.post(path, body).await?["deployment"].take();
    let started = read_deployment(&begun_with)?;
    if !acting.waiting.wait {
        say::note(&say::plain(&outcome::started(app, &started)));
        return printed(DEPLOYMENTS, begun_with, output, Exit::Done);
    }
    let limit = Duration::from_secs(acting.waiting.wait_timeout);
    let watched = watch::wait(client, app, &started.id, before, limit).await?;
    // Left before the first look: the first answer is what there is.
    let last = if watched.deployment.is_null() { begun_with } else { watched.deployment };
    printed(DEPLOYMENTS, last, output, watched.exit)
}

fn printed(columns: &[Column], object: Value, output: &Output, exit: Exit) -> anyhow::Result<Exit> {
    columns::print(columns, &[object], output)?;
    Ok(exit)
}

pub async fn cancel(client: &Client, app: &str, deployment: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::chosen(DEPLOYMENTS, &output.format)?;
    let path = format!("/v2/apps/{}/deployments/{}/cancel", part(app), part(deployment));
    let canceled = client.post(&path, &Value::Null).await?["deployment"].take();
    say::note(&outcome::cancel_accepted(&read_deployment(&canceled)?));
    printed(DEPLOYMENTS, canceled, output, Exit::Done)
}

pub async fn delete(client: &Client, app: &str, force: bool) -> anyhow::Result<Exit> {
    if !force && !confirmed(&format!("Delete app {app}? Its databases' volumes stay. (y/N) "))? {
        bail!("nothing was deleted");
    }
    client.delete(&format!("/v2/apps/{}", part(app))).await?;
    say::note(&format!("App {app} is being deleted; volumes of its databases stay"));
    Ok(Exit::Done)
}

fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nothing was deleted: there is no terminal to ask on. Say --force");
    }
    let mut out = std::io::stderr().lock();
    out.write_all(question.as_bytes()).and_then(|()| out.flush()).context("the question cannot be asked")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("the answer cannot be read")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
