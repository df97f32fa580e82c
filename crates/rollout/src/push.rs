//! Pushes: which of them concern a component, and when an app is deployed because of one.
//!
//! A push, like a poll, is only a reason to look at the source. What is built depends on what the source has then, never on
//! what the push says. So a forged push cannot choose a commit, a repeated one finds nothing new, and many pushes lead to
//! one deployment of the newest commit.

use std::collections::{BTreeMap, BTreeSet};

use app_spec::{RepositoryKey, Source};

use crate::deployment::Stage;
use crate::ids::ComponentName;
use crate::queue::Build;

/// What a host of repositories reports about a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The addresses of the repository.
    pub repositories: BTreeSet<RepositoryKey>,
    /// The branch that a clone checks out, if the host names it.
    pub default_branch: Option<String>,
    /// What changed.
    pub changes: Vec<RefChange>,
}

/// One change of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefChange {
    /// A branch points to another commit.
    Branch {
        /// Its name, such as `main`.
        name: String,
        /// The id of the commit.
        commit: String,
    },
    /// A branch was deleted.
    BranchDeleted(String),
    /// A tag was created, moved or deleted.
    Tag(String),
}

/// What a push has to do with a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relevance {
    /// The branch of the component may have this commit now.
    Look {
        /// The id that the push names.
        commit: String,
    },
    /// The push was to another repository, or the component has none.
    OtherRepository,
    /// The component's source has no `deploy_on_push`.
    NotOnPush,
    /// The push was to other branches than the component's. `None`: the component deploys the default branch.
    OtherBranch(Option<String>),
    /// The push deleted the component's branch.
    Deleted(String),
}

impl Push {
    /// What the push has to do with a component that has this source. If the component deploys the default branch and the
    /// host does not say which branch that is, every branch is a reason to look.
    pub fn relevance(&self, source: &Source) -> Relevance {
        let Some((address, branch)) = source.repository() else { return Relevance::OtherRepository };
        if !RepositoryKey::of(&address).is_some_and(|key| self.repositories.contains(&key)) {
            return Relevance::OtherRepository;
        }
        if !source.deploys_on_push() {
            return Relevance::NotOnPush;
        }
        let branch = branch.or(self.default_branch.as_deref());
        let is_branch = |name: &str| branch.is_none_or(|it| it == name);
        let other = Relevance::OtherBranch(branch.map(str::to_owned));
        self.changes.iter().fold(other, |found, change| match change {
            RefChange::Branch { name, commit } if is_branch(name) => Relevance::Look { commit: commit.clone() },
            RefChange::BranchDeleted(name) if is_branch(name) && !matches!(found, Relevance::Look { .. }) => {
                Relevance::Deleted(name.clone())
            }
            _ => found,
        })
    }
}

/// A deployment of the app, as far as pushes are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviousDeployment {
    /// 1, 2, 3 … within the app.
    pub number: u64,
    /// Where it stands.
    pub stage: Stage,
    /// A person asked to cancel it.
    pub cancel_requested: bool,
    /// How much it fetches.
    pub build: Build,
    /// The commit of each component, or the digest of its prebuilt image, as far as it is known.
    pub versions: BTreeMap<ComponentName, String>,
}

/// Why an app is not even looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The app is pinned to the deployment with this number.
    Pinned(u64),
    /// The deployment with this number waits. When it begins, it takes the newest sources.
    Waits(u64),
}

/// What is known about the newest version of a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The deployment with this number has it.
    Known {
        /// The number.
        deployment: u64,
        /// That deployment failed or was canceled. It is not repeated for the same version.
        failed: bool,
    },
    /// No deployment has it. If its content is that of one of these versions, nothing has changed for the component.
    New {
        /// Numbers of deployments, with the component's version.
        compare_with: Vec<(u64, String)>,
    },
}

/// What was found out about a component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A deployment has the newest version.
    Known {
        /// Its number.
        deployment: u64,
        /// It failed or was canceled.
        failed: bool,
    },
    /// The newest version has the same content below the component's source directory as this deployment.
    SameContent {
        /// Its number.
        deployment: u64,
    },
    /// The newest version has to be deployed.
    New,
}

/// Why the app is not looked at now. `pinned`: the deployment that it is pinned to. `previous`: its newest deployments.
pub fn obstacle(pinned: Option<u64>, previous: &[PreviousDeployment]) -> Option<Obstacle> {
    let waits = |it: &&PreviousDeployment| it.stage == Stage::Pending && !it.cancel_requested && takes_newest(it.build);
    let waiting = || previous.iter().find(waits).map(|it| Obstacle::Waits(it.number));
    pinned.map(Obstacle::Pinned).or_else(waiting)
}

/// Compares the newest version of a component with the versions of the newest deployments.
///
/// Two deployments count: the newest one that says what should serve, which may be a rollback or keep an older version, and
/// the newest one that took the newest sources. The second one is the reason why a version that failed, or that a person
/// rolled back, is not deployed again until the source changes. Restarts copy what serves and do not count.
pub fn compare(component: &ComponentName, newest: &str, previous: &[PreviousDeployment]) -> Comparison {
    let mut previous: Vec<_> = previous.iter().filter(|it| it.build != Build::Frozen).collect();
    previous.sort_by_key(|it| std::cmp::Reverse(it.number));
    let with_version = |it: &&PreviousDeployment| Some((it.number, it.stage, it.versions.get(component)?.clone()));
    let serving = previous.iter().find_map(with_version);
    let followed = previous.iter().filter(|it| takes_newest(it.build)).find_map(with_version);
    let mut known: Vec<_> = serving.into_iter().chain(followed).collect();
    known.dedup();
    match known.iter().find(|(.., version)| version == newest) {
        Some((number, stage, _)) => Comparison::Known {
            deployment: *number,
            failed: matches!(stage, Stage::Failed | Stage::Canceled | Stage::RollingBack),
        },
        None => {
            Comparison::New { compare_with: known.into_iter().map(|(number, _, version)| (number, version)).collect() }
        }
    }
}

/// The components for which the app has to be deployed.
pub fn to_deploy(findings: &[(ComponentName, Finding)]) -> Vec<&ComponentName> {
    findings.iter().filter(|(_, finding)| *finding == Finding::New).map(|(name, _)| name).collect()
}

/// Whether a deployment takes the newest version of every source.
fn takes_newest(build: Build) -> bool {
    matches!(build, Build::Reuse | Build::Force | Build::ForceWithoutCache)
}

#[cfg(test)]
mod tests {
    use app_spec::{GitSource, HostedSource, ImageSource};

    use super::*;

    fn git(address: &str, branch: Option<&str>, deploy_on_push: bool) -> Source {
        Source::Git(GitSource { repo_clone_url: address.into(), branch: branch.map(str::to_owned), deploy_on_push })
    }

    fn push(addresses: &[&str], default_branch: Option<&str>, changes: &[RefChange]) -> Push {
        Push {
            repositories: addresses.iter().filter_map(|it| RepositoryKey::of(it)).collect(),
            default_branch: default_branch.map(str::to_owned),
            changes: changes.to_vec(),
        }
    }

    fn moved(name: &str, commit: &str) -> RefChange {
        RefChange::Branch { name: name.into(), commit: commit.into() }
    }

    /// Name, changes, default branch, source, and what the push has to do with it.
    type PushCase<'a> = (&'a str, &'a [RefChange], Option<&'a str>, Source, Relevance);

    #[test]
    fn a_push_concerns_the_components_of_its_repository_and_branch() {
        use Relevance::*;
        const SHOP: &str = "https://git.example.com/acme/shop.git";
        let look = |commit: &str| Look { commit: commit.into() };
        let other = |branch: Option<&str>| OtherBranch(branch.map(str::to_owned));
        let main = [moved("main", "a1")];
        let (tag, gone) = ([RefChange::Tag("main".into())], [RefChange::BranchDeleted("main".into())]);
        let twice = [moved("main", "a1"), moved("dev", "b2"), RefChange::BranchDeleted("main".into())];
        let cases: [PushCase<'_>; 13] = [
            ("its branch", &main, None, git(SHOP, Some("main"), true), look("a1")),
            ("over ssh", &main, None, git("git@git.example.com:acme/shop.git", Some("main"), true), look("a1")),
            ("another branch", &main, None, git(SHOP, Some("dev"), true), other(Some("dev"))),
            ("the start of a name", &main, None, git(SHOP, Some("mai"), true), other(Some("mai"))),
            ("the default branch", &main, Some("main"), git(SHOP, None, true), look("a1")),
            ("not the default branch", &main, Some("trunk"), git(SHOP, None, true), other(Some("trunk"))),
            ("an unknown default branch", &main, None, git(SHOP, None, true), look("a1")),
            ("not on push", &main, None, git(SHOP, Some("main"), false), NotOnPush),
            ("another repository", &main, None, git("https://git.example.com/acme/blog", None, true), OtherRepository),
            ("a tag of that name", &tag, None, git(SHOP, Some("main"), true), other(Some("main"))),
            ("deleted", &gone, None, git(SHOP, Some("main"), true), Deleted("main".into())),
            ("several changes", &twice, None, git(SHOP, Some("main"), true), look("a1")),
            ("a prebuilt image", &main, None, Source::Image(ImageSource::default()), OtherRepository),
        ];
        for (name, changes, default, source, expected) in cases {
            let push = push(&[SHOP, "https://git.example.com/acme/shop"], default, changes);
            assert_eq!(push.relevance(&source), expected, "{name}");
        }
        let hosted = HostedSource { repo: "Acme/shop".into(), branch: Some("main".into()), deploy_on_push: true };
        let push = push(&["https://github.com/acme/shop"], None, &main);
        assert_eq!(push.relevance(&Source::Github(hosted.clone())), look("a1"));
        assert_eq!(push.relevance(&Source::Gitlab(hosted)), OtherRepository);
    }

    fn past(number: u64, stage: Stage, build: Build, version: &str) -> PreviousDeployment {
        let versions = [("web".into(), version.to_owned())].into_iter().filter(|(_, version)| !version.is_empty());
        PreviousDeployment { number, stage, cancel_requested: false, build, versions: versions.collect() }
    }

    /// Name, number of the pinned deployment, deployments, and the obstacle.
    type ObstacleCase<'a> = (&'a str, Option<u64>, Vec<PreviousDeployment>, Option<Obstacle>);

    #[test]
    fn a_pinned_app_and_one_whose_next_deployment_takes_the_newest_sources_are_not_looked_at() {
        use Build::*;
        let cases: [ObstacleCase<'_>; 7] = [
            ("free", None, vec![past(1, Stage::Active, Reuse, "a")], None),
            ("pinned", Some(1), vec![past(2, Stage::Active, Recorded, "a")], Some(Obstacle::Pinned(1))),
            ("waits", None, vec![past(2, Stage::Pending, Reuse, "")], Some(Obstacle::Waits(2))),
            ("waits for a rebuild", None, vec![past(2, Stage::Pending, Force, "")], Some(Obstacle::Waits(2))),
            ("keeps its sources", None, vec![past(2, Stage::Pending, KeepSources, "")], None),
            ("has fetched already", None, vec![past(2, Stage::Building, Reuse, "a")], None),
            (
                "will be canceled",
                None,
                vec![PreviousDeployment { cancel_requested: true, ..past(2, Stage::Pending, Reuse, "") }],
                None,
            ),
        ];
        for (name, pinned, deployments, expected) in cases {
            assert_eq!(obstacle(pinned, &deployments), expected, "{name}");
        }
    }

    #[test]
    fn a_version_is_deployed_once() {
        use Build::*;
        use Stage::*;
        let known = |deployment, failed| Comparison::Known { deployment, failed };
        let new = |with: &[(u64, &str)]| Comparison::New {
            compare_with: with.iter().map(|(number, version)| (*number, (*version).to_owned())).collect(),
        };
        let cases: [(&str, &[PreviousDeployment], &str, Comparison); 15] = [
            ("no deployment", &[], "b", new(&[])),
            ("serves", &[past(1, Active, Reuse, "a")], "a", known(1, false)),
            ("pushed", &[past(1, Active, Reuse, "a")], "b", new(&[(1, "a")])),
            ("is built", &[past(2, Building, Reuse, "b"), past(1, Active, Reuse, "a")], "b", known(2, false)),
            ("pushed meanwhile", &[past(2, Building, Reuse, "b"), past(1, Active, Reuse, "a")], "c", new(&[(2, "b")])),
            ("not fetched yet", &[past(2, Building, Reuse, ""), past(1, Active, Reuse, "a")], "b", new(&[(1, "a")])),
            ("failed", &[past(2, Failed, Reuse, "b"), past(1, Active, Reuse, "a")], "b", known(2, true)),
            ("canceled", &[past(2, Canceled, Reuse, "b"), past(1, Active, Reuse, "a")], "b", known(2, true)),
            (
                "failed, then an update kept what serves",
                &[past(3, Active, KeepSources, "a"), past(2, Failed, Reuse, "b"), past(1, Superseded, Reuse, "a")],
                "b",
                known(2, true),
            ),
            (
                "pushed after the failure",
                &[past(2, Failed, Reuse, "b"), past(1, Active, Reuse, "a")],
                "c",
                new(&[(2, "b")]),
            ),
            (
                "rolled back, and the rollback was kept",
                &[past(3, Active, Recorded, "a"), past(2, Superseded, Reuse, "b")],
                "b",
                known(2, false),
            ),
            (
                "the branch was reset to what the rollback serves",
                &[past(3, Active, Recorded, "a"), past(2, Superseded, Reuse, "b")],
                "a",
                known(3, false),
            ),
            (
                "pushed after the rollback",
                &[past(3, Active, Recorded, "a"), past(2, Superseded, Reuse, "b")],
                "c",
                new(&[(3, "a"), (2, "b")]),
            ),
            (
                "the branch was reset to an older commit",
                &[past(2, Active, Reuse, "b"), past(1, Superseded, Reuse, "a")],
                "a",
                new(&[(2, "b")]),
            ),
            (
                "a restart has no say",
                &[past(2, Active, Frozen, "x"), past(1, Superseded, Reuse, "a")],
                "a",
                known(1, false),
            ),
        ];
        for (name, deployments, newest, expected) in cases {
            let mut shuffled = deployments.to_vec();
            shuffled.reverse();
            for past in [deployments, &shuffled] {
                assert_eq!(compare(&"web".into(), newest, past), expected, "{name}");
            }
        }
        let other = [past(1, Active, Reuse, "a")];
        assert_eq!(compare(&"api".into(), "a", &other), new(&[]), "of another component");
    }

    #[test]
    fn an_app_is_deployed_if_one_component_changed() {
        let finding = |name: &str, finding| (ComponentName::from(name), finding);
        let same = Finding::SameContent { deployment: 1 };
        let known = Finding::Known { deployment: 1, failed: false };
        assert_eq!(to_deploy(&[finding("web", same.clone()), finding("api", known)]), [] as [&ComponentName; 0]);
        let mixed = [finding("web", same), finding("api", Finding::New)];
        assert_eq!(to_deploy(&mixed), [&ComponentName::from("api")]);
    }
}
