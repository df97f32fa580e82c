//! Commands about logins for registries.

use std::path::PathBuf;

use clap::Subcommand;

use super::Output;

#[derive(Debug, Subcommand)]
pub enum Registries {
    /// Add the login for a registry, or replace it. All apps pull with it, prebuilt images and base images of builds
    ///
    /// `registry_credentials` in an app spec come before it.
    Add {
        /// Host as in the name of an image: ghcr.io, docker.io, registry.digitalocean.com, registry.example.com:5000
        host: String,
        /// User to log in as
        #[arg(long, value_name = "NAME")]
        username: String,
        /// File with the password or access token, or - for standard input
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// List the registries that have a login, without passwords
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Remove the login for a registry. Images that were pulled stay
    #[command(visible_aliases = ["delete", "rm"])]
    Remove {
        /// Host of the registry, as `boatyard registries list` shows it
        host: String,
        #[command(flatten)]
        output: Output,
    },
}
