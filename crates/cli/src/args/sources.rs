//! Commands about logins for git servers.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::Output;

#[derive(Debug, Subcommand)]
pub enum Sources {
    /// Add a login for private repositories on a host, or replace it. It is sealed on disk and never shown
    #[command(visible_alias = "a")]
    Add(AddSource),
    /// List the hosts with a login, without the logins themselves
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Remove the logins for a host
    #[command(visible_aliases = ["delete", "rm"])]
    Remove {
        /// Host, such as github.com, as `boatyard sources list` shows it
        host: String,
        #[command(flatten)]
        output: Output,
    },
}

/// The flags of which a login has at least one.
const LOGIN: [&str; 4] = ["token_file", "ssh_key", "known_hosts", "fingerprint"];
/// The flags of a login by ssh.
const BY_SSH: [&str; 3] = ["ssh_key", "known_hosts", "fingerprint"];

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("login").args(LOGIN).required(true).multiple(true))]
pub struct AddSource {
    /// Host, such as github.com, with a port if it is not the usual one
    pub host: String,
    /// File with a token or password for https; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = BY_SSH)]
    pub token_file: Option<PathBuf>,
    /// User name to send with the token [default: the usual one of the host]
    #[arg(long, value_name = "NAME", requires = "token_file", conflicts_with_all = BY_SSH)]
    pub username: Option<String>,
    /// File with a private key for ssh, without a passphrase; - reads standard input
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// File with the host's ssh keys, as `ssh-keyscan` writes them. Without --ssh-key, replaces the pinned keys
    #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
    pub known_hosts: Option<PathBuf>,
    /// Fingerprint of one of the host's ssh keys (SHA256:…); can be repeated. Without --ssh-key, replaces the pinned keys
    #[arg(long, value_name = "FINGERPRINT")]
    pub fingerprint: Vec<String>,
    #[command(flatten)]
    pub output: Output,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    fn add(line: &str) -> Result<AddSource, String> {
        let words = ["boatyard", "sources", "add"].into_iter().chain(line.split(' '));
        match Arguments::try_parse_from(words).map_err(|error| error.to_string())?.command {
            Command::Sources(Sources::Add(add)) => Ok(add),
            _ => Err("not add".into()),
        }
    }

    #[test]
    fn a_login_is_a_token_or_a_key_or_only_the_keys_of_the_host() {
        let token = add("github.com --token-file - --username me").expect("accepted");
        assert_eq!((token.host.as_str(), token.username.as_deref()), ("github.com", Some("me")));
        for line in [
            "git.example.com --ssh-key key",
            "git.example.com --ssh-key key --known-hosts hosts",
            "git.example.com --ssh-key key --fingerprint SHA256:a --fingerprint SHA256:b",
            "git.example.com --fingerprint SHA256:a",
            "git.example.com --known-hosts hosts",
        ] {
            assert!(add(line).is_ok(), "{line}");
        }
        for line in [
            "github.com",
            "github.com --username me",
            "github.com --token-file a --ssh-key b",
            "github.com --token-file a --fingerprint SHA256:a",
            "github.com --ssh-key b --username me",
            "github.com --ssh-key b --known-hosts h --fingerprint SHA256:a",
        ] {
            assert!(add(line).is_err(), "{line}");
        }
    }
}
