//! Values that a spec leaves open: given on the command line or in a file, else asked for on a terminal. What stays open
//! is the server's to refuse, which names it, or to keep from before.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};
use app_spec::{AppSpec, NeededValue};

use super::hidden;
use crate::args::SpecFile;
use crate::exit::UsageError;
use crate::say;

/// Fills in what `--env` and `--env-file` give. Errors: a file that cannot be read, and `--env` for what waits for nothing.
pub fn give(spec: &mut AppSpec, options: &SpecFile) -> anyhow::Result<()> {
    let mut values = BTreeMap::new();
    for file in &options.env_file {
        values.extend(of_file(file)?);
    }
    let mut asked_for = BTreeSet::new();
    for text in &options.env {
        let (key, value) = of_argument(text)?;
        asked_for.insert(key.clone());
        values.insert(key, value);
    }
    for (key, value) in values {
        // A file may hold values for other apps; an argument is meant for this one.
        if spec.give(&key, &value) == 0 && asked_for.contains(&key) {
            return Err(UsageError(format!("no variable {} of app {} waits for a value", key, spec.name)).into());
        }
    }
    Ok(())
}

/// Asks for each open value once. Without a terminal, or with an empty answer, it stays open.
pub fn ask(spec: &mut AppSpec) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(());
    }
    let mut asked = BTreeSet::new();
    for needed in spec.needed_values() {
        if !asked.insert(needed.key.clone()) {
            continue;
        }
        let answer = answer(&needed)?;
        if !answer.is_empty() {
            spec.give(&needed.key, &answer);
        }
    }
    Ok(())
}

fn answer(needed: &NeededValue) -> anyhow::Result<String> {
    let owner = needed.component.as_ref().map(|component| format!(" of {component}")).unwrap_or_default();
    let hint = if needed.secret { " (not shown)" } else { "" };
    let question = say::plain(&format!("{}{owner}{hint}: ", needed.key));
    let ask = || {
        let mut out = std::io::stderr().lock();
        out.write_all(question.as_bytes()).and_then(|()| out.flush())
    };
    let line = match needed.secret {
        true => hidden::line(ask),
        false => {
            let mut line = String::new();
            ask().and_then(|()| std::io::stdin().read_line(&mut line)).map(|length| (length > 0).then_some(line))
        }
    };
    match line.context("the terminal cannot be asked")? {
        Some(line) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        None => bail!("left before every value was given; nothing was sent"),
    }
}

/// `KEY=value`, or `KEY` for the value that it has in our own environment.
fn of_argument(text: &str) -> anyhow::Result<(String, String)> {
    if let Some((key, value)) = text.split_once('=') {
        return Ok((key.to_owned(), value.to_owned()));
    }
    match std::env::var(text) {
        Ok(value) => Ok((text.to_owned(), value)),
        Err(_) => Err(UsageError(format!("--env {text}: the environment has no such variable; say {text}=…")).into()),
    }
}

fn of_file(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut values = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        match of_line(line) {
            Ok(value) => values.extend(value),
            // The line itself may hold a secret.
            Err(()) => bail!("{}:{number} is no KEY=value", file.display()),
        }
    }
    Ok(values)
}

/// A line of an env file: `KEY=value`, `export KEY='value'`, a comment, or nothing.
fn of_line(line: &str) -> Result<Option<(String, String)>, ()> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (key, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=').ok_or(())?;
    let key = key.trim();
    if key.is_empty() || key.contains(char::is_whitespace) {
        return Err(());
    }
    let value = value.trim();
    let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    Ok(Some((key.to_owned(), quoted.unwrap_or(value).to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "name: shop\nenvs:\n- {key: TOKEN, type: SECRET}\n- {key: MAIL, value: '${MAIL}'}\n\
                        services:\n- name: web\n  image: {registry_type: DOCKER_HUB, repository: nginx}\n";

    fn given(env: &[&str], file: Option<&str>) -> anyhow::Result<Vec<String>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("values.env");
        if let Some(text) = file {
            std::fs::write(&path, text)?;
        }
        let mut spec = AppSpec::from_yaml(OPEN).expect("a good one").spec;
        let options = SpecFile {
            spec: "app.yaml".into(),
            env: env.iter().map(|it| (*it).to_owned()).collect(),
            env_file: file.map(|_| path).into_iter().collect(),
        };
        give(&mut spec, &options)?;
        let json = super::super::wire(&spec);
        Ok(json["envs"].as_array().into_iter().flatten().map(|it| format!("{}", it["value"])).collect())
    }

    #[test]
    fn an_argument_wins_over_a_file_and_a_file_may_hold_more() {
        let file = "# ours\n\nTOKEN=from-file\nexport MAIL='a=b'\nOTHER=x\n";
        assert_eq!(given(&["TOKEN=x=y"], Some(file)).expect("good"), [r#""x=y""#, r#""a=b""#]);
    }

    #[test]
    fn an_argument_for_what_waits_for_nothing_is_a_mistake() {
        let error = given(&["TOKNE=x"], None).expect_err("misspelt");
        assert!(error.is::<UsageError>(), "{error}");
        let error = given(&["NO_SUCH_VARIABLE_HERE"], None).expect_err("not in the environment");
        assert!(error.is::<UsageError>(), "{error}");
    }

    #[test]
    fn a_broken_line_is_named_without_what_is_in_it() {
        let error = given(&[], Some("TOKEN=a\nhunter2\n")).expect_err("no KEY=value").to_string();
        assert!(error.ends_with("values.env:2 is no KEY=value") && !error.contains("hunter2"), "{error}");
    }
}
