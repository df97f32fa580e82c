//! `boatyard auth`: saves servers with their tokens, and chooses the one that commands use.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::args::{Auth, Connection, Output};
use crate::client::Client;
use crate::columns::{self, CONTEXTS};
use crate::config::{ConfigFile, Context};
use crate::discover::{self, Origin, Runtime, Server};
use crate::exit::{Exit, UsageError};
use crate::{hidden_input, output, tls};

/// The context that `auth init` saves if no other one is chosen.
const DEFAULT: &str = "default";
/// The longest name of a context.
const MAX_NAME: usize = 64;
/// The most to read from a pipe. Tokens are far shorter.
const MAX_INPUT: u64 = 64 * 1024;

pub async fn run(command: Auth, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Auth::Init { certificate_authority } => init(connection, certificate_authority.as_deref()).await,
        Auth::Switch => switch(connection),
        Auth::List { output } => list(&output),
        Auth::Remove => remove(connection),
    }
}

async fn init(connection: &Connection, authority: Option<&Path>) -> anyhow::Result<Exit> {
    let file = ConfigFile::load()?;
    let name = name_to_save(connection, file.config.current.as_deref())?;
    let before = file.config.contexts.get(&name).cloned();
    // The server on this host matters only if no address was given, or if it has that address.
    let runtime = match connection.data_dir().and_then(|directory| discover::runtime(&directory)) {
        Err(_) if connection.api_url.is_some() => None,
        read => read?,
    };
    let url = address(connection, &name, before.as_ref(), runtime.as_ref())?;
    let certificate_authority = match authority {
        Some(authority) => Some(usable_authority(authority, &url)?),
        None => before.as_ref().filter(|it| it.api_url == url).and_then(|it| it.certificate_authority.clone()),
    };
    warn_if_unencrypted(&url);
    let here = runtime.filter(|it| it.api_url == url);
    let (token, token_origin) = token(connection, &url, here.as_ref())?;
    let server = Server { url: url.clone(), context: None, token: token.clone(), token_origin, certificate_authority };
    Client::new(&server)?.get("/v1/oauth/token/info").await.context("nothing was saved")?;

    let certificate_authority = server.certificate_authority;
    // Other commands may have changed the file while a person looked for the token.
    let current = ConfigFile::update(|file| {
        let before = file.config.contexts.get(&name).cloned().unwrap_or_default();
        let saved = Context { api_url: url.clone(), token, certificate_authority, ..before };
        file.config.contexts.insert(name.clone(), saved);
        Ok(file.config.current.get_or_insert_with(|| name.clone()).clone())
    })?;
    output::note(&format!("The token is valid. Saved context {name} for {url} in {}", file.path.display()));
    if current != name {
        output::note(&format!(
            "The current context is still {current}. To change that: boatyard auth switch --context {name}"
        ));
    }
    Ok(Exit::Done)
}

/// The chosen context, else the current one, else `default`. Errors: the name would need quotes in a command.
fn name_to_save(connection: &Connection, current: Option<&str>) -> Result<String, UsageError> {
    let name = connection.context.as_deref().or(current).unwrap_or(DEFAULT);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('-') || !name.chars().all(is_plain) {
        let rule =
            format!("has 1 to {MAX_NAME} letters, digits, dots, dashes and underscores, and starts with no dash");
        return Err(UsageError(format!("{name:?} cannot be the name of a context. A name {rule}")));
    }
    Ok(name.to_owned())
}

/// The address to save: that of a flag or a variable, else the one that the context has, else that of the server on this
/// host. Errors: there is none, or a context that was not named would get another address.
fn address(
    connection: &Connection,
    name: &str,
    before: Option<&Context>,
    here: Option<&Runtime>,
) -> Result<String, UsageError> {
    let before = before.map(|it| it.api_url.clone()).filter(|it| !it.is_empty());
    let here = here.map(|it| it.api_url.clone());
    let given = match &connection.api_url {
        Some(url) => Some(url.trim_end_matches('/').to_owned()),
        None if connection.data_dir.is_some() => here.clone(),
        None => None,
    };
    match (given, before) {
        (Some(given), Some(before)) if given != before && connection.context.is_none() => Err(UsageError(format!(
            "context {name} is for {before}. To save {given} too, choose another name: boatyard auth init --context NAME \
             --api-url {given}. To replace the address, add --context {name}"
        ))),
        (Some(url), _) | (None, Some(url)) => Ok(url),
        (None, None) => here.ok_or_else(|| {
            UsageError(
                "no server runs on this host. Name the address that `boatyard serve` printed: boatyard auth init \
                 --api-url URL"
                    .into(),
            )
        }),
    }
}

/// The absolute path of the file. Errors: it contains no certificate, or the address does not use one.
fn usable_authority(file: &Path, url: &str) -> anyhow::Result<PathBuf> {
    if !url.starts_with("https://") {
        let why = format!("--certificate-authority needs an address that begins with https, unlike {url}");
        return Err(UsageError(why).into());
    }
    tls::certificates(file)?;
    std::path::absolute(file).with_context(|| format!("{} is not a valid path", file.display()))
}

fn warn_if_unencrypted(url: &str) {
    if is_unencrypted(url) {
        output::note(&format!(
            "warning: {url} is not encrypted, so others on the network can read the token. Use the address of `boatyard \
             serve --api-tls`, or a tunnel"
        ));
    }
}

/// Whether requests leave this host without encryption.
fn is_unencrypted(url: &str) -> bool {
    let Ok(uri) = url.parse::<hyper::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let is_local = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    uri.scheme_str() == Some("http") && !is_local
}

/// The token of a flag or a variable, else a line of standard input. On a terminal, an empty line means the token of the
/// server on this host.
fn token(connection: &Connection, url: &str, here: Option<&Runtime>) -> anyhow::Result<(String, Origin)> {
    if let Some(token) = connection.token.clone() {
        return Ok((token, Origin::of_token(connection)));
    }
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin().take(MAX_INPUT).read_to_string(&mut text).context("cannot read the token")?;
        return match text.trim() {
            "" => bail!(
                "no token: standard input is empty. Use a terminal, a pipe, --token or BOATYARD_TOKEN; nothing was saved"
            ),
            token => Ok((token.to_owned(), Origin::Input)),
        };
    }
    let hint = if here.is_some() { "not shown; Enter for the admin token of this host" } else { "not shown" };
    let prompt = || {
        let mut out = std::io::stderr().lock();
        out.write_all(output::printable(&format!("Token for {url} ({hint}): ")).as_bytes()).and_then(|()| out.flush())
    };
    let line = hidden_input::read_line(prompt).context("cannot use the terminal")?;
    match (line.as_deref().map(str::trim), here) {
        (Some(""), Some(runtime)) => discover::token_of(runtime),
        (None | Some(""), _) => bail!("no token was entered; nothing was saved"),
        (Some(token), _) => Ok((token.to_owned(), Origin::Input)),
    }
}

fn switch(connection: &Connection) -> anyhow::Result<Exit> {
    let name = ConfigFile::update(|file| {
        let name = named(connection, file, "switch")?;
        file.context(&name)?;
        file.config.current = Some(name.clone());
        Ok(name)
    })?;
    output::note(&format!("Commands now use context {name}"));
    Ok(Exit::Done)
}

fn remove(connection: &Connection) -> anyhow::Result<Exit> {
    let (name, was_current, next) = ConfigFile::update(|file| {
        let name = named(connection, file, "remove")?;
        if file.config.contexts.remove(&name).is_none() {
            return Err(file.no_context(&name));
        }
        let was_current = file.config.current.take_if(|current| *current == name).is_some();
        Ok((name, was_current, file.config.contexts.keys().next().cloned()))
    })?;
    output::note(&format!("Deleted context {name} with its token. The server still accepts the token"));
    if was_current {
        let next = next.map(|it| format!(". To choose another one: boatyard auth switch --context {it}"));
        output::note(&format!("No context is current now{}", next.unwrap_or_default()));
    }
    Ok(Exit::Done)
}

/// The context that a flag or a variable names.
fn named(connection: &Connection, file: &ConfigFile, command: &str) -> Result<String, UsageError> {
    connection.context.clone().ok_or_else(|| {
        let known: Vec<_> = file.config.contexts.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none is saved".into() } else { format!("saved are {}", known.join(", ")) };
        UsageError(format!("name the context: boatyard auth {command} --context NAME; {known}"))
    })
}

fn list(output: &Output) -> anyhow::Result<Exit> {
    columns::select(CONTEXTS, &output.format)?;
    let file = ConfigFile::load()?;
    columns::print(CONTEXTS, &rows(&file), output)?;
    Ok(Exit::Done)
}

/// The contexts without their tokens.
fn rows(file: &ConfigFile) -> Vec<Value> {
    let row = |(name, context): (&String, &Context)| {
        let current = file.config.current.as_ref() == Some(name);
        json!({
            "name": name,
            "current": current,
            "api_url": context.api_url,
            "certificate_authority": context.certificate_authority,
        })
    };
    file.config.contexts.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "http://127.0.0.1:7080";

    fn connection(api_url: Option<&str>, context: Option<&str>) -> Connection {
        let (api_url, context) = (api_url.map(str::to_owned), context.map(str::to_owned));
        Connection { api_url, context, ..Connection::default() }
    }

    #[test]
    fn a_login_saves_the_chosen_context_else_the_current_one_else_default() {
        let name = |context, current| name_to_save(&connection(None, context), current).map_err(|error| error.0);
        assert_eq!(name(Some("far"), Some("near")), Ok("far".into()));
        assert_eq!(name(None, Some("near")), Ok("near".into()));
        assert_eq!(name(None, None), Ok("default".into()));
        for wrong in ["", "a b", "-x", "a\nb", "größe", &"x".repeat(65)] {
            assert!(name(Some(wrong), None).is_err_and(|why| why.contains("name of a context")), "{wrong}");
        }
    }

    #[test]
    fn the_address_is_that_of_a_flag_else_of_the_context_else_of_this_host() {
        let runtime = Runtime { api_url: HERE.into(), token_path: "/d/admin-token".into(), pid: 1 };
        let before = Context { api_url: "https://near".into(), ..Context::default() };
        let address = |it: &Connection, before: Option<&Context>, here: Option<&Runtime>| {
            address(it, "default", before, here).map_err(|error| error.0)
        };
        let (plain, far) = (connection(None, None), connection(Some("https://far/"), None));
        assert_eq!(address(&far, None, Some(&runtime)), Ok("https://far".into()));
        assert_eq!(address(&plain, Some(&before), Some(&runtime)), Ok("https://near".into()));
        assert_eq!(address(&plain, None, Some(&runtime)), Ok(HERE.into()));
        let local = Connection { data_dir: Some("/d".into()), ..connection(None, Some("default")) };
        assert_eq!(address(&local, Some(&before), Some(&runtime)), Ok(HERE.into()));
        assert!(address(&plain, None, None).is_err_and(|why| why.contains("--api-url")));
    }

    #[test]
    fn a_context_that_was_not_named_keeps_its_address() {
        let before = Context { api_url: "https://near".into(), ..Context::default() };
        let address = |context| {
            let connection = connection(Some("https://far"), context);
            address(&connection, "default", Some(&before), None).map_err(|error| error.0)
        };
        assert!(address(None).is_err_and(|why| why.contains("context default is for https://near")));
        assert_eq!(address(Some("default")), Ok("https://far".into()));
    }

    #[test]
    fn only_plain_http_to_another_host_is_unencrypted() {
        for local in ["http://127.0.0.1:7080", "http://[::1]:7080", "http://localhost:1", "https://example.com", "x y"]
        {
            assert!(!is_unencrypted(local), "{local}");
        }
        assert!(is_unencrypted("http://example.com:7080") && is_unencrypted("http://192.0.2.1"));
    }

    #[test]
    fn a_list_of_contexts_contains_no_token() {
        let mut file = ConfigFile::none();
        let context = Context { api_url: HERE.into(), token: "t0p-s3cret".into(), ..Context::default() };
        file.config.contexts.insert("near".into(), context);
        file.config.current = Some("near".into());
        let rows = Value::from(rows(&file));
        assert_eq!((&rows[0]["name"], &rows[0]["current"]), (&"near".into(), &true.into()));
        assert!(!rows.to_string().contains("s3cret"), "{rows}");
    }
}
