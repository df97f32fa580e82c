//! Commands about webhooks.

use std::path::PathBuf;

use clap::Subcommand;

use super::Output;

#[derive(Debug, Subcommand)]
pub enum Webhooks {
    /// Add a webhook and print its address and its secret, which cannot be shown again
    #[command(visible_aliases = ["create", "c"])]
    Add {
        /// Name, which is the last part of the address
        name: String,
        /// Name or id of the only app that pushes may deploy [default: all apps that use the repository]
        #[arg(long, value_name = "APP")]
        app: Option<String>,
        /// File whose first line is the secret, or - for the input [default: a new secret]
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        #[command(flatten)]
        output: Output,
    },
    /// List webhooks with their newest deliveries and the results
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Remove a webhook. What is delivered to it is refused from now on
    #[command(visible_aliases = ["delete", "rm"])]
    Remove {
        /// Name
        name: String,
        #[command(flatten)]
        output: Output,
    },
}
