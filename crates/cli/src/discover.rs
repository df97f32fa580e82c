//! Finds the API: by flag, else by environment variable, else by the current context, else by the runtime file of the
//! server on this host.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use data_dir::DataDir;
use serde::{Deserialize, Serialize};

use crate::args::{Connection, Setting};
use crate::client::Client;
use crate::config::ConfigFile;

/// The runtime file, which `serve` writes to its data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    pub api_url: String,
    pub token_path: PathBuf,
    pub pid: u32,
}

/// A server, the token for it, and where both come from.
pub struct Server {
    pub url: String,
    /// The context that contains the address.
    pub context: Option<String>,
    pub token: String,
    pub token_origin: Origin,
    /// File of an authority whose certificates to trust, besides those of the system.
    pub certificate_authority: Option<PathBuf>,
}

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `--token`.
    Flag,
    /// `BOATYARD_TOKEN`.
    Variable,
    /// Standard input of `auth init`.
    Input,
    /// A context in the configuration file.
    Context { name: String, file: PathBuf },
    /// The token file of the server on this host.
    TokenFile(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => write!(f, "--token"),
            Self::Variable => write!(f, "the variable BOATYARD_TOKEN"),
            Self::Input => write!(f, "standard input"),
            Self::Context { name, file } => write!(f, "context {name} in {}", file.display()),
            Self::TokenFile(file) => write!(f, "the file {}", file.display()),
        }
    }
}

impl Origin {
    /// Where the token of the connection comes from, if it has one.
    pub fn of_token(connection: &Connection) -> Self {
        if connection.is_flag(Setting::Token) { Self::Flag } else { Self::Variable }
    }
}

/// What determines the server.
#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    Url(&'a str),
    Context(&'a str),
    /// The server that runs on this host.
    DataDir,
}

/// Flags come before variables, and variables before the current context.
fn choice<'a>(connection: &'a Connection, current: Option<&'a str>) -> Choice<'a> {
    for by_flag in [true, false] {
        let is_set = |setting| connection.is_flag(setting) == by_flag;
        if let Some(url) = connection.api_url.as_deref().filter(|_| is_set(Setting::ApiUrl)) {
            return Choice::Url(url);
        }
        if let Some(name) = connection.context.as_deref().filter(|_| is_set(Setting::Context)) {
            return Choice::Context(name);
        }
        if connection.data_dir.is_some() && is_set(Setting::DataDir) {
            return Choice::DataDir;
        }
    }
    current.map_or(Choice::DataDir, Choice::Context)
}

/// Whether a flag or a variable names another server than the one on this host. The current context does not count:
/// commands about this host must not act on another one because of an earlier `auth switch`.
pub fn names_a_server(connection: &Connection) -> bool {
    choice(connection, None) != Choice::DataDir
}

/// A client for the API. Errors: those of [`find`], and the address is invalid.
pub fn client(connection: &Connection) -> anyhow::Result<Client> {
    Client::new(&find(connection)?)
}

/// The server with its token. Errors: the address is unknown, or the token cannot be read.
pub fn find(connection: &Connection) -> anyhow::Result<Server> {
    // The configuration may be unreadable, and is needed only if nothing else names the server with its token.
    let needs_config = match choice(connection, None) {
        Choice::Url(_) => connection.token.is_none(),
        Choice::Context(_) => true,
        Choice::DataDir => connection.data_dir.is_none(),
    };
    let file = match needs_config {
        true => ConfigFile::load()?,
        // It may still know which authority to trust.
        false => ConfigFile::load().unwrap_or_else(|_| ConfigFile::none()),
    };
    server(connection, &file)
}

/// A client for the server on this host, whatever the current context is.
pub fn client_on_this_host(connection: &Connection) -> anyhow::Result<Client> {
    Client::new(&server(connection, &ConfigFile::none())?)
}

fn server(connection: &Connection, file: &ConfigFile) -> anyhow::Result<Server> {
    match choice(connection, file.config.current.as_deref()) {
        Choice::Url(url) => at_url(connection, file, url),
        Choice::Context(name) => in_context(connection, file, name),
        Choice::DataDir => on_this_host(connection),
    }
}

fn at_url(connection: &Connection, file: &ConfigFile, url: &str) -> anyhow::Result<Server> {
    let saved = file.config.contexts.values().filter(|it| same_url(&it.api_url, url));
    let certificate_authority = saved.filter_map(|it| it.certificate_authority.clone()).next();
    let server = |(token, token_origin)| Server {
        url: url.to_owned(),
        context: None,
        token,
        token_origin,
        certificate_authority: certificate_authority.clone(),
    };
    if let Some(token) = connection.token.clone() {
        return Ok(server((token, Origin::of_token(connection))));
    }
    // The token of a context is sent only to the server of that context, and the file admin-token only to the server of
    // that data directory.
    let name = connection.context.as_deref().or(file.config.current.as_deref());
    if let Some(name) = name.filter(|name| file.config.contexts.get(*name).is_some_and(|it| same_url(&it.api_url, url)))
    {
        return in_context(connection, file, name);
    }
    match runtime(&connection.data_dir()?)?.filter(|it| same_url(&it.api_url, url)) {
        Some(runtime) => Ok(server(token_of(&runtime)?)),
        None => bail!(
            "no token for {url}. Set --token or BOATYARD_TOKEN to the content of admin-token in the server's data \
             directory, or save it: boatyard auth init --api-url {url}"
        ),
    }
}

fn same_url(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

fn in_context(connection: &Connection, file: &ConfigFile, name: &str) -> anyhow::Result<Server> {
    let context = file.context(name)?;
    let origin = Origin::Context { name: name.to_owned(), file: file.path.clone() };
    // `--context` comes before BOATYARD_TOKEN, which may be for another server.
    let is_outranked = connection.is_flag(Setting::Context) && !connection.is_flag(Setting::Token);
    let (token, token_origin) = match connection.token.clone().filter(|_| !is_outranked) {
        Some(token) => (token, Origin::of_token(connection)),
        None => (context.token.clone(), origin),
    };
    Ok(Server {
        url: context.api_url.clone(),
        context: Some(name.to_owned()),
        token,
        token_origin,
        certificate_authority: context.certificate_authority.clone(),
    })
}

fn on_this_host(connection: &Connection) -> anyhow::Result<Server> {
    let data_dir = connection.data_dir()?;
    let Some(runtime) = runtime(&data_dir)? else {
        bail!(
            "cannot find the API: --api-url and BOATYARD_API_URL are not set, no context is chosen, and there is no {}. \
             Start the server on this host with `boatyard serve`, or save the address of another one with \
             `boatyard auth init --api-url URL`",
            DataDir::runtime_file_of(&data_dir).display()
        );
    };
    let (token, token_origin) = match connection.token.clone() {
        Some(token) => (token, Origin::of_token(connection)),
        None => token_of(&runtime)?,
    };
    Ok(Server { url: runtime.api_url, context: None, token, token_origin, certificate_authority: None })
}

/// The token that a running server wrote. Errors: this user may not read it.
pub fn token_of(runtime: &Runtime) -> anyhow::Result<(String, Origin)> {
    let file = &runtime.token_path;
    let read = std::fs::read_to_string(file);
    let token = read.with_context(|| {
        format!(
            "cannot read the token {}. Run this command as the user of `boatyard serve`, or set BOATYARD_TOKEN",
            file.display()
        )
    })?;
    Ok((token.trim_end().to_owned(), Origin::TokenFile(file.clone())))
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
    use crate::config::Context;

    const LOCAL: &str = "http://127.0.0.1:7080";

    fn connection(data_dir: &Path) -> Connection {
        Connection { data_dir: Some(data_dir.to_owned()), ..Connection::default() }
    }

    fn write_runtime(directory: &Path) {
        let token_path = directory.join("admin-token");
        std::fs::write(&token_path, "tok\n").expect("writable");
        let runtime = Runtime { api_url: LOCAL.into(), token_path, pid: 1 };
        let json = serde_json::to_vec(&runtime).expect("plain data");
        std::fs::write(DataDir::runtime_file_of(directory), json).expect("writable");
    }

    fn error(connection: &Connection) -> String {
        client(connection).map(|_| String::new()).unwrap_or_else(|error| format!("{error:#}"))
    }

    /// A file with the contexts `near` (current) and `far`.
    fn file() -> ConfigFile {
        let context = |name: &str| {
            let (api_url, token) = (format!("https://{name}"), format!("token-{name}"));
            (name.to_owned(), Context { api_url, token, ..Context::default() })
        };
        let mut file = ConfigFile::none();
        file.config.current = Some("near".into());
        file.config.contexts.extend([context("near"), context("far")]);
        file
    }

    /// The address and the token for settings such as `--context=far` and `BOATYARD_TOKEN=t`.
    fn found(settings: &[&str], data_dir: &Path) -> Result<(String, String), String> {
        let mut connection = Connection::default();
        for setting in settings {
            let (name, value) = setting.split_once('=').expect("NAME=VALUE");
            let set = match name.trim_start_matches("--").trim_start_matches("BOATYARD_") {
                "api-url" | "API_URL" => (&mut connection.api_url, Setting::ApiUrl),
                "token" | "TOKEN" => (&mut connection.token, Setting::Token),
                "context" | "CONTEXT" => (&mut connection.context, Setting::Context),
                _ => {
                    connection.data_dir = Some(data_dir.to_owned());
                    connection.flags.extend(name.starts_with("--").then_some(Setting::DataDir));
                    continue;
                }
            };
            *set.0 = Some(value.to_owned());
            connection.flags.extend(name.starts_with("--").then_some(set.1));
        }
        let found = server(&connection, &file());
        found.map(|it| (it.url, it.token)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn flags_come_before_variables_then_the_current_context_then_this_host() {
        let directory = tempfile::tempdir().expect("a directory");
        write_runtime(directory.path());
        let table: [(&[&str], &str, &str); 14] = [
            (&[], "https://near", "token-near"),
            (&["--context=far"], "https://far", "token-far"),
            (&["BOATYARD_CONTEXT=far"], "https://far", "token-far"),
            (&["BOATYARD_CONTEXT=near", "--context=far"], "https://far", "token-far"),
            (&["BOATYARD_API_URL=http://x", "--context=far"], "https://far", "token-far"),
            (&["BOATYARD_TOKEN=t", "--context=far"], "https://far", "token-far"),
            (&["BOATYARD_TOKEN=t"], "https://near", "t"),
            (&["BOATYARD_TOKEN=t", "BOATYARD_CONTEXT=far"], "https://far", "t"),
            (&["--token=t", "--context=far"], "https://far", "t"),
            (&["--api-url=http://x", "--token=t"], "http://x", "t"),
            (&["--api-url=http://x", "BOATYARD_TOKEN=t", "BOATYARD_CONTEXT=far"], "http://x", "t"),
            (&["--api-url=https://far", "--context=far"], "https://far", "token-far"),
            (&["--data-dir=here"], LOCAL, "tok"),
            (&["BOATYARD_CONTEXT=far", "--data-dir=here"], LOCAL, "tok"),
        ];
        for (settings, url, token) in table {
            assert_eq!(found(settings, directory.path()), Ok((url.into(), token.into())), "{settings:?}");
        }
    }

    #[test]
    fn a_saved_token_is_sent_only_to_its_server() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = found(&["--api-url=http://x", "--data-dir=here"], directory.path()).expect_err("no token");
        assert!(error.contains("no token for http://x") && error.contains("auth init"), "{error}");
        let near = found(&["--api-url=https://near/", "--data-dir=here"], directory.path());
        assert_eq!(near, Ok(("https://near".into(), "token-near".into())));
    }

    #[test]
    fn an_unknown_context_is_an_error_that_lists_the_known_ones() {
        let error = found(&["--context=fra"], Path::new("/nonexistent")).expect_err("unknown");
        assert!(error.contains("\"fra\"") && error.contains("far, near"), "{error}");
    }

    #[test]
    fn an_origin_names_the_place() {
        let context = Origin::Context { name: "far".into(), file: "/c/config.yaml".into() };
        let all = [Origin::Flag, Origin::Variable, context, Origin::TokenFile("/d/admin-token".into())];
        assert_eq!(
            all.map(|it| it.to_string()),
            ["--token", "the variable BOATYARD_TOKEN", "context far in /c/config.yaml", "the file /d/admin-token"]
        );
    }

    #[test]
    fn commands_about_this_host_ignore_the_current_context_only() {
        assert!(!names_a_server(&connection(Path::new("/d"))) && !names_a_server(&Connection::default()));
        assert!(names_a_server(&Connection { context: Some("far".into()), ..Connection::default() }));
        assert!(names_a_server(&Connection { api_url: Some("http://x".into()), ..Connection::default() }));
    }

    #[test]
    fn the_error_names_every_way_to_set_the_address() {
        let directory = tempfile::tempdir().expect("a directory");
        let message = error(&connection(directory.path()));
        for way in ["--api-url", "BOATYARD_API_URL", "runtime.json", "boatyard serve", "auth init"] {
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
    fn the_error_names_a_damaged_runtime_file() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(DataDir::runtime_file_of(directory.path()), "{\"api_url\":").expect("writable");
        assert!(error(&connection(directory.path())).contains("runtime.json is damaged"));
    }
}
