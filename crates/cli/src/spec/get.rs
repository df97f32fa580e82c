//! `spec get`: prints the spec of an app.

use anyhow::{Context, anyhow};
use app_spec::AppSpec;

use crate::args::SpecFormat;
use crate::client::{Client, path_segment};
use crate::exit::Exit;
use crate::output;

pub async fn run(client: &Client, app: &str, form: SpecFormat) -> anyhow::Result<Exit> {
    let answer = client.get(&format!("/v2/apps/{}", path_segment(app))).await?;
    let spec = answer.pointer("/app/spec").context("the API did not send a spec")?;
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
