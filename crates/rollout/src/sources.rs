//! Which version of its source each component of a deployment gets: the one that serves, or the newest one.

use std::collections::BTreeMap;

use app_spec::{AppSpec, BuildFields, Facts, Scope, Source, image_reference, resolve_envs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::ids::ComponentName;
use crate::queue::Build;

/// What an image was made from, except the commit. Both fields are hashes, because build arguments and addresses may
/// be private.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The repository and branch, or the image and tag.
    pub source: String,
    /// What the build reads besides the commit: directory, Dockerfile and variables.
    pub inputs: String,
}

/// The version of its source that a component gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The newest one: the branch's commit, or the image that the tag names.
    Newest,
    /// The commit that serves, or that a rollback returns to. It has to be built, because other inputs of the build changed.
    KeptCommit,
    /// The commit and image that serve, or that a rollback returns to.
    KeptImage,
}

impl Origin {
    /// The origin of a component's image under this spec. `hash_secret`: a keyed hash. `None` if the component has no
    /// source.
    pub fn of(spec: &AppSpec, component: &ComponentName, hash_secret: &dyn Fn(&str) -> String) -> Option<Self> {
        let holder = spec.component(component.as_str())?;
        let build = holder.build_fields()?;
        let (source, inputs) = match (build.source, build.source.repository()) {
            (Source::Image(image), _) => (vec!["image".into(), image_reference(image)], Vec::new()),
            (_, Some((address, branch))) => {
                let variables = variables(spec, component, Scope::Build, &Facts::default());
                let secrets = variables.secrets_hash(hash_secret).map(|hash| ["secrets".to_owned(), hash]);
                let args = variables.args.into_iter().flat_map(|(key, value)| [key, value]);
                let settings = [vec![build.source_dir()], listed(build.dockerfile_path()), detection(&build)].concat();
                let source = [vec!["git".into(), address], listed(branch.map(str::to_owned))].concat();
                (source, settings.into_iter().chain(args).chain(secrets.into_iter().flatten()).collect())
            }
            (_, None) => return None,
        };
        Some(Self { source: hash(&source), inputs: hash(&inputs) })
    }
}

/// What a generated Dockerfile depends on. Nothing is added for a spec that names a Dockerfile, and for one that has none of
/// these fields: the origins that older versions recorded stay the same.
fn detection(build: &BuildFields<'_>) -> Vec<String> {
    let given = |field: &str, value: Option<&str>| -> Vec<String> {
        value.iter().flat_map(|it| [field.to_owned(), (*it).to_owned()]).collect()
    };
    match build.dockerfile_path {
        Some(_) => Vec::new(),
        None => [
            given("environment_slug", build.environment_slug),
            given("build_command", build.build_command),
            given("run_command", build.run_command),
            given("output_dir", build.output_dir),
        ]
        .concat(),
    }
}

/// Distinguishes a missing value from an empty one.
fn listed(value: Option<String>) -> Vec<String> {
    value.map_or_else(|| vec!["absent".into()], |it| vec!["given".into(), it])
}

/// The version that a component gets. `previous`: the origin of the image that serves, or that a rollback returns to;
/// `None` if there is none or its origin is unknown. `wanted`: the origin under the new spec.
pub fn version(build: Build, previous: Option<&Origin>, wanted: Option<&Origin>) -> Version {
    let (Build::KeepSources | Build::Recorded, Some(previous), Some(wanted)) = (build, previous, wanted) else {
        return Version::Newest;
    };
    match previous {
        _ if previous == wanted => Version::KeptImage,
        _ if previous.source == wanted.source => Version::KeptCommit,
        _ => Version::Newest,
    }
}

/// The variables of a component's build.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BuildVariables {
    /// Variables without secrets. They may be build arguments, which stay in the image's history.
    pub args: BTreeMap<String, String>,
    /// Variables that are secrets, or contain one.
    pub secrets: BTreeMap<String, String>,
}

impl BuildVariables {
    /// A hash of the names and values of all secrets. `hash`: a keyed hash of one text. `None`: there are none.
    pub fn secrets_hash(&self, hash: &dyn Fn(&str) -> String) -> Option<String> {
        let mut text = String::new();
        for part in self.secrets.iter().flat_map(|(key, value)| [key, value]) {
            text.push_str(&format!("{}:{part}", part.len()));
        }
        (!self.secrets.is_empty()).then(|| hash(&text))
    }
}

/// The build-scope variables. As on App Platform, references have values unless the spec names a Dockerfile.
pub fn build_variables(spec: &AppSpec, component: &ComponentName, facts: &Facts) -> BuildVariables {
    let build = spec.component(component.as_str()).and_then(|it| it.build_fields());
    let scope = match build.is_some_and(|it| it.dockerfile_path.is_some()) {
        true => Scope::Build,
        false => Scope::DetectedBuild,
    };
    variables(spec, component, scope, facts)
}

fn variables(spec: &AppSpec, component: &ComponentName, scope: Scope, facts: &Facts) -> BuildVariables {
    let environment = resolve_envs(spec, component.as_str(), scope, facts).unwrap_or_default();
    let (secrets, args): (Vec<_>, Vec<_>) = environment.vars.into_iter().partition(|(_, value)| value.secret);
    let texts = |all: Vec<(String, app_spec::ResolvedValue)>| all.into_iter().map(|(key, value)| (key, value.text));
    BuildVariables { args: texts(args).collect(), secrets: texts(secrets).collect() }
}

/// Length-prefixed, so that two different lists never have the same input.
fn hash(parts: &[String]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that take the newest version of every source, and restarts, which take none.
    const OTHERS: [Build; 4] = [Build::Frozen, Build::Reuse, Build::Force, Build::ForceWithoutCache];

    const GIT: &str =
        "{name: web, git: {repo_clone_url: 'https://example.com/shop.git', branch: main}, dockerfile_path: Dockerfile}";
    const IMAGE: &str = "{name: web, image: {registry_type: DOCKER_HUB, registry: acme, repository: shop, tag: '1'}}";

    const DETECTED: &str =
        "{name: web, git: {repo_clone_url: 'https://example.com/shop.git'}, environment_slug: go, run_command: /serve}";

    fn origin(component: &str) -> Origin {
        let text = format!("name: shop\nservices: [{component}]\n");
        let spec = AppSpec::from_yaml(&text).expect("the test's spec is good").spec;
        Origin::of(&spec, &"web".into(), &|secret| format!("hash of {secret}")).expect("it has a source")
    }

    #[test]
    fn a_component_keeps_what_serves_while_its_source_stays_the_same() {
        use Version::{KeptCommit, KeptImage, Newest};
        let edited = |from: &str, to: &str| {
            let text = if GIT.contains(from) { GIT } else { IMAGE };
            assert!(text.contains(from), "{from}");
            (origin(text), origin(&text.replace(from, to)))
        };
        let with_secret = |value: &str| {
            GIT.replace("{name: web,", &format!("{{name: web, envs: [{{key: T, value: {value}, type: SECRET}}],"))
        };
        let (same, moved) = ((origin(GIT), origin(GIT)), (origin(GIT), origin(IMAGE)));
        let cases = [
            ("the same repository and branch", same.clone(), KeptImage),
            ("another branch", edited("branch: main", "branch: next"), Newest),
            ("the default branch", edited(", branch: main", ""), Newest),
            ("another repository", edited("shop.git", "store.git"), Newest),
            ("an image in place of a repository", moved, Newest),
            ("another Dockerfile", edited("path: Dockerfile", "path: docker/Dockerfile"), KeptCommit),
            ("another build command", edited("dockerfile_path: Dockerfile", "build_command: make"), KeptCommit),
            ("another language", (origin(DETECTED), origin(&DETECTED.replace("go", "python"))), KeptCommit),
            ("another command", (origin(DETECTED), origin(&DETECTED.replace("/serve", "/run"))), KeptCommit),
            ("no command", (origin(DETECTED), origin(&DETECTED.replace(", run_command: /serve", ""))), KeptCommit),
            ("another directory", edited("{name: web,", "{name: web, source_dir: front,"), KeptCommit),
            (
                "another build argument",
                edited("{name: web,", "{name: web, envs: [{key: A, value: b, scope: BUILD_TIME}],"),
                KeptCommit,
            ),
            ("another secret of the build", (origin(&with_secret("one")), origin(&with_secret("two"))), KeptCommit),
            ("the same secret of the build", (origin(&with_secret("one")), origin(&with_secret("one"))), KeptImage),
            (
                "another variable of the running process",
                edited("{name: web,", "{name: web, envs: [{key: A, value: b, scope: RUN_TIME}],"),
                KeptImage,
            ),
            ("another number of instances", edited("{name: web,", "{name: web, instance_count: 3,"), KeptImage),
            ("the same image and tag", (origin(IMAGE), origin(IMAGE)), KeptImage),
            ("another tag", edited("tag: '1'", "tag: '2'"), Newest),
            ("another image", edited("repository: shop, tag", "repository: store, tag"), Newest),
            (
                "the tag that a missing tag means",
                (origin(&IMAGE.replace("'1'", "latest")), origin(&IMAGE.replace(", tag: '1'", ""))),
                KeptImage,
            ),
        ];
        for (name, (previous, wanted), expected) in cases {
            for build in [Build::KeepSources, Build::Recorded] {
                assert_eq!(version(build, Some(&previous), Some(&wanted)), expected, "{name}, {build:?}");
            }
        }
        assert_eq!(version(Build::KeepSources, None, Some(&same.1)), Newest, "a new component");
        for build in OTHERS {
            assert_eq!(version(build, Some(&same.0), Some(&same.1)), Newest, "{build:?}");
        }
    }

    #[test]
    fn a_repository_is_the_same_however_the_spec_names_it() {
        let git = GIT.replace("https://example.com/shop.git", "https://github.com/acme/shop.git");
        let github = "{name: web, github: {repo: acme/shop, branch: main}, dockerfile_path: Dockerfile}";
        assert_eq!(origin(&git), origin(github));
    }
}
