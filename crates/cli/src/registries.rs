//! `boatyard registries`: logins for registries of images.

use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;

use crate::args::{Connection, Output, Registries};
use crate::client::{Client, path_segment};
use crate::columns::{self, REGISTRIES};
use crate::discover;
use crate::exit::Exit;
use crate::output;
use crate::secret_file::{self, MAX_SECRET};

pub async fn run(command: Registries, connection: &Connection) -> anyhow::Result<Exit> {
    match command {
        Registries::Add { host, username, password_file, output } => {
            columns::select(REGISTRIES, &output.format)?;
            let password = read_password(&password_file)?;
            add(&discover::client(connection)?, &host, &username, &password, &output).await
        }
        Registries::List { output } => list(&discover::client(connection)?, &output).await,
        Registries::Remove { host, output } => remove(&discover::client(connection)?, &host, &output).await,
    }
}

async fn add(client: &Client, host: &str, username: &str, password: &str, output: &Output) -> anyhow::Result<Exit> {
    let body = json!({ "host": host, "username": username, "password": password });
    let added = client.post("/v2/boatyard/registries", &body).await?["registry"].take();
    columns::print(REGISTRIES, &[added], output)?;
    output::note("The login is tested by the next pull. Deployments that begin from now on use it");
    Ok(Exit::Done)
}

async fn list(client: &Client, output: &Output) -> anyhow::Result<Exit> {
    columns::select(REGISTRIES, &output.format)?;
    let answer = client.get("/v2/boatyard/registries").await?;
    columns::print(REGISTRIES, answer["registries"].as_array().map_or(&[], Vec::as_slice), output)?;
    Ok(Exit::Done)
}

async fn remove(client: &Client, host: &str, output: &Output) -> anyhow::Result<Exit> {
    columns::select(REGISTRIES, &output.format)?;
    let path = format!("/v2/boatyard/registries/{}", path_segment(host));
    let removed = client.delete(&path).await?["registry"].take();
    columns::print(REGISTRIES, &[removed], output)?;
    Ok(Exit::Done)
}

/// The content of the file without the line break at its end, which editors add.
fn read_password(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let text = secret_file::text(file, MAX_SECRET);
    let text = text.with_context(|| format!("cannot read the password from {shown}"))?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        bail!("{shown} is empty. Write the password or access token to it");
    }
    Ok(password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_break_at_the_end_is_not_part_of_the_password() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("password");
        let read = |text: &str| {
            std::fs::write(&file, text).expect("it is writable");
            read_password(&file)
        };
        for text in ["a b", "a b\n", "a b\r\n"] {
            assert_eq!(read(text).expect("a password"), "a b");
        }
        assert!(read("\n").is_err_and(|error| error.to_string().contains("is empty")));
        let error = read_password(&directory.path().join("missing")).expect_err("no file");
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
