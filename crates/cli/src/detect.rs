//! `boatyard detect`: what a directory or an app is built with.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use detect::{Bases, Choice, Project, Request};
use present::BuildPlan;
use serde_json::{Value, json};

use crate::args::{Connection, Detect, DetectKind};
use crate::client::path_segment;
use crate::discover;
use crate::exit::{Exit, UsageError};
use crate::output;

pub async fn run(options: Detect, connection: &Connection) -> anyhow::Result<Exit> {
    let place = Place::of(&options.place);
    let (plans, problems) = match &place {
        Place::Directory(directory) => (vec![of_directory(directory, &options)?], Vec::new()),
        Place::App(app) => of_app(app, &options, connection).await?,
    };
    match &options.write {
        Some(file) => write(&plans, &problems, &place.file(file), &options)?,
        None => print(&plans, &options),
    }
    problems.iter().for_each(|it| output::error(it));
    Ok(if problems.is_empty() { Exit::Done } else { Exit::Failed })
}

/// What is looked at.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Directory(PathBuf),
    App(String),
}

impl Place {
    /// The name of an app contains neither a slash nor a dot.
    fn of(text: &str) -> Self {
        match text.contains(['/', '.']) {
            true => Self::Directory(text.into()),
            false => Self::App(text.into()),
        }
    }

    /// Where `--write` writes: in the directory that was looked at, or in the current one.
    fn file(&self, file: &Path) -> PathBuf {
        match self {
            Self::Directory(directory) => directory.join(file),
            Self::App(_) => file.to_owned(),
        }
    }
}

/// Looks at a directory as it is, without a server.
fn of_directory(directory: &Path, options: &Detect) -> anyhow::Result<BuildPlan> {
    let bases = Bases::parse(options.base_image.iter().map(String::as_str));
    let bases = bases.map_err(|error| UsageError(format!("--base-image: {error}")))?;
    let found = source::read_work_tree(directory, detect::is_wanted);
    let found = found.with_context(|| format!("cannot read {}", directory.display()))?;
    if found.cut {
        output::note("There are very many files. Detection looks only at those near the root.");
    }
    let name = options.component.as_deref().unwrap_or("web");
    let request = Request {
        slug: options.slug.as_deref(),
        build_command: options.build_command.as_deref(),
        run_command: options.run_command.as_deref(),
        ..Request::new(name, options.kind.unwrap_or_default().into(), &bases)
    };
    let chosen = detect::choose(&Project::new(found.paths, found.texts), &request);
    let plan = BuildPlan { component: name.to_owned(), ..BuildPlan::default() };
    Ok(match chosen.with_context(|| format!("nothing was detected in {}", directory.display()))? {
        Choice::Dockerfile { undetected } => BuildPlan {
            dockerfile_path: Some(directory.join("Dockerfile").display().to_string()),
            undetected: undetected.map(|why| why.to_string()),
            ..plan
        },
        Choice::Detected(detected) => BuildPlan {
            language: Some(detected.language.to_string()),
            findings: detected.findings.iter().map(ToString::to_string).collect(),
            start: detected.start,
            dockerfile: Some(detected.dockerfile),
            ..plan
        },
    })
}

/// Asks the server for the newest commit of an app. Returns the plans, and why components cannot be built.
async fn of_app(app: &str, options: &Detect, connection: &Connection) -> anyhow::Result<(Vec<BuildPlan>, Vec<String>)> {
    if let Some(flag) = options.flag_of_directory() {
        let message = format!(
            "{flag} is for a directory, and {app} is an app, whose spec says this. For a directory: boatyard detect ./{app}"
        );
        return Err(UsageError(message).into());
    }
    let asked = async {
        let client = discover::client(connection)?;
        Ok::<_, anyhow::Error>(
            client.post(&format!("/v2/boatyard/apps/{}/detect", path_segment(app)), &json!({})).await?,
        )
    };
    let help = || match Path::new(app).is_dir() {
        true => format!("{app} was taken for an app. For the directory: boatyard detect ./{app}"),
        false => format!("cannot detect what app {app} is built with"),
    };
    let mut answer = asked.await.with_context(help)?;
    let mut plans: Vec<BuildPlan> =
        serde_json::from_value(answer["build_plans"].take()).context("the server sent an unexpected answer")?;
    let mut problems: Vec<String> =
        serde_json::from_value(answer["problems"].take()).context("the server sent an unexpected answer")?;
    if let Some(name) = &options.component {
        let known: BTreeMap<_, _> = plans.iter().map(|it| (it.component.clone(), ())).collect();
        plans.retain(|it| it.component == *name);
        problems.retain(|it| it.starts_with(&format!("{name}: ")));
        if plans.is_empty() && problems.is_empty() {
            let known: Vec<_> = known.into_keys().collect();
            let known = present::text::list(&known).unwrap_or_else(|| "none".to_owned());
            bail!("app {app} builds no component \"{name}\". It builds: {known}");
        }
    }
    Ok((plans, problems))
}

/// Dockerfiles are results; everything else is for people.
fn print(plans: &[BuildPlan], options: &Detect) {
    if let Some(document) = options.output.document(&Value::from(plans.iter().map(|it| json!(it)).collect::<Vec<_>>()))
    {
        return output::result(&document);
    }
    if plans.is_empty() {
        output::note("No component is built.");
    }
    for plan in plans {
        explain(plan);
        if let Some(text) = &plan.dockerfile {
            output::result(&output::printable(text));
        }
    }
}

fn explain(plan: &BuildPlan) {
    output::note(&plan.summary());
    plan.findings.iter().for_each(|it| output::note(&format!("  {it}")));
    if let Some(start) = &plan.start {
        output::note(&format!("It starts with: {start}"));
    }
}

/// Writes the only generated Dockerfile. Errors: there is none or more than one, or the file exists.
fn write(plans: &[BuildPlan], problems: &[String], file: &Path, options: &Detect) -> anyhow::Result<()> {
    let generated: Vec<_> = plans.iter().filter_map(|it| Some((it, it.dockerfile.as_ref()?))).collect();
    let (plan, text) = match generated[..] {
        [one] => one,
        [] if problems.is_empty() => {
            plans.iter().for_each(explain);
            bail!("no Dockerfile was generated, so there is nothing to write")
        }
        [] => bail!("{}", problems.join("; ")),
        _ => {
            let names: Vec<_> = generated.iter().map(|(it, _)| it.component.as_str()).collect();
            let names = present::text::list(&names).unwrap_or_default();
            return Err(
                UsageError(format!("{names} have a generated Dockerfile each. Choose one with --component")).into()
            );
        }
    };
    explain(plan);
    let mut created = match std::fs::File::create_new(file) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} exists already. Remove it, or write another file: --write=FILE", file.display())
        }
        created => created.with_context(|| format!("cannot write {}", file.display()))?,
    };
    created.write_all(text.as_bytes()).map_err(|error| anyhow!("cannot write {}: {error}", file.display()))?;
    output::note(&format!("Wrote {}. To build with it, commit it and name it in the app spec:", file.display()));
    output::note(&match Place::of(&options.place) {
        Place::App(_) => format!("dockerfile_path: {}", plan.path_to_keep()),
        Place::Directory(_) => "dockerfile_path: its path in the repository".to_owned(),
    });
    Ok(())
}

impl From<DetectKind> for detect::Kind {
    fn from(kind: DetectKind) -> Self {
        match kind {
            DetectKind::Service => Self::Service,
            DetectKind::Worker => Self::Worker,
            DetectKind::Job => Self::Job,
            DetectKind::StaticSite => Self::StaticSite,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    fn options(line: &str) -> Detect {
        let words = ["boatyard", "detect"].into_iter().chain(line.split(' ').filter(|it| !it.is_empty()));
        match Arguments::try_parse_from(words).map(|it| it.command) {
            Ok(Command::Detect(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    fn directory(files: &[&str]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for file in files {
            std::fs::write(directory.path().join(file), "").expect("writable");
        }
        directory
    }

    #[test]
    fn a_word_without_a_slash_or_a_dot_is_an_app() {
        assert_eq!(Place::of(&options("").place), Place::Directory(".".into()));
        for path in ["./shop", "shop/", "..", "/srv/shop"] {
            assert_eq!(Place::of(path), Place::Directory(path.into()));
        }
        assert_eq!(Place::of("shop"), Place::App("shop".into()));
    }

    #[test]
    fn a_directory_is_detected_and_its_dockerfile_written_once() {
        let directory = directory(&["index.html"]);
        let options = options("./x --write --base-image nginx=local/nginx:1");
        let plan = of_directory(directory.path(), &options).expect("static files");
        let text = plan.dockerfile.clone().expect("a Dockerfile");
        assert!(text.contains("FROM local/nginx:1"), "{text}");
        let file = directory.path().join("Dockerfile");
        write(std::slice::from_ref(&plan), &[], &file, &options).expect("written");
        assert_eq!(std::fs::read_to_string(&file).ok(), Some(text));
        let error = write(&[plan], &[], &file, &options).expect_err("it exists");
        assert!(error.to_string().contains("exists already"), "{error}");
        // It comes first now, unless there is a slug.
        let plan = of_directory(directory.path(), &options).expect("a Dockerfile");
        assert_eq!(plan.dockerfile_path, Some(file.display().to_string()));
    }

    #[test]
    fn an_unknown_project_and_a_wrong_base_image_are_named() {
        let directory = directory(&["README.md"]);
        let error = of_directory(directory.path(), &options("")).expect_err("nothing is detected");
        let message = crate::exit::chain(&error);
        assert!(
            message.contains(&directory.path().display().to_string()) && message.contains("Add a Dockerfile"),
            "{message}"
        );
        let error = of_directory(directory.path(), &options("--base-image x=y")).expect_err("no such base");
        assert_eq!(Exit::of(&error), Exit::Usage, "{error}");
    }

    #[test]
    fn one_of_several_dockerfiles_has_to_be_chosen() {
        let plan = |name: &str| BuildPlan {
            component: name.into(),
            dockerfile: Some("FROM x".into()),
            ..BuildPlan::default()
        };
        let error =
            write(&[plan("web"), plan("api")], &[], Path::new("/nonexistent/x"), &options("shop")).expect_err("two");
        assert!(error.to_string().contains("web and api have"), "{error}");
    }
}
