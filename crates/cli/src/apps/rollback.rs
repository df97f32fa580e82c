//! Rollbacks of an app to an earlier deployment.

use anyhow::{Context, bail};
use present::App;
use serde::Deserialize;
use serde_json::{Value, json};

use super::changes::start;
use super::dry_run;
use crate::args::{DeployArgs, Output, Rollback, RollbackAction, WaitArgs};
use crate::client::{Client, path_segment};
use crate::exit::Exit;
use crate::output;

pub async fn run(client: &Client, rollback: Rollback) -> anyhow::Result<Exit> {
    match rollback {
        Rollback { action: Some(RollbackAction::Commit { app }), .. } => commit(client, &app).await,
        Rollback { action: Some(RollbackAction::Revert { app, waiting, output }), .. } => {
            revert(client, &app, waiting, &output).await
        }
        Rollback { app: Some(app), deployment: Some(deployment), skip_pin, validate, acting, output, action: None } => {
            let body = json!({ "deployment_id": deployment, "skip_pin": skip_pin });
            if validate {
                self::validate(client, &app, &body, &output).await
            } else {
                roll_back(client, &app, &body, &acting, &output).await
            }
        }
        _ => bail!("clap requires an app and a deployment"),
    }
}

async fn roll_back(
    client: &Client,
    app: &str,
    body: &Value,
    acting: &DeployArgs,
    output: &Output,
) -> anyhow::Result<Exit> {
    if acting.dry_run {
        return dry_run::print_with_changes(&client.post(&path(app, "?dry_run=true"), body).await?);
    }
    let exit = start(client, &path(app, ""), app, body, acting, output).await?;
    if matches!(exit, Exit::Done | Exit::Detached | Exit::TimedOut) {
        note_pin(client, app).await?;
    }
    Ok(exit)
}

/// Prints `valid`, or fails with the reason. `--output json` prints App Platform's answer in both cases.
async fn validate(client: &Client, app: &str, body: &Value, output: &Output) -> anyhow::Result<Exit> {
    let answer = client.post(&path(app, "/validate"), body).await?;
    let message = |it: &Value| it["message"].as_str().unwrap_or_default().to_owned();
    for warning in answer["warnings"].as_array().into_iter().flatten() {
        output::note(&format!("warning: {}", message(warning)));
    }
    let valid = answer["valid"].as_bool().context("the API did not say whether the rollback is valid")?;
    let text = output.output.document(&answer).or_else(|| valid.then(|| "valid\n".to_owned()));
    output::result(&text.unwrap_or_default());
    match valid {
        true => Ok(Exit::Done),
        false => bail!("{}", message(&answer["error"])),
    }
}

async fn commit(client: &Client, app: &str) -> anyhow::Result<Exit> {
    client.post(&path(app, "/commit"), &Value::Null).await?;
    output::note(&format!("The rollback of {app} is committed. New deployments are accepted again"));
    Ok(Exit::Done)
}

async fn revert(client: &Client, app: &str, waiting: WaitArgs, output: &Output) -> anyhow::Result<Exit> {
    let acting = DeployArgs { dry_run: false, waiting };
    start(client, &path(app, "/revert"), app, &Value::Null, &acting, output).await
}

fn path(app: &str, end: &str) -> String {
    format!("/v2/apps/{}/rollback{end}", path_segment(app))
}

/// Tells that the app is pinned, if it is.
async fn note_pin(client: &Client, app: &str) -> anyhow::Result<()> {
    let answer = client.get(&format!("/v2/apps/{}", path_segment(app))).await?;
    let view = App::deserialize(&answer["app"]).context("the API did not send an app")?;
    if let Some(line) = view.pinned_line(app) {
        output::note(&line);
    }
    Ok(())
}
