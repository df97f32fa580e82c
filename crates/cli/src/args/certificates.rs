//! Commands about certificates.

use std::path::PathBuf;

use clap::Subcommand;

use super::Output;

#[derive(Debug, Subcommand)]
pub enum Certificates {
    /// Add a certificate of your own for a host name, or replace it. It comes before those that Boatyard gets by itself
    Add {
        /// Host name, such as shop.example.com, or *.example.com for all names one level below
        domain: String,
        /// File with the certificate and then those of its issuers, in PEM format
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// File with the private key, in PEM format and without a passphrase, or - for standard input
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// List the host names of apps with their certificates: source, state, expiry, and why the last attempt failed
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Remove a certificate that was added. Another source then gives one, if it can
    #[command(visible_aliases = ["delete", "rm"])]
    Remove {
        /// Host name, as `boatyard certificates list` shows it
        domain: String,
        #[command(flatten)]
        output: Output,
    },
}
