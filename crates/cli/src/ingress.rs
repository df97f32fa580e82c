//! `boatyard ingress`: the front door's own process.

use std::path::PathBuf;

use ::ingress::IngressOptions;

use crate::exit::Exit;
use crate::serve::start_tracing;

pub async fn run(data_dir: PathBuf) -> anyhow::Result<Exit> {
    start_tracing();
    ::ingress::run(IngressOptions { data_dir }).await?;
    Ok(Exit::Done)
}
