//! Specs from files: reading them, and saying everything that is wrong with a caret under the spot.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use app_spec::{AppSpec, Parsed};
use serde_json::Value;

use crate::args::Spec;
use crate::exit::Exit;
use crate::say;

/// More than this is no spec; the reader of specs says so in its own words for anything over 256 KiB.
const LARGEST_FILE: u64 = 1024 * 1024;

pub fn run(command: Spec) -> anyhow::Result<Exit> {
    let Spec::Validate { file } = command;
    let parsed = read(&file)?;
    say::result(&format!("{} is valid: {}\n", shown(&file), summary(&parsed.spec)));
    Ok(Exit::Done)
}

/// A spec that can run here. Problems are printed; the error only counts them.
pub fn read(file: &Path) -> anyhow::Result<Parsed> {
    let text = text(file)?;
    let name = shown(file);
    let parsed = match AppSpec::from_yaml(&text) {
        Ok(parsed) => parsed,
        Err(problems) => {
            say::note(&say::plain(&problems.render(&name, &text)));
            bail!("{name} is refused; nothing was sent");
        }
    };
    let not_yet = parsed.not_yet();
    for remarks in [&parsed.warnings, &parsed.no_effect(), &not_yet] {
        if !remarks.is_empty() {
            say::note(&say::plain(&remarks.render(&name, &text)));
        }
    }
    if not_yet.has_errors() {
        bail!("{name} asks for what this version cannot run; nothing was sent");
    }
    Ok(parsed)
}

fn text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().take(LARGEST_FILE).read_to_string(&mut text),
        false => std::fs::File::open(file).and_then(|it| it.take(LARGEST_FILE).read_to_string(&mut text)),
    };
    read.with_context(|| format!("cannot read the spec {}", shown(file)))?;
    Ok(text)
}

fn shown(file: &Path) -> String {
    if file.as_os_str() == "-" { "standard input".into() } else { file.display().to_string() }
}

/// The spec as the API takes it. Its secrets go to the API, which seals them, and nowhere else.
pub fn wire(spec: &AppSpec) -> Value {
    spec.to_json_value(&|_, secret| secret.expose().to_owned())
}

/// `shop, 2 services, 1 worker, 1 database`.
fn summary(spec: &AppSpec) -> String {
    let counts = [
        ("service", spec.services.len()),
        ("worker", spec.workers.len()),
        ("job", spec.jobs.len()),
        ("static site", spec.static_sites.len()),
        ("database", spec.databases.len()),
    ];
    let some = counts.iter().filter(|(_, count)| *count > 0);
    let words = some.map(|(noun, count)| format!("{count} {noun}{}", if *count == 1 { "" } else { "s" }));
    [spec.name.clone()].into_iter().chain(words).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: shop\nservices:\n- name: web\n  image: {registry_type: DOCKER_HUB, repository: nginx}\n";

    fn written(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("app.yaml");
        std::fs::write(&file, text).expect("writable");
        (directory, file)
    }

    #[test]
    fn a_good_spec_is_summed_up() {
        let (_directory, file) = written(GOOD);
        assert_eq!(summary(&read(&file).expect("a good one").spec), "shop, 1 service");
    }

    #[test]
    fn a_bad_spec_is_refused_by_its_name() {
        let (_directory, file) = written(&GOOD.replace("name: web", "nmae: web"));
        assert!(read(&file).map(|_| ()).expect_err("misspelt").to_string().contains("app.yaml is refused"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read(Path::new("/nonexistent/app.yaml")).map(|_| ()).expect_err("there is none");
        assert!(error.to_string().contains("/nonexistent/app.yaml"));
    }
}
