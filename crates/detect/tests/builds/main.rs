//! Builds a small project for every language on this machine's engine, with bases that `scripts/images bases` made, and
//! asks it for a page. `make detect` runs it: it takes minutes, and what needs a registry of packages is skipped where no
//! build reaches one. `DETECT=name` chooses the projects whose names contain this text.
#![allow(clippy::unwrap_used)]

mod compiled;
mod engine;
mod node;
mod php;
mod python;
mod ruby;
mod sites;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use detect::{Bases, Kind, Project, Request};
use engine::{Container, build};

/// A project of a few files. Its page contains `hello 1`.
struct Sample {
    name: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// The file that contains `hello 1`.
    changes: &'static str,
    /// The registry of packages that its build needs.
    needs: Option<Registry>,
    kind: Kind,
    build_command: Option<&'static str>,
    /// Variables of the build.
    build_args: &'static [(&'static str, &'static str)],
    /// Bases that replace those of the same name.
    bases: &'static [&'static str],
}

const SAMPLE: Sample = Sample {
    name: "",
    files: &[],
    changes: "",
    needs: None,
    kind: Kind::Service,
    build_command: None,
    build_args: &[],
    bases: &[],
};

/// A registry of packages, and a command that fails in a build that cannot reach it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Registry {
    name: &'static str,
    base: &'static str,
    command: &'static str,
}

/// The bases, by the names that `--base-image` has for them.
const BASES: &[&str] = &[
    "debian=boatyard-local/base-debian:12",
    "node:18=boatyard-local/base-node:18",
    "php:8.2=boatyard-local/base-php:8.2",
    // Composer is in the base, in several files. Its program is copied onto itself.
    "composer=boatyard-local/base-php:8.2",
    "python:3.11=boatyard-local/base-python:3.11",
    "golang=boatyard-local/base-golang:1.19",
    "ruby:3.1=boatyard-local/base-ruby:3.1",
    "rust=boatyard-local/base-rust:1",
    "hugo=boatyard-local/base-hugo:0.111",
    "nginx=boatyard-local/base-nginx:1",
];

#[test]
#[ignore = "takes minutes; `make detect` runs it"]
fn a_project_of_every_language_is_built_and_answers() {
    let wanted = std::env::var("DETECT").unwrap_or_default();
    let samples = [node::SAMPLES, php::SAMPLES, python::SAMPLES, ruby::SAMPLES, compiled::SAMPLES, sites::SAMPLES]
        .into_iter()
        .flatten();
    let mut reached = HashMap::new();
    let mut failures = Vec::new();
    println!("{:<26} {:<24} {:>9} {:>8} {:>8}", "project", "detected", "image", "first", "rebuild");
    for sample in samples.filter(|it| it.name.contains(&wanted)) {
        if let Some(registry) = sample.needs
            && !*reached.entry(registry).or_insert_with(|| engine::reaches(registry.base, registry.command))
        {
            println!("{:<26} skipped: builds do not reach {}", sample.name, registry.name);
            continue;
        }
        match run(sample) {
            Ok(row) => println!("{row}"),
            Err(error) => {
                println!("{:<26} failed: {error}", sample.name);
                failures.push(sample.name);
            }
        }
    }
    assert!(failures.is_empty(), "these projects failed: {failures:?}");
}

/// Builds, asks for the page, changes one line, builds again and asks again. Returns the row of the table.
fn run(sample: &Sample) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    for (path, text) in sample.files {
        let path = source.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let texts = sample.files.iter().filter(|(path, _)| detect::is_wanted(path));
    let texts = texts.map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let project = Project::new(sample.files.iter().map(|(path, _)| (*path).to_owned()), texts);
    let bases = Bases::parse(BASES.iter().chain(sample.bases).copied()).unwrap();
    let mut request = Request::new("web", sample.kind, &bases);
    request.build_command = sample.build_command;
    request.build_args = sample.build_args.iter().map(|(key, _)| *key).collect();
    let detected =
        detect::detect(&project, &request).map_err(|error| error.to_string())?.for_app("boatyard-detect-tests");
    let begin = Instant::now();
    let image = build(&detected.dockerfile, &source, sample.build_args, true)?;
    let first = begin.elapsed();
    ask(sample.kind, image.id(), "hello 1")?;

    let changes = source.join(sample.changes);
    let text = std::fs::read_to_string(&changes).unwrap();
    assert!(text.contains("hello 1"), "{} contains the text of the page", sample.changes);
    std::fs::write(&changes, text.replace("hello 1", "hello 2")).unwrap();
    let begin = Instant::now();
    let image = build(&detected.dockerfile, &source, sample.build_args, false)?;
    let rebuild = begin.elapsed();
    ask(sample.kind, image.id(), "hello 2")?;

    let what = detected.dockerfile.lines().next().unwrap_or_default().trim_start_matches("# ");
    let size = image.megabytes();
    let seconds = |it: Duration| format!("{:.1} s", it.as_secs_f64());
    Ok(format!("{:<26} {what:<24} {size:>6} MB {:>8} {:>8}", sample.name, seconds(first), seconds(rebuild)))
}

/// Runs an image on a port that is not the default, as the platform may, and checks what every image promises.
fn ask(kind: Kind, image: &str, expected: &str) -> Result<(), String> {
    if kind == Kind::StaticSite {
        let page = engine::file(image, "/workspace/dist/index.html")?;
        return if page.contains(expected) { Ok(()) } else { Err(format!("the page is {page}")) };
    }
    let container = Container::run(image, 5000)?;
    let page = container.page()?;
    if !page.contains(expected) {
        return Err(format!("the page does not contain \"{expected}\": {page}"));
    }
    let user = container.output("id -u && touch ~/file /workspace/file && pwd")?;
    if user.trim() != "2000\n/workspace" {
        return Err(format!("the user, its home or the working directory is wrong: {user}"));
    }
    container.stop()
}
