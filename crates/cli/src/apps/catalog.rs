//! Commands about regions, buildpacks, tiers and instance sizes.

use serde_json::{Value, json};

use crate::args::{InstanceSizes, Output, Tiers};
use crate::client::{Client, path_segment};
use crate::columns::{self, BUILDPACKS, Column, DEPLOYMENTS, INSTANCE_SIZES, REGIONS, TIERS};
use crate::exit::Exit;
use crate::output;

const TIERS_PATH: &str = "/v2/apps/tiers";
const SIZES_PATH: &str = "/v2/apps/tiers/instance_sizes";

pub async fn regions(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    list(client, "/v2/apps/regions", "regions", REGIONS, output).await
}

pub async fn buildpacks(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    list(client, "/v2/apps/buildpacks", "buildpacks", BUILDPACKS, output).await
}

pub async fn tiers(client: &Client, command: Tiers) -> anyhow::Result<Exit> {
    match command {
        Tiers::List { output } => list(client, TIERS_PATH, "tiers", TIERS, &output).await,
        Tiers::Get { tier, output } => one(client, &in_path(TIERS_PATH, &tier), "tier", TIERS, &output).await,
        Tiers::InstanceSize(InstanceSizes::List { output }) => {
            list(client, SIZES_PATH, "instance_sizes", INSTANCE_SIZES, &output).await
        }
        Tiers::InstanceSize(InstanceSizes::Get { size, output }) => {
            one(client, &in_path(SIZES_PATH, &size), "instance_size", INSTANCE_SIZES, &output).await
        }
    }
}

fn in_path(list: &str, slug: &str) -> String {
    format!("{list}/{}", path_segment(slug))
}

async fn list(client: &Client, path: &str, key: &str, columns: &[Column], output: &Output) -> anyhow::Result<Exit> {
    columns::select(columns, &output.format)?;
    let answer = client.get(path).await?;
    columns::print(columns, answer[key].as_array().map_or(&[], Vec::as_slice), output)?;
    Ok(Exit::Done)
}

async fn one(client: &Client, path: &str, key: &str, columns: &[Column], output: &Output) -> anyhow::Result<Exit> {
    columns::select(columns, &output.format)?;
    let found = client.get(path).await?[key].take();
    columns::print(columns, &[found], output)?;
    Ok(Exit::Done)
}

/// The body of a request for an upgrade. Like doctl, leaves out what was not given.
pub fn upgrade_body(buildpack: &str, major_version: Option<u32>, trigger_deployment: bool) -> Value {
    let mut body = json!({ "buildpack_id": buildpack });
    if let Some(version) = major_version.filter(|it| *it > 0) {
        body["major_version"] = version.into();
    }
    if trigger_deployment {
        body["trigger_deployment"] = true.into();
    }
    body
}

/// Upgrades a buildpack, and prints the deployment if the request started one.
pub async fn upgrade_buildpack(client: &Client, app: &str, body: &Value, output: &Output) -> anyhow::Result<Exit> {
    columns::select(DEPLOYMENTS, &output.format)?;
    let mut answer = client.post(&format!("/v2/apps/{}/upgrade_buildpack", path_segment(app)), body).await?;
    let affected = answer["affected_components"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let affected = present::text::list(&affected.collect::<Vec<_>>()).unwrap_or_else(|| "no component".to_owned());
    output::note(&format!("The upgrade affects {affected}"));
    let deployment = answer["deployment"].take();
    if !deployment.is_null() {
        columns::print(DEPLOYMENTS, &[deployment], output)?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_an_upgrade_equals_doctls() {
        let body = upgrade_body("digitalocean/node", None, true);
        assert_eq!(body, json!({ "buildpack_id": "digitalocean/node", "trigger_deployment": true }));
        let body = upgrade_body("digitalocean/node", Some(3), false);
        assert_eq!(body, json!({ "buildpack_id": "digitalocean/node", "major_version": 3 }));
    }
}
