//! `spec get`: prints the spec of an app, or of one of its deployments.

use anyhow::{Context, anyhow};
use app_spec::AppSpec;

use crate::args::SpecFormat;
use crate::client::{Client, path_segment};
use crate::exit::Exit;
use crate::output;

pub async fn run(client: &Client, app: &str, deployment: Option<&str>, form: SpecFormat) -> anyhow::Result<Exit> {
    let path = format!("/v2/apps/{}", path_segment(app));
    let answer = match deployment {
        Some(deployment) => client.get(&format!("{path}/deployments/{}", path_segment(deployment))).await?,
        None => client.get(&path).await?,
    };
    let owner = if deployment.is_some() { &answer["deployment"] } else { &answer["app"] };
    let spec = owner.get("spec").context("the API did not send a spec")?;
    match form {
        SpecFormat::Json => output::result(&format!("{spec:#}\n")),
        SpecFormat::Yaml => {
            let spec = AppSpec::from_stored(spec)
                .map_err(|problems| anyhow!("the API did not send a valid spec: {problems}"))?;
            // The secrets from the API are sealed, so they can be printed.
            output::result(&spec.to_yaml(&|_, secret| secret.expose().to_owned()));
        }
    }
    Ok(Exit::Done)
}
