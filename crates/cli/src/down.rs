//! `boatyard down` and `boatyard uninstall`: stop what keeps running after `serve`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::ingress::{ControlClient, Status, socket_path};
use anyhow::{Context, bail};
use controller::{Control, Controller};
use data_dir::{DataDir, DataDirError};
use serde_json::json;

use crate::args::{Connection, Down, Uninstall};
use crate::discover;
use crate::exit::{Exit, HeldError, UsageError};
use crate::output;
use crate::serve::base_config;

/// Drain period of the ingress.
const DRAIN: Duration = Duration::from_secs(60);
/// The server answers after it has drained requests (60 s) and stopped containers (each has a grace period of at most 600
/// s).
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Asks the running controller. Without one, does the work in this process.
pub async fn down(options: Down, connection: &Connection) -> anyhow::Result<Exit> {
    let data_dir = connection.data_dir()?;
    let elsewhere = discover::names_a_server(connection);
    if !elsewhere && !data_dir.exists() {
        bail!("there is no installation in {}. Name its directory with --data-dir", data_dir.display());
    }
    if !elsewhere && has_no_controller(&data_dir)? {
        return down_without_controller(options, &data_dir).await;
    }
    let client = if elsewhere { discover::client(connection)? } else { discover::client_on_this_host(connection)? };
    client.post_within("/v2/boatyard/down", &json!({ "apps": options.apps }), RESPONSE_TIMEOUT).await?;
    report_down(options.apps)
}

fn report_down(apps: bool) -> anyhow::Result<Exit> {
    output::note(match apps {
        true => {
            "The ingress and all apps are stopped. Records and volumes are kept. To start them again: boatyard serve"
        }
        false => "The ingress is stopped. The containers of all apps keep running. To start it again: boatyard serve",
    });
    Ok(Exit::Done)
}

/// Whether no controller has locked the data directory.
fn has_no_controller(data_dir: &Path) -> anyhow::Result<bool> {
    match DataDir::open(data_dir) {
        Ok(_) => Ok(true),
        Err(DataDirError::Held { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn down_without_controller(options: Down, data_dir: &Path) -> anyhow::Result<Exit> {
    if options.apps {
        let mut config = base_config(options.host, data_dir)?;
        // The ingress must not move to another address, or trust others, before it stops.
        if let Some(status) = ingress_status(data_dir).await {
            config.http = status.listeners.first().map_or(config.http, |it| it.address);
            config.proxies = status.proxies;
        }
        let controller = Controller::start(config).await?;
        controller.down(true).await?;
        return report_down(true);
    }
    let _lock = DataDir::open(data_dir)?;
    let Ok(control) = ControlClient::connect(&socket_path(data_dir)).await else {
        output::note("Nothing to do: the ingress is not running.");
        return Ok(Exit::Done);
    };
    control.hello(Vec::new()).await.context("the ingress does not answer")?;
    control.shutdown_and_wait(DRAIN).await.context("the ingress did not stop")?;
    report_down(false)
}

async fn ingress_status(data_dir: &Path) -> Option<Status> {
    let control = ControlClient::connect(&socket_path(data_dir)).await.ok()?;
    control.status().await.ok()
}

pub async fn uninstall(options: Uninstall, data_dir: PathBuf) -> anyhow::Result<Exit> {
    if !options.purge {
        let message = format!(
            "this would remove every container, network, image and volume of the installation in {at}, with all data of its \
             databases, and then {at} itself. To confirm: boatyard uninstall --purge --data-dir {at}",
            at = data_dir.display()
        );
        return Err(UsageError(message).into());
    }
    if !data_dir.exists() {
        output::note(&format!("Nothing to do: there is no installation in {}.", data_dir.display()));
        return Ok(Exit::Done);
    }
    if !has_no_controller(&data_dir)? {
        let message = format!("a controller is running in {}. Stop it first, then uninstall", data_dir.display());
        return Err(HeldError(message).into());
    }
    let config = base_config(options.host, &data_dir)?;
    controller::uninstall(&config, |line| output::note(&line)).await?;
    Ok(Exit::Done)
}
