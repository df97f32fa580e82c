//! What can be typed about app specs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Form;

#[derive(Debug, Subcommand)]
pub enum Spec {
    /// Check a spec on this host alone and say everything that is wrong
    Validate {
        /// The specs, YAML or JSON; - for standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Check each field by itself, without the rules between fields
        #[arg(long)]
        schema_only: bool,
        /// How to print what was found; json and yaml are a list with one object for each file
        #[arg(long, short, default_value = "text", value_name = "FORM")]
        output: Form,
    },
    /// Print the JSON Schema of specs, for editors
    Schema,
    /// Print the spec of an app, its secrets sealed
    Get {
        /// Name or id
        app: String,
        /// How to print it
        #[arg(long, default_value = "yaml", value_name = "FORM")]
        format: SpecForm,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SpecForm {
    Yaml,
    Json,
}

#[derive(Debug, Args)]
pub struct SpecFile {
    /// The app spec, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE")]
    pub spec: PathBuf,
    /// A value that the spec leaves open: KEY=VALUE, or KEY for the one in your environment, or COMPONENT.KEY=VALUE for one
    /// component alone; may be repeated
    #[arg(long, value_name = "[COMPONENT.]KEY[=VALUE]")]
    pub env: Vec<String>,
    /// A file of such values, one KEY=VALUE in a line; may be repeated
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}
