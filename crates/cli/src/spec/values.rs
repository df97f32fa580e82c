//! Values that a spec leaves open: given on the command line or in a file, else asked for on a terminal. What stays open
//! is the server's to refuse, which names it, or to keep from before.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, bail};
use app_spec::{AppSpec, NeededValue};

use super::{file, hidden};
use crate::args::SpecFile;
use crate::exit::UsageError;
use crate::say;

/// Whose value it is: a component's, or anyone's; and its key. Those of one component come first.
type Whose = (Reverse<Option<String>>, String);

/// A line of an env file that gives something.
struct Given {
    line: usize,
    whose: Whose,
    value: String,
}

/// Fills in what `--env` and `--env-file` give. Says which lines of a file are for nothing here. Errors: a file that cannot
/// be read, and `--env` for what waits for nothing.
pub fn give(spec: &mut AppSpec, options: &SpecFile) -> anyhow::Result<()> {
    let mut arguments = BTreeMap::new();
    for text in &options.env {
        let (key, value) = of_argument(text)?;
        arguments.insert(whose(&key), value);
    }
    let mut of_files = BTreeMap::new();
    let waiting = spec.needed_values();
    for file in &options.env_file {
        let given = of_file(file)?;
        if let Some(lines) = lines_for_nothing(&given, &waiting) {
            let message = format!("{}: app {} waits for nothing that stands in {lines}", file.display(), spec.name);
            say::note(&say::plain(&message));
        }
        of_files.extend(given.into_iter().map(|given| (given.whose, given.value)));
    }
    for ((Reverse(component), key), value) in arguments {
        if spec.give(component.as_deref(), &key, &value) == 0 {
            let owner = component.map(|it| format!(" of {it}")).unwrap_or_default();
            let message = format!("no variable {key}{owner} in app {} waits for a value", spec.name);
            return Err(UsageError(message).into());
        }
    }
    // What an argument has given waits no longer. A file may hold values for other apps.
    for ((Reverse(component), key), value) in of_files {
        spec.give(component.as_deref(), &key, &value);
    }
    Ok(())
}

/// `KEY`, or `COMPONENT.KEY`: keys have no dots.
fn whose(text: &str) -> Whose {
    match text.rsplit_once('.') {
        Some((component, key)) => (Reverse(Some(component.to_owned())), key.to_owned()),
        None => (Reverse(None), text.to_owned()),
    }
}

/// How many lines are named at most.
const NAMED_LINES: usize = 5;

/// `lines 3, 5`: those with values that nothing waits for. Their keys are not shown: a piece of a secret that goes over
/// several lines looks like one.
fn lines_for_nothing(given: &[Given], waiting: &[NeededValue]) -> Option<String> {
    let is_waited_for = |(Reverse(component), key): &Whose| {
        waiting.iter().any(|it| it.key == *key && (component.is_none() || it.component == *component))
    };
    let lines: Vec<String> =
        given.iter().filter(|it| !is_waited_for(&it.whose)).map(|it| it.line.to_string()).collect();
    match &lines[..] {
        [] => None,
        [first @ .., last] if lines.len() > NAMED_LINES => {
            let named = first[..NAMED_LINES].join(", ");
            Some(format!("{} lines ({named} … {last})", lines.len()))
        }
        [only] => Some(format!("line {only}")),
        lines => Some(format!("lines {}", lines.join(", "))),
    }
}

/// Asks for each open value once, whoever waits for it. Without a terminal, or with an empty answer, it stays open.
pub fn ask(spec: &mut AppSpec) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(());
    }
    let needed = spec.needed_values();
    let mut asked = BTreeSet::new();
    for one in &needed {
        if !asked.insert(&one.key) {
            continue;
        }
        let all: Vec<&NeededValue> = needed.iter().filter(|it| it.key == one.key).collect();
        let answer = answer(&all)?;
        if !answer.is_empty() {
            spec.give(None, &one.key, &answer);
        }
    }
    Ok(())
}

/// `TOKEN of web and mill (not shown): `; of a variable of the app alone, its key.
fn question(waiting: &[&NeededValue]) -> String {
    let key = waiting.first().map_or("", |one| &one.key);
    let names: Vec<&str> = waiting.iter().map(|it| it.component.as_deref().unwrap_or("the app")).collect();
    let owners = match &names[..] {
        [] | ["the app"] => String::new(),
        [one] => format!(" of {one}"),
        [first @ .., last] => format!(" of {} and {last}", first.join(", ")),
    };
    let hint = if waiting.iter().any(|it| it.secret) { " (not shown)" } else { "" };
    say::plain(&format!("{key}{owners}{hint}: "))
}

fn answer(waiting: &[&NeededValue]) -> anyhow::Result<String> {
    let question = question(waiting);
    let ask = || {
        let mut out = std::io::stderr().lock();
        out.write_all(question.as_bytes()).and_then(|()| out.flush())
    };
    let line = match waiting.iter().any(|it| it.secret) {
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

fn of_file(path: &Path) -> anyhow::Result<Vec<Given>> {
    let read = || file::decoded(std::fs::read(path)?);
    let text = read().with_context(|| format!("cannot read {}", path.display()))?;
    let mut values = Vec::new();
    for (line, content) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        match of_line(content) {
            Ok(value) => values.extend(value.map(|(key, value)| Given { line, whose: whose(&key), value })),
            // The line itself may hold a secret.
            Err(()) => bail!("{}:{line} is no KEY=value", path.display()),
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
    fn a_file_may_begin_with_a_byte_order_mark_and_be_utf_16() {
        let text = "\u{feff}TOKEN=größe\r\nMAIL=a@b\r\n";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text.as_bytes(), &little] {
            assert_eq!(given_bytes(&[], Some(bytes)).expect("good"), [r#""größe""#, r#""a@b""#]);
        }
        let error = given_bytes(&[], Some(b"TOKEN=\xff\n")).expect_err("no UTF-8");
        assert!(
            format!("{error:#}").ends_with("values.env: line 1, column 7 is no UTF-8; save it as UTF-8"),
            "{error:#}"
        );
    }

    #[test]
    fn lines_for_nothing_are_named_without_what_is_in_them() {
        let waiting = AppSpec::from_yaml(OPEN).expect("a good one").spec.needed_values();
        let lines = |keys: &[&str]| {
            let given = |(line, key): (usize, &&str)| Given { line, whose: whose(key), value: String::new() };
            lines_for_nothing(&(1..).zip(keys).map(given).collect::<Vec<_>>(), &waiting)
        };
        assert_eq!(lines(&["TOKEN", "MAIL"]), None);
        assert_eq!(lines(&["TOKNE", "MAIL", "web.TOKEN"]).as_deref(), Some("lines 1, 3"));
        assert_eq!(lines(&["TOKEN", "MIAL"]).as_deref(), Some("line 2"));
        assert_eq!(lines(&["A"; 7]).as_deref(), Some("7 lines (1, 2, 3, 4, 5 … 7)"));
    }

    #[test]
    fn an_argument_for_what_waits_for_nothing_is_a_mistake() {
        let error = given(&["TOKNE=x"], None).expect_err("misspelt");
        assert!(error.is::<UsageError>(), "{error}");
        let error = given(&["NO_SUCH_VARIABLE_HERE"], None).expect_err("not in the environment");
        assert!(error.is::<UsageError>(), "{error}");
    }

    #[test]
    fn one_component_may_be_given_a_value_of_its_own() {
        let text = OPEN.replace("nginx}", "nginx}\n  envs: [{key: TOKEN, type: SECRET}]");
        let mut spec = AppSpec::from_yaml(&text).expect("a good one").spec;
        let names: Vec<String> = spec.needed_values().into_iter().map(|it| it.path).collect();
        assert_eq!(names, ["envs[0].value", "envs[1].value", "services[0].envs[0].value"]);
        let env = ["TOKEN=app", "web.TOKEN=web", "MAIL=a@b"].map(str::to_owned).to_vec();
        give(&mut spec, &SpecFile { spec: "app.yaml".into(), env, env_file: Vec::new() }).expect("good");
        let json = super::super::wire(&spec);
        assert_eq!(
            (&json["envs"][0]["value"], &json["services"][0]["envs"][0]["value"]),
            (&"app".into(), &"web".into())
        );
    }

    #[test]
    fn a_question_names_everyone_who_waits() {
        let needed = |component: Option<&str>| NeededValue {
            component: component.map(str::to_owned),
            key: "TOKEN".into(),
            path: String::new(),
            why: app_spec::Why::Empty,
            secret: component.is_some(),
        };
        let (app, web, mill) = (needed(None), needed(Some("web")), needed(Some("mill")));
        assert_eq!(question(&[&app]), "TOKEN: ");
        assert_eq!(question(&[&web]), "TOKEN of web (not shown): ");
        assert_eq!(question(&[&app, &web, &mill]), "TOKEN of the app, web and mill (not shown): ");
    }

    #[test]
    fn a_broken_line_is_named_without_what_is_in_it() {
        let error = given(&[], Some("TOKEN=a\nhunter2\n")).expect_err("no KEY=value").to_string();
        assert!(error.ends_with("values.env:2 is no KEY=value") && !error.contains("hunter2"), "{error}");
    }
}
