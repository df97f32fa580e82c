//! Finds the API: by flag, else by environment variable, else by the runtime file of the running server.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use data_dir::DataDir;
use serde::{Deserialize, Serialize};

use crate::args::Connection;
use crate::client::Client;

/// The runtime file, which `serve` writes to its data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    pub api_url: String,
    pub token_path: PathBuf,
    pub pid: u32,
}

/// A client for the API. Errors: the address is unknown, or the token cannot be read.
pub fn client(connection: &Connection) -> anyhow::Result<Client> {
    let data_dir = connection.data_dir()?;
    let runtime = runtime(&data_dir)?;
    let Some(url) = connection.api_url.clone().or_else(|| runtime.as_ref().map(|it| it.api_url.clone())) else {
        bail!(
            "cannot find the API: --api-url and BOATYARD_API_URL are not set, and there is no {}. \
             Start the server with: boatyard serve",
            DataDir::runtime_file_of(&data_dir).display()
        );
    };
    let token = match &connection.token {
        Some(token) => token.clone(),
        // The token is sent only to the server that wrote it, not to a server from --api-url.
        None => token(runtime.filter(|it| it.api_url == url), &url)?,
    };
    Client::new(&url, &token)
}

fn token(runtime: Option<Runtime>, url: &str) -> anyhow::Result<String> {
    let Some(Runtime { token_path, .. }) = runtime else {
        bail!(
            "no token for {url}. Set --token or BOATYARD_TOKEN to the content of admin-token in the server's data directory"
        );
    };
    let read = std::fs::read_to_string(&token_path);
    let token = read.with_context(|| {
        format!(
            "cannot read the token {}. Run this command as the user of `boatyard serve`, or set BOATYARD_TOKEN",
            token_path.display()
        )
    })?;
    Ok(token.trim_end().to_owned())
}

/// The runtime file of a data directory; `None` if there is none.
pub fn runtime(data_dir: &Path) -> anyhow::Result<Option<Runtime>> {
    let path = DataDir::runtime_file_of(data_dir);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let read = serde_json::from_slice(&bytes);
            Ok(Some(read.with_context(|| format!("{} is damaged. Restart `boatyard serve`", path.display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| {
            format!(
                "cannot read {}. Run this command as the user of `boatyard serve`, or set --api-url and --token",
                path.display()
            )
        }),
    }
}

/// `/var/lib/boatyard` for root, `$XDG_DATA_HOME/boatyard` or `~/.local/share/boatyard` for other users.
pub fn default_data_dir() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/boatyard".into());
    }
    // The XDG specification says to ignore a relative path.
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    base.map(|base| base.join("boatyard"))
        .context("neither XDG_DATA_HOME nor HOME is set. Name the data directory with --data-dir")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(data_dir: &Path) -> Connection {
        Connection { data_dir: Some(data_dir.to_owned()), ..Connection::default() }
    }

    fn write_runtime(directory: &Path) {
        let token_path = directory.join("admin-token");
        std::fs::write(&token_path, "tok\n").expect("writable");
        let runtime = Runtime { api_url: "http://127.0.0.1:7080".into(), token_path, pid: 1 };
        let json = serde_json::to_vec(&runtime).expect("plain data");
        std::fs::write(DataDir::runtime_file_of(directory), json).expect("writable");
    }

    fn error(connection: &Connection) -> String {
        client(connection).map(|_| String::new()).unwrap_or_else(|error| format!("{error:#}"))
    }

    #[test]
    fn the_error_names_every_way_to_set_the_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let message = error(&connection(directory.path()));
        for way in ["--api-url", "BOATYARD_API_URL", "runtime.json", "boatyard serve"] {
            assert!(message.contains(way), "{way}: {message}");
        }
    }

    #[test]
    fn the_runtime_file_is_enough() {
        let directory = tempfile::tempdir().expect("a directory");
        write_runtime(directory.path());
        assert_eq!(error(&connection(directory.path())), "");
    }

    #[test]
    fn the_token_is_sent_only_to_its_server() {
        let directory = tempfile::tempdir().expect("a directory");
        write_runtime(directory.path());
        let other = Connection { api_url: Some("http://198.51.100.7:7080".into()), ..connection(directory.path()) };
        let message = error(&other);
        assert!(message.contains("BOATYARD_TOKEN") && message.contains("http://198.51.100.7:7080"), "{message}");
        assert_eq!(error(&Connection { token: Some("other".into()), ..other }), "");
    }

    #[test]
    fn the_error_names_a_damaged_runtime_file() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(DataDir::runtime_file_of(directory.path()), "{\"api_url\":").expect("writable");
        assert!(error(&connection(directory.path())).contains("runtime.json is damaged"));
    }
}
