//! `boatyard dev`.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub struct Dev {
    /// Directory of the app
    #[arg(default_value = ".", value_name = "DIR")]
    pub directory: PathBuf,
    /// The app spec [default: .do/app.yaml or app.yaml in the directory, else one service for the directory]
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// Name of the app [default: that of the spec or of the directory, with -dev at its end]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Deploy again whenever a file changes, until Ctrl-C
    #[arg(long, short)]
    pub watch: bool,
    /// Value that the spec lacks: KEY=VALUE, KEY to read it from your environment, or COMPONENT.KEY=VALUE for one
    /// component; can be repeated
    #[arg(long, value_name = "[COMPONENT.]KEY[=VALUE]")]
    pub env: Vec<String>,
    /// File with one KEY=VALUE per line, such as .env. Keys that the spec does not have become secrets of the whole app; can
    /// be repeated
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}
