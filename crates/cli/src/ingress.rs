//! `boatyard ingress`: the front door's own process.

use std::path::PathBuf;

use ::ingress::IngressOptions;

use crate::args::Arguments;
use crate::exit::{Exit, chain};
use crate::say;
use crate::serve::start_tracing;

/// Gives up the rights that the ingress does not need. It serves all the same where the system does not let it.
pub fn confine(arguments: &Arguments) {
    let confined = arguments.connection.data_dir().and_then(|data_dir| Ok(::ingress::confine(&data_dir)?));
    if let Err(error) = confined {
        say::note(&format!("the ingress keeps more rights than it needs: {}", chain(&error)));
    }
}

pub async fn run(data_dir: PathBuf) -> anyhow::Result<Exit> {
    start_tracing();
    ::ingress::run(IngressOptions { data_dir }).await?;
    Ok(Exit::Done)
}
