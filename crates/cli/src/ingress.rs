//! `boatyard ingress`: the process that serves traffic.

use std::path::PathBuf;

use ::ingress::{IngressOptions, Inherited};

use crate::args::Arguments;
use crate::exit::{Exit, chain};
use crate::output;
use crate::serve::start_tracing;

/// Drops the privileges that the ingress does not need. If the system does not allow that, the ingress serves anyway.
pub fn confine(arguments: &Arguments) {
    let confined = arguments.connection.data_dir().and_then(|data_dir| Ok(::ingress::confine(&data_dir)?));
    if let Err(error) = confined {
        output::note(&format!("warning: the ingress keeps more privileges than it needs: {}", chain(&error)));
    }
}

/// Takes over the sockets of the running ingress. `None`: none runs.
pub fn take_over(arguments: &Arguments) -> anyhow::Result<Option<Inherited>> {
    Ok(::ingress::take_over(&arguments.connection.data_dir()?)?)
}

pub async fn run(data_dir: PathBuf, inherited: Option<Inherited>) -> anyhow::Result<Exit> {
    start_tracing();
    ::ingress::run(IngressOptions { data_dir, inherited }).await?;
    Ok(Exit::Done)
}
