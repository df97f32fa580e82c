//! `spec get`: the spec of an app as the API has it.

use anyhow::{Context, anyhow};
use app_spec::AppSpec;

use crate::args::SpecForm;
use crate::client::{Client, part};
use crate::exit::Exit;
use crate::say;

pub async fn run(client: &Client, app: &str, form: SpecForm) -> anyhow::Result<Exit> {
    let answer = client.get(&format!("/v2/apps/{}", part(app))).await?;
    let spec = answer.pointer("/app/spec").context("the API sent no spec")?;
    match form {
        SpecForm::Json => say::result(&format!("{spec:#}\n")),
        SpecForm::Yaml => {
            let spec = AppSpec::from_stored(spec).map_err(|problems| anyhow!("the API sent no spec: {problems}"))?;
            // What the API sends is sealed; this command only passes it on.
            say::result(&spec.to_yaml(&|_, secret| secret.expose().to_owned()));
        }
    }
    Ok(Exit::Done)
}
