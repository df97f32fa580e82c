//! `boatyard panel`: signs a person in to the control panel in a browser.

use std::env;
use std::io::IsTerminal;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::json;

use crate::args::Connection;
use crate::client::ClientError;
use crate::exit::Exit;
use crate::{discover, output};

/// Prints a link that signs in once, and opens it if there is a browser on this screen.
pub async fn run(no_open: bool, connection: &Connection) -> anyhow::Result<Exit> {
    let client = discover::client(connection)?;
    let answer = match client.post("/v2/boatyard/panel-links", &json!({})).await {
        Err(ClientError::ErrorResponse { status, .. }) if status.as_u16() == 404 => {
            bail!("this server has no control panel, because it runs an older version of Boatyard. Update it")
        }
        answer => answer?["panel_link"].take(),
    };
    let url = answer["url"].as_str().filter(|url| url.starts_with("http://") || url.starts_with("https://"));
    let url = url.context("the server's answer contains no link. Check its version: boatyard --version")?;
    output::result(&format!("{}\n", output::printable(url)));
    let opener = opener(std::io::stdout().is_terminal(), |name| env::var(name).unwrap_or_default());
    let is_open = opener.filter(|_| !no_open).is_some_and(|opener| open(opener, url));
    let minutes = answer["valid_seconds"].as_u64().unwrap_or_default() / 60;
    let what = if is_open { "Opening it in a browser" } else { "Open it in a browser" };
    output::note(&format!("{what}. The link signs in once, within {minutes} minutes."));
    Ok(Exit::Done)
}

/// The program that opens links on this screen. `None`: there is no screen, or the output is not a terminal, so that a
/// program reads it.
fn opener(is_terminal: bool, variable: impl Fn(&str) -> String) -> Option<&'static str> {
    let has_screen = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| !variable(name).is_empty());
    (is_terminal && has_screen).then_some("xdg-open")
}

/// Starts the program, without a shell. Returns whether it started. It may run as long as the browser does.
fn open(opener: &str, url: &str) -> bool {
    let mut command = Command::new(opener);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_opens_only_for_a_person_at_a_screen() {
        for (is_terminal, set, expected) in [
            (true, "DISPLAY", Some("xdg-open")),
            (true, "WAYLAND_DISPLAY", Some("xdg-open")),
            (true, "", None),
            (false, "DISPLAY", None),
        ] {
            let variable = |name: &str| if name == set { ":0".to_owned() } else { String::new() };
            assert_eq!(opener(is_terminal, variable), expected, "{is_terminal} {set}");
        }
    }
}
