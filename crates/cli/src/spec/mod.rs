//! Commands about app specs, and the spec of a command about an app.

pub mod file;
mod get;
mod validate;
mod values;

use app_spec::AppSpec;
use serde_json::Value;

use file::read;
pub use values::{apply, declare, prompt};

use crate::args::{Connection, Spec, SpecArgs};
use crate::discover;
use crate::exit::Exit;
use crate::output;

pub async fn run(command: Spec, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Spec::Validate { files, schema_only, output } => validate::run(&files, schema_only, output),
        Spec::Schema => {
            output::result(&format!("{:#}\n", app_spec::json_schema()));
            Ok(Exit::Done)
        }
        Spec::Get { app, deployment, format } => {
            get::run(&discover::client(connection)?, &app, deployment.as_deref(), format).await
        }
    }
}

/// Reads the spec of a command about an app, with the values from `--env` and `--env-file`.
pub fn load(options: &SpecArgs) -> anyhow::Result<AppSpec> {
    let mut spec = read(&options.spec)?.spec;
    apply(&mut spec, &options.env, &options.env_file)?;
    Ok(spec)
}

/// The spec as JSON for the API, with plain secrets. Send it only to the API, which seals them.
pub fn request_json(spec: &AppSpec) -> Value {
    spec.to_json_value(&|_, secret| secret.expose().to_owned())
}
