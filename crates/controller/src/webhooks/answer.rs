//! What a host is answered about a push: which apps will be looked at, or why none.

use std::collections::BTreeSet;

use rollout::ids::{AppId, ComponentName};
use rollout::push::{Push, RefChange, Relevance};
use store::records::DeliveryApp;

/// What a push has to do with one component.
pub(crate) struct Concerned {
    pub app: AppId,
    pub name: String,
    pub component: ComponentName,
    pub relevance: Relevance,
}

/// The apps to look at, and the sentence for the host. `repository`: as the host names it.
pub(crate) fn answer(repository: &str, push: &Push, concerned: &[Concerned]) -> (Vec<DeliveryApp>, String) {
    let mut apps: Vec<DeliveryApp> = Vec::new();
    for it in concerned {
        let Relevance::Look { commit } = &it.relevance else { continue };
        let expected = (it.component.clone(), commit.clone());
        match apps.iter_mut().find(|known| known.id == it.app) {
            Some(known) => known.commits.extend([expected]),
            None => {
                let (id, name, commits) = (it.app.clone(), it.name.clone(), [expected].into());
                apps.push(DeliveryApp { id, name, commits, result: None, deployment: None });
            }
        }
    }
    let pushed = format!("{repository}@{}", refs(push).join(", "));
    if !apps.is_empty() {
        let looks = named(concerned, |it| matches!(it, Relevance::Look { .. }));
        return (apps, format!("looking at {looks} because of the push to {pushed}"));
    }
    let ignored = |why: String| (Vec::new(), format!("ignored: {why}"));
    let is_tag = |it: &RefChange| matches!(it, RefChange::Tag(_));
    let of = |kind: fn(&Relevance) -> bool| Some(named(concerned, kind)).filter(|it| !it.is_empty());
    if let Some(deployed) = of(|it| matches!(it, Relevance::Deleted(_))) {
        return ignored(format!("{pushed} was deleted; what serves of {deployed} goes on serving"));
    }
    if push.changes.iter().all(is_tag) {
        return ignored(format!("{pushed} is not a branch; only pushes to branches are deployed"));
    }
    if let Some(deployed) = of(|it| matches!(it, Relevance::OtherBranch(_))) {
        let branches = concerned.iter().filter_map(|it| match &it.relevance {
            Relevance::OtherBranch(branch) => {
                Some(branch.as_deref().map_or_else(|| "the default branch".into(), super::payload::short))
            }
            _ => None,
        });
        let branches: BTreeSet<_> = branches.collect();
        let branches = branches.into_iter().collect::<Vec<_>>().join(", ");
        return ignored(format!("the push is to {pushed}, and {deployed} deploys {branches}"));
    }
    if let Some(deployed) = of(|it| matches!(it, Relevance::NotOnPush)) {
        return ignored(format!("{deployed} uses {repository} without `deploy_on_push: true` in its source"));
    }
    ignored(format!("no app that this webhook may deploy uses {repository}"))
}

/// The branches and tags that changed.
pub(crate) fn refs(push: &Push) -> Vec<String> {
    let name = |it: &RefChange| match it {
        RefChange::Branch { name, .. } | RefChange::BranchDeleted(name) | RefChange::Tag(name) => {
            super::payload::short(name)
        }
    };
    push.changes.iter().take(10).map(name).collect()
}

/// `shop (web, api), blog (web)`.
fn named(concerned: &[Concerned], kind: fn(&Relevance) -> bool) -> String {
    let mut apps: Vec<(&str, Vec<&str>)> = Vec::new();
    for it in concerned.iter().filter(|it| kind(&it.relevance)) {
        match apps.last_mut().filter(|(name, _)| *name == it.name) {
            Some((_, components)) => components.push(it.component.as_str()),
            None => apps.push((&it.name, vec![it.component.as_str()])),
        }
    }
    let app = |(name, components): (&str, Vec<&str>)| format!("{name} ({})", components.join(", "));
    apps.into_iter().map(app).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concerned(all: &[(&str, &str, Relevance)]) -> Vec<Concerned> {
        let of = |(app, component, relevance): &(&str, &str, Relevance)| Concerned {
            app: (*app).into(),
            name: (*app).to_owned(),
            component: (*component).into(),
            relevance: relevance.clone(),
        };
        all.iter().map(of).collect()
    }

    /// Changes and components, and the apps to look at with the answer.
    type Case<'a> = (&'a [RefChange], &'a [(&'a str, &'a str, Relevance)], &'a [&'a str], &'a str);

    #[test]
    fn the_answer_says_what_is_looked_at_or_why_nothing_is() {
        use Relevance::*;
        let main = [RefChange::Branch { name: "main".into(), commit: "a1".into() }];
        let (tag, gone) = ([RefChange::Tag("v1".into())], [RefChange::BranchDeleted("main".into())]);
        let look = || Look { commit: "a1".into() };
        let other = |branch: &str| OtherBranch(Some(branch.into()));
        let cases: [Case<'_>; 8] = [
            (
                &main,
                &[
                    ("shop", "web", look()),
                    ("shop", "api", look()),
                    ("shop", "mill", other("dev")),
                    ("blog", "web", look()),
                ],
                &["shop", "blog"],
                "looking at shop (web, api), blog (web) because of the push to acme/shop@main",
            ),
            (
                &main,
                &[("shop", "web", other("dev"))],
                &[],
                "ignored: the push is to acme/shop@main, and shop (web) deploys dev",
            ),
            (
                &main,
                &[("shop", "web", OtherBranch(None))],
                &[],
                "ignored: the push is to acme/shop@main, and shop (web) deploys the default branch",
            ),
            (
                &main,
                &[("shop", "web", NotOnPush)],
                &[],
                "ignored: shop (web) uses acme/shop without `deploy_on_push: true` in its source",
            ),
            (
                &main,
                &[("shop", "web", OtherRepository)],
                &[],
                "ignored: no app that this webhook may deploy uses acme/shop",
            ),
            (&main, &[], &[], "ignored: no app that this webhook may deploy uses acme/shop"),
            (
                &tag,
                &[("shop", "web", other("main"))],
                &[],
                "ignored: acme/shop@v1 is not a branch; only pushes to branches are deployed",
            ),
            (
                &gone,
                &[("shop", "web", Deleted("main".into()))],
                &[],
                "ignored: acme/shop@main was deleted; what serves of shop (web) goes on serving",
            ),
        ];
        for (changes, components, apps, expected) in cases {
            let push = Push { repositories: Default::default(), default_branch: None, changes: changes.to_vec() };
            let (found, text) = answer("acme/shop", &push, &concerned(components));
            assert_eq!(text, expected);
            assert_eq!(found.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), apps);
        }
    }

    #[test]
    fn the_commit_of_each_branch_and_no_control_character_of_a_branch_is_kept() {
        let commits = [("web", "a1"), ("api", "b2")];
        let look =
            |(component, commit): (&'static str, &str)| ("shop", component, Relevance::Look { commit: commit.into() });
        let push = Push { repositories: Default::default(), default_branch: None, changes: Vec::new() };
        let (apps, _) = answer("acme/shop", &push, &concerned(&commits.map(look)));
        let expected = commits.map(|(component, commit)| (component.into(), commit.to_owned()));
        assert_eq!(apps[0].commits, expected.into());
        let push = Push {
            changes: vec![
                RefChange::Tag("v\u{202e}1".into()),
                RefChange::Branch { name: "a".into(), commit: "a1".into() },
            ],
            ..push
        };
        let other = ("shop", "web", Relevance::OtherBranch(Some("ma\u{202e}in".into())));
        let (_, text) = answer("acme/shop", &push, &concerned(&[other]));
        assert_eq!(text, "ignored: the push is to acme/shop@v1, a, and shop (web) deploys main");
    }
}
