//! Values that a spec lacks. They come from flags or a file, or from a prompt on a terminal. For a value that is still
//! missing, the server uses the value of the existing app, or refuses the spec with an error that names it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use app_spec::{AppSpec, EnvKind, EnvScope, EnvValue, EnvVar, NeededValue};
use present::text::list;

use super::file;
use crate::exit::UsageError;
use crate::hidden_input;
use crate::output;

/// The component, or `None` for every component, and the key. Entries for one component sort first.
type Target = (Reverse<Option<String>>, String);

/// A line of an env file.
struct Entry {
    line: usize,
    target: Target,
    value: String,
}

/// Fills in the values from `--env` and `--env-file`. Reports lines of a file that the app does not need. Errors: a file
/// cannot be read, or the app does not need a value from `--env`.
pub fn apply(spec: &mut AppSpec, arguments: &[String], files: &[PathBuf]) -> anyhow::Result<()> {
    let mut from_arguments = BTreeMap::new();
    for text in arguments {
        let (key, value) = parse_argument(text)?;
        from_arguments.insert(target(&key), value);
    }
    let mut from_files = BTreeMap::new();
    let needed = spec.needed_values();
    for file in files {
        let entries = read_file(file)?;
        if let Some(lines) = unneeded_lines(&entries, &needed) {
            let message = format!("{}: app {} does not need the values in {lines}", file.display(), spec.name);
            output::note(&message);
        }
        from_files.extend(entries.into_iter().map(|entry| (entry.target, entry.value)));
    }
    for ((Reverse(component), key), value) in from_arguments {
        if spec.give(component.as_deref(), &key, &value) == 0 {
            let owner = component.map(|it| format!(" of {it}")).unwrap_or_default();
            let message = format!("app {} does not need a value for variable {key}{owner}", spec.name);
            return Err(UsageError(message).into());
        }
    }
    // Values from arguments are no longer missing, so files cannot overwrite them. A file may contain values for other
    // apps.
    for ((Reverse(component), key), value) in from_files {
        spec.give(component.as_deref(), &key, &value);
    }
    Ok(())
}

/// Adds a secret of the whole app for each key in these files that neither the app nor a component has, so that [`apply`] can
/// fill it in.
pub fn declare(spec: &mut AppSpec, files: &[PathBuf]) -> anyhow::Result<()> {
    for file in files {
        for entry in read_file(file)? {
            let (Reverse(component), key) = entry.target;
            let is_known = spec.envs.iter().chain(spec.components().flat_map(|it| it.envs())).any(|it| it.key == key);
            if component.is_some() || is_known {
                continue;
            }
            spec.envs.push(EnvVar {
                key,
                value: EnvValue::Missing,
                scope: Some(EnvScope::RunTime),
                kind: Some(EnvKind::Secret),
            });
        }
    }
    Ok(())
}

/// Parses `KEY` or `COMPONENT.KEY`. Keys have no dots.
fn target(text: &str) -> Target {
    match text.rsplit_once('.') {
        Some((component, key)) => (Reverse(Some(component.to_owned())), key.to_owned()),
        None => (Reverse(None), text.to_owned()),
    }
}

/// How many line numbers to list.
const MAX_LISTED_LINES: usize = 5;

/// `lines 3, 5`: the lines that the app does not need. Does not show their keys, because a part of a secret with several
/// lines can look like a key.
fn unneeded_lines(entries: &[Entry], needed: &[NeededValue]) -> Option<String> {
    let is_needed = |(Reverse(component), key): &Target| {
        needed.iter().any(|it| it.key == *key && (component.is_none() || it.component == *component))
    };
    let lines: Vec<String> = entries.iter().filter(|it| !is_needed(&it.target)).map(|it| it.line.to_string()).collect();
    match &lines[..] {
        [] => None,
        [first @ .., last] if lines.len() > MAX_LISTED_LINES => {
            let named = first[..MAX_LISTED_LINES].join(", ");
            Some(format!("{} lines ({named} … {last})", lines.len()))
        }
        [only] => Some(format!("line {only}")),
        lines => Some(format!("lines {}", lines.join(", "))),
    }
}

/// Prompts once for each missing value. Without a terminal, or after an empty answer, the value stays missing.
pub fn prompt(spec: &mut AppSpec) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(());
    }
    let needed = spec.needed_values();
    let mut prompted = BTreeSet::new();
    for one in &needed {
        if !prompted.insert(&one.key) {
            continue;
        }
        let all: Vec<&NeededValue> = needed.iter().filter(|it| it.key == one.key).collect();
        let answer = read_answer(&all)?;
        if !answer.is_empty() {
            spec.give(None, &one.key, &answer);
        }
    }
    Ok(())
}

/// `TOKEN of web and mill (not shown): `, or only the key for a variable of the app.
fn prompt_text(needed: &[&NeededValue]) -> String {
    let key = needed.first().map_or("", |one| &one.key);
    let names: Vec<&str> = needed.iter().map(|it| it.component.as_deref().unwrap_or("the app")).collect();
    let owners = match &names[..] {
        ["the app"] => String::new(),
        names => list(names).map(|names| format!(" of {names}")).unwrap_or_default(),
    };
    let hint = if needed.iter().any(|it| it.secret) { " (not shown)" } else { "" };
    output::printable(&format!("{key}{owners}{hint}: "))
}

fn read_answer(needed: &[&NeededValue]) -> anyhow::Result<String> {
    let text = prompt_text(needed);
    let prompt = || {
        let mut out = std::io::stderr().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    let line = match needed.iter().any(|it| it.secret) {
        true => hidden_input::read_line(prompt),
        false => {
            let mut line = String::new();
            prompt().and_then(|()| std::io::stdin().read_line(&mut line)).map(|length| (length > 0).then_some(line))
        }
    };
    match line.context("cannot use the terminal")? {
        Some(line) => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
        None => bail!("canceled before all values were entered; nothing was sent"),
    }
}

/// Parses `KEY=value`, or `KEY` for its value in the environment of this process.
fn parse_argument(text: &str) -> anyhow::Result<(String, String)> {
    if let Some((key, value)) = text.split_once('=') {
        return Ok((key.to_owned(), value.to_owned()));
    }
    match std::env::var(text) {
        Ok(value) => Ok((text.to_owned(), value)),
        Err(_) => {
            Err(UsageError(format!("--env {text}: the environment has no variable {text}. Use --env {text}=VALUE"))
                .into())
        }
    }
}

fn read_file(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let read = || file::decoded(std::fs::read(path)?);
    let text = read().with_context(|| format!("cannot read {}", path.display()))?;
    let mut entries = Vec::new();
    for (line, content) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        match parse_line(content) {
            Ok(entry) => entries.extend(entry.map(|(key, value)| Entry { line, target: target(&key), value })),
            // The error does not show the line, which may contain a secret.
            Err(()) => bail!("{}:{line} is not KEY=value", path.display()),
        }
    }
    Ok(entries)
}

/// Parses a line of an env file: `KEY=value`, `export KEY='value'`, a comment, or an empty line.
///
/// Not with the `dotenvy` crate: it substitutes `$NAME` in values, which would change secrets, it refuses `-` in
/// `COMPONENT.KEY`, and it does not return line numbers.
fn parse_line(line: &str) -> Result<Option<(String, String)>, ()> {
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
                        services:\n- name: web\n  image: {registry_type: DOCKER_HUB, registry: library, repository: nginx}\n";

    fn given(env: &[&str], file: Option<&str>) -> anyhow::Result<Vec<String>> {
        given_bytes(env, file.map(str::as_bytes))
    }

    fn given_bytes(env: &[&str], file: Option<&[u8]>) -> anyhow::Result<Vec<String>> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("values.env");
        if let Some(bytes) = file {
            std::fs::write(&path, bytes)?;
        }
        let mut spec = AppSpec::from_yaml(OPEN).expect("a good one").spec;
        let env: Vec<_> = env.iter().map(|it| (*it).to_owned()).collect();
        apply(&mut spec, &env, file.map(|_| path).as_slice())?;
        let json = super::super::request_json(&spec);
        Ok(json["envs"].as_array().into_iter().flatten().map(|it| format!("{}", it["value"])).collect())
    }

    #[test]
    fn an_argument_overrides_a_file_and_a_file_may_contain_other_values() {
        let file = "# comment\n\nTOKEN=from-file\nexport MAIL='a=b'\nOTHER=x\n";
        assert_eq!(given(&["TOKEN=x=y"], Some(file)).expect("good"), [r#""x=y""#, r#""a=b""#]);
    }

    #[test]
    fn a_file_may_begin_with_a_byte_order_mark_and_be_utf_16() {
        let text = "\u{feff}TOKEN=größe\r\nMAIL=a@b\r\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text.as_bytes(), &little] {
            assert_eq!(given_bytes(&[], Some(bytes)).expect("good"), [r#""größe""#, r#""a@b""#]);
        }
        let error = given_bytes(&[], Some(b"TOKEN=\xff\n")).expect_err("no UTF-8");
        assert!(
            format!("{error:#}").ends_with("values.env: line 1, column 7 is not valid UTF-8. Save the file as UTF-8"),
            "{error:#}"
        );
    }

    #[test]
    fn keys_of_a_file_that_the_app_does_not_have_become_its_secrets() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = [directory.path().join(".env")];
        std::fs::write(&file[0], "TOKEN=a\nNEW=b\nweb.OTHER=c\n").expect("writable");
        let mut spec = AppSpec::from_yaml(OPEN).expect("a good one").spec;
        declare(&mut spec, &file).expect("readable");
        apply(&mut spec, &[], &file).expect("good");
        let added = &super::super::request_json(&spec)["envs"][2];
        assert_eq!(*added, serde_json::json!({"key": "NEW", "value": "b", "scope": "RUN_TIME", "type": "SECRET"}));
        assert_eq!(spec.envs.len(), 3);
    }

    #[test]
    fn unneeded_lines_are_reported_without_their_content() {
        let needed = AppSpec::from_yaml(OPEN).expect("a good one").spec.needed_values();
        let lines = |keys: &[&str]| {
            let entry = |(line, key): (usize, &&str)| Entry { line, target: target(key), value: String::new() };
            unneeded_lines(&(1..).zip(keys).map(entry).collect::<Vec<_>>(), &needed)
        };
        assert_eq!(lines(&["TOKEN", "MAIL"]), None);
        assert_eq!(lines(&["TOKNE", "MAIL", "web.TOKEN"]).as_deref(), Some("lines 1, 3"));
        assert_eq!(lines(&["TOKEN", "MIAL"]).as_deref(), Some("line 2"));
        assert_eq!(lines(&["A"; 7]).as_deref(), Some("7 lines (1, 2, 3, 4, 5 … 7)"));
    }

    #[test]
    fn an_argument_that_the_app_does_not_need_is_an_error() {
        let error = given(&["TOKNE=x"], None).expect_err("misspelt");
        assert!(error.is::<UsageError>(), "{error}");
        let error = given(&["NO_SUCH_VARIABLE_HERE"], None).expect_err("not in the environment");
        assert!(error.is::<UsageError>(), "{error}");
    }

    #[test]
    fn a_value_can_be_set_for_one_component() {
        let text = OPEN.replace("nginx}", "nginx}\n  envs: [{key: TOKEN, type: SECRET}]");
        let mut spec = AppSpec::from_yaml(&text).expect("a good one").spec;
        let names: Vec<String> = spec.needed_values().into_iter().map(|it| it.path).collect();
        assert_eq!(names, ["envs[0].value", "envs[1].value", "services[0].envs[0].value"]);
        let env = ["TOKEN=app", "web.TOKEN=web", "MAIL=a@b"].map(str::to_owned).to_vec();
        apply(&mut spec, &env, &[]).expect("good");
        let json = super::super::request_json(&spec);
        assert_eq!(
            (&json["envs"][0]["value"], &json["services"][0]["envs"][0]["value"]),
            (&"app".into(), &"web".into())
        );
    }

    #[test]
    fn a_prompt_names_every_component_that_needs_the_value() {
        let needed = |component: Option<&str>| NeededValue {
            component: component.map(str::to_owned),
            key: "TOKEN".into(),
            path: String::new(),
            why: app_spec::Why::Empty,
            secret: component.is_some(),
        };
        let (app, web, mill) = (needed(None), needed(Some("web")), needed(Some("mill")));
        assert_eq!(prompt_text(&[&app]), "TOKEN: ");
        assert_eq!(prompt_text(&[&web]), "TOKEN of web (not shown): ");
        assert_eq!(prompt_text(&[&app, &web, &mill]), "TOKEN of the app, web and mill (not shown): ");
    }

    #[test]
    fn an_invalid_line_is_reported_without_its_content() {
        let error = given(&[], Some("TOKEN=a\nhunter2\n")).expect_err("not KEY=value").to_string();
        assert!(error.ends_with("values.env:2 is not KEY=value") && !error.contains("hunter2"), "{error}");
    }
}
