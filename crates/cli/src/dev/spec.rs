//! The spec that `boatyard dev` deploys: that of the directory, with the working copy as its source.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use app_spec::{AppSpec, GitSource, RepositoryKey, Source};
use source::{WORKING_COPY_BRANCH, WorkingCopy};

use crate::args::Dev;
use crate::exit::UsageError;
use crate::output;
use crate::spec::file::Written;
use crate::spec::{apply, declare};

/// Where App Platform's tools keep the spec of a repository, and where people put it.
const FILES: [&str; 4] = [".do/app.yaml", ".do/app.yml", "app.yaml", "app.yml"];
const SUFFIX: &str = "-dev";
/// The longest name of an app.
const MAX_NAME: usize = 32;

/// The file with the spec: the one that was named, else the first that is there.
pub fn file(options: &Dev) -> Option<PathBuf> {
    let usual = || FILES.iter().map(|it| options.directory.join(it)).find(|it| it.is_file());
    options.spec.clone().or_else(usual)
}

/// The name of the app. It differs from that of the spec, so that `dev` never changes an app that people use.
pub fn app_name(options: &Dev, written: Option<&Written>, directory: &Path) -> anyhow::Result<String> {
    if let Some(name) = &options.name {
        let is_inside = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        if name.is_empty() || !name.chars().all(is_inside) {
            let message = format!("--name {name:?}: the name of an app has only lower-case letters, digits and dashes");
            return Err(UsageError(message).into());
        }
        return Ok(name.clone());
    }
    if let Some(written) = written {
        return Ok(named_after(&written.parsed.spec.name));
    }
    Ok(named_after(&directory.file_name().unwrap_or_default().to_string_lossy()))
}

/// The directory without links. Errors: it cannot be read.
pub fn canonical(directory: &Path) -> anyhow::Result<PathBuf> {
    directory.canonicalize().with_context(|| format!("cannot read {}", directory.display()))
}

fn named_after(base: &str) -> String {
    let letters = base.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '-' });
    let name: String = letters.skip_while(|it| !it.is_ascii_lowercase()).take(MAX_NAME - SUFFIX.len()).collect();
    let name = name.trim_end_matches('-');
    format!("{}{SUFFIX}", if name.is_empty() { "app" } else { name })
}

/// The spec, checked. `directory` is without links, and `repository` has the files of the working copy.
pub fn load(
    options: &Dev,
    written: Option<Written>,
    name: &str,
    directory: &Path,
    copy: &WorkingCopy,
    repository: &Path,
) -> anyhow::Result<AppSpec> {
    let address = repository.display().to_string();
    let mut spec = match written {
        Some(mut written) => {
            let spec = &mut written.parsed.spec;
            use_working_copy(spec, &copy.remotes(), &address)?;
            if !spec.domains.is_empty() {
                output::note("The domains of the spec are left out: they belong to the app that people use.");
                spec.domains.clear();
            }
            // A push to another repository would deploy half-saved files.
            spec.change_sources(&mut |source| source.deploys_on_push().then(|| source.without_deploy_on_push()));
            written.check()?;
            written.parsed.spec
        }
        None => of_directory(directory, copy.root(), &address)?,
    };
    name.clone_into(&mut spec.name);
    declare(&mut spec, &options.env_file)?;
    apply(&mut spec, &options.env, &options.env_file)?;
    Ok(spec)
}

/// One service for a directory without a spec. What it is built with is detected.
fn of_directory(directory: &Path, root: &Path, address: &str) -> anyhow::Result<AppSpec> {
    let source_dir = directory.strip_prefix(root).unwrap_or(Path::new("")).display().to_string();
    let spec = serde_json::json!({
        "name": "app",
        "services": [{
            "name": "web",
            "source_dir": format!("/{source_dir}"),
            "git": { "repo_clone_url": address, "branch": WORKING_COPY_BRANCH },
        }],
    });
    match AppSpec::from_yaml(&spec.to_string()) {
        Ok(parsed) => Ok(parsed.spec),
        Err(problems) => bail!("{} cannot be a source: {problems}", directory.display()),
    }
}

/// Builds the components of this repository from the working copy: those whose address is one of its remotes. If there are
/// none and the spec names only one repository, it is that one.
fn use_working_copy(spec: &mut AppSpec, remotes: &[String], address: &str) -> anyhow::Result<()> {
    let mut named: Vec<String> = spec.components().filter_map(|it| it.source().repository()).map(|it| it.0).collect();
    named.sort();
    named.dedup_by(|a, b| is_same_repository(a, b));
    let is_here = |one: &str| remotes.iter().any(|it| is_same_repository(it, one));
    let here: Vec<String> = match (named.iter().any(|it| is_here(it)), &named[..]) {
        (true, _) => named.into_iter().filter(|it| is_here(it)).collect(),
        (false, [_]) => named,
        (false, []) => {
            bail!("no component of the spec is built from a repository, so there is nothing to run from here")
        }
        (false, several) => {
            let message = format!(
                "the spec names the repositories {}, and none of them is a remote of this one. Add it: git remote add origin \
                 ADDRESS",
                several.join(", ")
            );
            return Err(UsageError(message).into());
        }
    };
    spec.change_sources(&mut |source| {
        let (repository, _) = source.repository()?;
        here.iter().any(|it| is_same_repository(it, &repository)).then(|| {
            Source::Git(GitSource {
                repo_clone_url: address.to_owned(),
                branch: Some(WORKING_COPY_BRANCH.to_owned()),
                ..GitSource::default()
            })
        })
    });
    Ok(())
}

fn is_same_repository(a: &str, b: &str) -> bool {
    RepositoryKey::of(a).is_some_and(|key| RepositoryKey::of(b) == Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_from_that_of_the_spec_or_directory() {
        for (base, name) in [
            ("shop", "shop-dev"),
            ("My Shop.js", "my-shop-js-dev"),
            ("_2fast", "fast-dev"),
            ("…", "app-dev"),
            ("a-very-long-name-of-a-directory-here", "a-very-long-name-of-a-direct-dev"),
        ] {
            assert_eq!(named_after(base), name);
        }
    }

    const SPEC: &str = "name: shop\nservices:\n- {name: web, github: {repo: acme/shop, branch: main}}\n\
                        workers:\n- {name: mill, git: {repo_clone_url: 'https://example.com/mill.git'}}\n";

    fn sources(text: &str, remotes: &[&str]) -> anyhow::Result<Vec<String>> {
        let mut spec = AppSpec::from_yaml(text).expect("a good spec").spec;
        let remotes: Vec<_> = remotes.iter().map(|it| (*it).to_owned()).collect();
        use_working_copy(&mut spec, &remotes, "/copy.git")?;
        Ok(spec.components().filter_map(|it| it.source().repository()).map(|it| it.0).collect())
    }

    #[test]
    fn the_components_of_a_remote_are_built_from_the_working_copy() {
        let mill = "https://example.com/mill.git";
        assert_eq!(sources(SPEC, &["git@github.com:acme/shop.git"]).expect("a remote"), ["/copy.git", mill]);
        let only = SPEC.lines().take(3).collect::<Vec<_>>().join("\n");
        assert_eq!(sources(&only, &[]).expect("only one repository"), ["/copy.git"]);
        let error = sources(SPEC, &["https://example.com/other"]).expect_err("no remote");
        assert!(error.to_string().contains("acme/shop"), "{error}");
    }
}
