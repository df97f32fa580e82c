//! `boatyard down` and `boatyard uninstall`: the ways to stop what outlives `serve`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::ingress::{ControlClient, socket_path};
use anyhow::{Context, bail};
use controller::Controller;
use data_dir::{DataDir, DataDirError};
use serde_json::json;

use crate::args::{Connection, Down, Uninstall};
use crate::discover;
use crate::exit::{Exit, HeldError, UsageError};
use crate::say;
use crate::serve::base_config;

/// Open requests get this long, as at any drain.
const DRAIN: Duration = Duration::from_secs(60);
/// The server drains (60 s) and stops containers, each with its own grace (600 s at most), and then answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(30 * 60);

/// Through the controller that runs; by ourselves where none does.
pub async fn down(options: Down, connection: &Connection) -> anyhow::Result<Exit> {
    let data_dir = connection.data_dir()?;
    if connection.api_url.is_none() && !data_dir.exists() {
        bail!("there is nothing in {}; name the installation with --data-dir", data_dir.display());
    }
    if connection.api_url.is_none() && is_free(&data_dir)? {
        return alone(options, &data_dir).await;
    }
    let client = discover::client(connection)?;
    client.post_within("/v2/boatyard/down", &json!({ "apps": options.apps }), ANSWER_WITHIN).await?;
    told(options.apps)
}

fn told(apps: bool) -> anyhow::Result<Exit> {
    say::note(match apps {
        true => "The front door and all apps are stopped; records and volumes stay. To bring them back: boatyard serve",
        false => "The front door is stopped; the apps' containers go on. To bring it back: boatyard serve",
    });
    Ok(Exit::Done)
}

/// Whether no controller holds the directory.
fn is_free(data_dir: &Path) -> anyhow::Result<bool> {
    match DataDir::open(data_dir) {
        Ok(_) => Ok(true),
        Err(DataDirError::Held { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn alone(options: Down, data_dir: &Path) -> anyhow::Result<Exit> {
    if options.apps {
        let mut config = base_config(options.host, data_dir)?;
        // The front door stays where it is for the moment that it has left.
        if let Some(listener) = listener(data_dir).await {
            config.http = listener;
        }
        let controller = Controller::start(config).await?;
        controller.down(true).await?;
        return told(true);
    }
    let _held = DataDir::open(data_dir)?;
    let Ok(control) = ControlClient::connect(&socket_path(data_dir)).await else {
        say::note("Nothing to do: no front door runs.");
        return Ok(Exit::Done);
    };
    control.hello(Vec::new()).await.context("the front door does not answer")?;
    control.shutdown_and_wait(DRAIN).await.context("the front door does not stop")?;
    told(false)
}

async fn listener(data_dir: &Path) -> Option<std::net::SocketAddr> {
    let control = ControlClient::connect(&socket_path(data_dir)).await.ok()?;
    Some(control.status().await.ok()?.listeners.first()?.address)
}

pub async fn uninstall(options: Uninstall, data_dir: PathBuf) -> anyhow::Result<Exit> {
    if !options.purge {
        let message = format!(
            "this removes every container, network, image and volume of the installation in {at}, with all data of its \
             databases, and then {at} itself. If that is meant: boatyard uninstall --purge --data-dir {at}",
            at = data_dir.display()
        );
        return Err(UsageError(message).into());
    }
    if !data_dir.exists() {
        say::note(&format!("Nothing to do: there is no installation in {}.", data_dir.display()));
        return Ok(Exit::Done);
    }
    if !is_free(&data_dir)? {
        let message = format!("a controller runs in {}; end it first, then uninstall", data_dir.display());
        return Err(HeldError(message).into());
    }
    let config = base_config(options.host, &data_dir)?;
    controller::uninstall(&config, |line| say::note(&line)).await?;
    Ok(Exit::Done)
}
