//! Commands that log in, and the shells of `completion`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::Output;

#[derive(Debug, Subcommand)]
pub enum Auth {
    /// Check a token and save it with the address of its server
    ///
    /// Saves the context --context, or else the current one, or else `default`. The address is --api-url, or else that of
    /// the context, or else that of the server that runs on this host. The token is --token or BOATYARD_TOKEN, or else one
    /// line of standard input, which a terminal does not show.
    Init {
        /// Also trust the certificates of this authority, in PEM format, for an address with https
        #[arg(long, value_name = "FILE")]
        certificate_authority: Option<PathBuf>,
    },
    /// Use the context --context from now on
    Switch,
    /// List the contexts, without their tokens
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Delete the context --context with its token
    Remove,
}

/// A shell with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    #[value(name = "powershell")]
    Pwsh,
}
