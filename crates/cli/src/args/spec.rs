//! Commands about app specs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::OutputFormat;

#[derive(Debug, Subcommand)]
pub enum Spec {
    /// Check a spec without a server and report every problem
    Validate {
        /// The specs, YAML or JSON; - for standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Check each field by itself, without the rules between fields
        #[arg(long)]
        schema_only: bool,
        /// How to print what was found; json and yaml are a list with one object for each file
        #[arg(long, short, default_value = "text", value_name = "FORM")]
        output: OutputFormat,
    },
    /// Print the JSON Schema of specs, for editors
    Schema,
    /// Print the spec of an app, with sealed secrets
    Get {
        /// Name or id
        app: String,
        /// Id or number of the deployment whose spec to print [default: the newest spec]
        #[arg(long, value_name = "DEPLOYMENT")]
        deployment: Option<String>,
        /// Format of the spec
        #[arg(long, default_value = "yaml", value_name = "FORM")]
        format: SpecFormat,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SpecFormat {
    Yaml,
    Json,
}

#[derive(Debug, Args)]
pub struct SpecArgs {
    /// The app spec, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE")]
    pub spec: PathBuf,
    /// Value that the spec lacks: KEY=VALUE, KEY to read it from your environment, or COMPONENT.KEY=VALUE for one
    /// component; can be repeated
    #[arg(long, value_name = "[COMPONENT.]KEY[=VALUE]")]
    pub env: Vec<String>,
    /// File with such values, one KEY=VALUE per line; can be repeated
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}
