//! Commands that change apps and deployments.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, bail};
use app_spec::AppSpec;
use present::outcome;
use serde_json::{Value, json};

use super::dry_run;
use crate::args::{DeployArgs, Output};
use crate::client::{Client, path_segment};
use crate::columns::{self, APPS, Column, DEPLOYMENTS};
use crate::exit::Exit;
use crate::output;
use crate::spec::request_json;
use crate::watch::{self, read_deployment};

/// Update the app if it exists.
#[derive(Clone, Copy)]
pub struct Upsert {
    pub update_sources: bool,
}

pub async fn create(
    client: &Client,
    spec: &AppSpec,
    project: Option<&str>,
    upsert: Option<Upsert>,
    acting: &DeployArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(APPS, &output.format)?;
    let mut body = json!({ "spec": request_json(spec) });
    if let Some(project) = project {
        body["project_id"] = project.into();
    }
    if acting.dry_run {
        return dry_run::create(client, &body).await;
    }
    match client.post("/v2/apps", &body).await {
        Ok(answer) => {
            output::note(&format!("App {} created", spec.name));
            print_updated_app(client, &spec.name, answer, acting, output).await
        }
        Err(error) => match upsert.filter(|_| error.is_conflict()) {
            Some(Upsert { update_sources }) => update(client, &spec.name, spec, update_sources, acting, output).await,
            None => Err(error.into()),
        },
    }
}

/// Whether the server has an app with this name or id.
pub async fn app_exists(client: &Client, app: &str) -> anyhow::Result<bool> {
    match client.get(&format!("/v2/apps/{}", path_segment(app))).await {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub async fn update(
    client: &Client,
    app: &str,
    spec: &AppSpec,
    update_sources: bool,
    acting: &DeployArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    columns::select(APPS, &output.format)?;
    let body = json!({ "spec": request_json(spec), "update_all_source_versions": update_sources });
    if acting.dry_run {
        return dry_run::update(client, app, &body).await;
    }
    let answer = client.put(&format!("/v2/apps/{}", path_segment(app)), &body).await?;
    print_updated_app(client, app, answer, acting, output).await
}

/// Prints the app, with `--wait` after its deployment has ended.
async fn print_updated_app(
    client: &Client,
    app: &str,
    mut answer: Value,
    acting: &DeployArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    let started = answer["boatyard"]["deployment_started"] != false;
    let mut object = answer["app"].take();
    let pending = read_deployment(&object["pending_deployment"])?;
    let exit = match (started, pending.has_ended()) {
        (false, true) => {
            output::note(&outcome::nothing_changed(app, &pending));
            Exit::Done
        }
        _ if acting.waiting.wait => {
            let limit = Duration::from_secs(acting.waiting.wait_timeout);
            let exit = watch::wait(client, app, &pending.id, None, limit).await?.exit;
            if exit != Exit::Detached {
                object = client.get(&format!("/v2/apps/{}", path_segment(app))).await?["app"].take();
            }
            exit
        }
        _ => {
            output::note(&outcome::started(app, &pending));
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
    acting: &DeployArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    let names: Vec<_> = components.iter().filter(|it| !it.is_empty()).collect();
    start(
        client,
        &format!("/v2/apps/{}/restart", path_segment(app)),
        app,
        &json!({ "components": names }),
        acting,
        output,
    )
    .await
}

pub async fn deploy(
    client: &Client,
    app: &str,
    body: &Value,
    acting: &DeployArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    start(client, &format!("/v2/apps/{}/deployments", path_segment(app)), app, body, acting, output).await
}

/// Starts a deployment and prints it, with `--wait` after it has ended.
pub(super) async fn start(
    client: &Client,
    path: &str,
    app: &str,
    body: &Value,
    acting: &DeployArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    // Checks the columns first, so that a misspelled name starts nothing.
    columns::select(DEPLOYMENTS, &output.format)?;
    if acting.dry_run {
        return dry_run::print(&client.post(&format!("{path}?dry_run=true"), body).await?);
    }
    let before = if acting.waiting.wait { watch::instances(client, app).await } else { None };
    let first_answer = client.post(path, body).await?["deployment"].take();
    let started = read_deployment(&first_answer)?;
    if !acting.waiting.wait {
        output::note(&outcome::started(app, &started));
        return printed(DEPLOYMENTS, first_answer, output, Exit::Done);
    }
    let limit = Duration::from_secs(acting.waiting.wait_timeout);
    let watched = watch::wait(client, app, &started.id, before, limit).await?;
    // The wait may end before the first poll. Then the first answer is the newest.
    let last = if watched.deployment.is_null() { first_answer } else { watched.deployment };
    printed(DEPLOYMENTS, last, output, watched.exit)
}

fn printed(columns: &[Column], object: Value, output: &Output, exit: Exit) -> anyhow::Result<Exit> {
    columns::print(columns, &[object], output)?;
    Ok(exit)
}

pub async fn cancel(client: &Client, app: &str, deployment: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(DEPLOYMENTS, &output.format)?;
    let path = format!("/v2/apps/{}/deployments/{}/cancel", path_segment(app), path_segment(deployment));
    let canceled = client.post(&path, &Value::Null).await?["deployment"].take();
    output::note(&outcome::cancel_accepted(&read_deployment(&canceled)?));
    printed(DEPLOYMENTS, canceled, output, Exit::Done)
}

/// Sets whether Dockerfiles of the app's repositories get secrets as build arguments.
pub async fn set_build_secrets(client: &Client, app: &str, as_arguments: bool) -> anyhow::Result<Exit> {
    let path = format!("/v2/boatyard/build-secrets/{}", path_segment(app));
    client.put(&path, &json!({ "as_arguments": as_arguments })).await?;
    let rebuild = format!("To build again: boatyard apps create-deployment {app} --force-rebuild");
    output::note(&match as_arguments {
        true => format!(
            "Warning: Dockerfiles of {app} get its secrets as build arguments from the next build on. Everyone who has such an \
             image can read them in its history. {rebuild}"
        ),
        false => format!(
            "Dockerfiles of {app} get no secrets as build arguments from the next build on. Images that were built with them \
             still contain them: replace the secrets. {rebuild}"
        ),
    });
    Ok(Exit::Done)
}

pub async fn delete(client: &Client, app: &str, force: bool) -> anyhow::Result<Exit> {
    if !force && !confirmed(&format!("Delete app {app}? The volumes of its databases are kept. (y/N) "))? {
        bail!("nothing was deleted");
    }
    client.delete(&format!("/v2/apps/{}", path_segment(app))).await?;
    output::note(&format!("App {app} is being deleted. The volumes of its databases are kept"));
    Ok(Exit::Done)
}

fn confirmed(question: &str) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!(
            "nothing was deleted, because there is no terminal for the question. Add --force to delete without asking"
        );
    }
    let mut out = std::io::stderr().lock();
    out.write_all(question.as_bytes()).and_then(|()| out.flush()).context("cannot write to the terminal")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).context("cannot read from the terminal")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
