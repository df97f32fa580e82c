//! `boatyard unknown`: containers, networks and volumes without a record in the database.

use serde_json::{Value, json};

use crate::args::{Connection, Output, Unknown};
use crate::client::{Client, path_segment};
use crate::columns::{self, UNKNOWN};
use crate::discover;
use crate::exit::{Exit, UsageError};
use crate::output;

pub async fn run(command: Unknown, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Unknown::List { output } => list(&discover::client(connection)?, &output).await,
        Unknown::Delete { app, force } => delete(&discover::client(connection)?, &app, force).await,
    }
}

async fn list(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    columns::select(UNKNOWN, &output.format)?;
    let answer = client.get("/v2/boatyard/unknown").await?;
    let apps = answer["unknown"]["apps"].as_array().cloned().unwrap_or_default();
    columns::print(UNKNOWN, &apps.iter().flat_map(rows).collect::<Vec<_>>(), output)?;
    for notice in notices(&answer).into_iter().chain(kept_volumes(&answer)) {
        output::note(&notice);
    }
    Ok(Exit::Done)
}

async fn delete(client: &Client, app: &str, force: bool) -> anyhow::Result<Exit> {
    if !force {
        let why = format!(
            "this would stop and remove the unknown containers and networks of {app}. Volumes are kept. To confirm, add --force"
        );
        return Err(UsageError(why).into());
    }
    let answer = client.delete(&format!("/v2/boatyard/unknown/{}", path_segment(app))).await?;
    let names = |key: &str, of: fn(&Value) -> Option<&str>| -> Vec<String> {
        answer["deleted"][key].as_array().into_iter().flatten().filter_map(of).map(str::to_owned).collect()
    };
    let removed = [names("containers", |it| it["name"].as_str()), names("networks", Value::as_str)].concat();
    output::note(&format!("Removed {}.", removed.join(", ")));
    let volumes = names("volumes", Value::as_str);
    if !volumes.is_empty() {
        let kept = volumes.join(" ");
        output::note(&format!("Kept volumes {kept}. To remove their data too: docker volume rm {kept}"));
    }
    Ok(Exit::Done)
}

/// Prints notices about the database, if there are any. A server of an older version has none.
pub async fn print_notices(client: &Client) {
    if let Ok(answer) = client.get("/v2/boatyard/unknown").await {
        for notice in notices(&answer) {
            output::note(&format!("note: {notice}"));
        }
    }
}

fn notices(answer: &Value) -> Vec<String> {
    let all = answer["unknown"]["notices"].as_array().into_iter().flatten();
    all.filter_map(|it| it.as_str()).map(str::to_owned).collect()
}

/// One line for each volume that no database uses any more, and the command that removes them.
fn kept_volumes(answer: &Value) -> Vec<String> {
    let volumes = answer["unknown"]["volumes"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let mut lines: Vec<_> = volumes
        .iter()
        .map(|it| {
            let (volume, component, app) = (text(it, "volume"), text(it, "component"), text(it, "app"));
            format!("Volume {volume} keeps the data of {component}, a former database of app {app}.")
        })
        .collect();
    if !volumes.is_empty() {
        let names = volumes.iter().map(|it| text(it, "volume")).collect::<Vec<_>>().join(" ");
        lines.push(format!("To delete this data for good: docker volume rm {names}"));
    }
    lines
}

/// One row for each container, or one row for an app that has only routes or networks.
fn rows(app: &Value) -> Vec<Value> {
    let row = |container: &Value| json!({ "app": app["app"], "name": app["name"], "hosts": app["hosts"], "container": container });
    match app["containers"].as_array().filter(|it| !it.is_empty()) {
        Some(containers) => containers.iter().map(row).collect(),
        None => vec![row(&Value::Null)],
    }
}
