//! Commands about app specs, and reading the spec that a command about an app is given.

mod file;
mod get;
mod hidden;
mod validate;
mod values;

use app_spec::AppSpec;
use serde_json::Value;

use file::read;
pub use values::ask;

use crate::args::{Connection, Spec, SpecFile};
use crate::discover;
use crate::exit::Exit;
use crate::say;

pub async fn run(command: Spec, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Spec::Validate { files, schema_only, output } => validate::run(&files, schema_only, output),
        Spec::Schema => {
            say::result(&format!("{:#}\n", app_spec::json_schema()));
            Ok(Exit::Done)
        }
        Spec::Get { app, format } => get::run(&discover::client(connection)?, &app, format).await,
    }
}

/// The spec that a command about an app is given, with the values that are given beside it.
pub fn given(options: &SpecFile) -> anyhow::Result<AppSpec> {
    let mut spec = read(&options.spec)?.spec;
    values::give(&mut spec, options)?;
    Ok(spec)
}

/// The spec as the API takes it. Its secrets go to the API, which seals them, and nowhere else.
pub fn wire(spec: &AppSpec) -> Value {
    spec.to_json_value(&|_, secret| secret.expose().to_owned())
}
