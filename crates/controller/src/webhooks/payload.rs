//! Reads what a host of repositories delivers, after its signature was checked.

use std::collections::BTreeSet;

use app_spec::{RepositoryKey, is_deceptive};
use hyper::HeaderMap;
use rollout::push::{Push, RefChange};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Longest text that is kept of a delivery. Our choice.
const MAX_TEXT: usize = 200;
/// Most changes of one push that are read. Our choice: GitHub reports each branch separately.
const MAX_CHANGES: usize = 100;

/// A delivery.
#[derive(Debug, PartialEq)]
pub(crate) struct Report {
    /// The host's software.
    pub host: &'static str,
    /// The event, in the host's words.
    pub event: String,
    /// The id of the delivery. A host that repeats a delivery keeps it. For a host that sends none, a hash of the body.
    pub id: String,
    pub content: Content,
}

/// What happened.
#[derive(Debug, PartialEq)]
pub(crate) enum Content {
    /// The host only tries whether the webhook answers.
    Ping,
    Push {
        /// The repository, as the host names it.
        repository: String,
        push: Push,
    },
    /// Something that concerns no deployment.
    Other,
}

/// How a host reports pushes.
struct Host {
    name: &'static str,
    event: &'static str,
    /// The headers with the id of a delivery, the best one first.
    ids: &'static [&'static str],
    pings: &'static [&'static str],
    pushes: &'static [&'static str],
    read: fn(&Value) -> Option<Content>,
}

/// Forgejo and Gitea also send the headers of GitHub.
const HOSTS: [Host; 5] = [
    Host {
        name: "Forgejo",
        event: "x-forgejo-event",
        ids: &["x-forgejo-delivery", "x-gitea-delivery"],
        pings: &[],
        pushes: &["push"],
        read: of_github,
    },
    Host {
        name: "Gitea",
        event: "x-gitea-event",
        ids: &["x-gitea-delivery"],
        pings: &[],
        pushes: &["push"],
        read: of_github,
    },
    Host {
        name: "GitHub",
        event: "x-github-event",
        ids: &["x-github-delivery"],
        pings: &["ping"],
        pushes: &["push"],
        read: of_github,
    },
    Host {
        name: "GitLab",
        event: "x-gitlab-event",
        // Webhooks that a webhook causes share the second one.
        ids: &["idempotency-key", "x-gitlab-event-uuid"],
        pings: &[],
        pushes: &["Push Hook", "Tag Push Hook", "System Hook"],
        read: of_gitlab,
    },
    Host {
        name: "Bitbucket",
        event: "x-event-key",
        ids: &["x-request-uuid"],
        pings: &["diagnostics:ping"],
        pushes: &["repo:push"],
        read: of_bitbucket,
    },
];

/// Reads a delivery. Errors: a sentence for the people who set up the webhook.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Report, String> {
    let text = |name: &str| headers.get(name).and_then(|it| it.to_str().ok()).filter(|it| !it.is_empty());
    let found = HOSTS.iter().find_map(|host| Some((host, text(host.event)?)));
    let (host, event) = found.ok_or(
        "the request names no event in a header of GitHub, GitLab, Gitea, Forgejo or Bitbucket, so it is not one of their \
         webhooks",
    )?;
    let id = host.ids.iter().find_map(|name| text(name)).filter(|it| it.len() <= MAX_TEXT);
    let id = id.map_or_else(|| format!("sha256:{}", hex::encode(Sha256::digest(body))), str::to_owned);
    let report = |content| Ok(Report { host: host.name, event: short(event), id, content });
    if host.pings.contains(&event) {
        return report(Content::Ping);
    }
    if !host.pushes.contains(&event) {
        return report(Content::Other);
    }
    let json: Value = serde_json::from_slice(body).map_err(|error| {
        format!(
            "the body is not JSON (at byte {}). Set the content type of the webhook to application/json",
            error.column()
        )
    })?;
    let content = (host.read)(&json);
    report(content.ok_or_else(|| format!("the body is not a push as {} reports it", host.name))?)
}

/// GitHub, Gitea and Forgejo.
fn of_github(json: &Value) -> Option<Content> {
    let repository = &json["repository"];
    let addresses = ["clone_url", "ssh_url", "html_url", "git_url"].map(|name| &repository[name]);
    let name = repository["full_name"].as_str()?;
    let change = change(json["ref"].as_str()?, json["after"].as_str()?)?;
    push(name, addresses, &repository["default_branch"], vec![change])
}

fn of_gitlab(json: &Value) -> Option<Content> {
    // System hooks report other things under the same event.
    if !matches!(json["object_kind"].as_str()?, "push" | "tag_push") {
        return Some(Content::Other);
    }
    let project = &json["project"];
    let addresses = ["git_http_url", "git_ssh_url", "web_url", "http_url"].map(|name| &project[name]);
    let name = project["path_with_namespace"].as_str()?;
    let change = change(json["ref"].as_str()?, json["after"].as_str()?)?;
    push(name, addresses, &project["default_branch"], vec![change])
}

/// A push of Bitbucket names no address to clone from, but that of the repository's page, which has the same path.
fn of_bitbucket(json: &Value) -> Option<Content> {
    let repository = &json["repository"];
    let name = repository["full_name"].as_str()?;
    let of_change = |it: &Value| {
        let (ended, is_deleted) = if it["new"].is_object() { (&it["new"], false) } else { (&it["old"], true) };
        let name = ended["name"].as_str()?.to_owned();
        match (ended["type"].as_str()?, is_deleted) {
            ("branch" | "named_branch", true) => Some(RefChange::BranchDeleted(name)),
            ("branch" | "named_branch", false) => {
                Some(RefChange::Branch { name, commit: ended["target"]["hash"].as_str()?.to_owned() })
            }
            _ => Some(RefChange::Tag(name)),
        }
    };
    let changes = json["push"]["changes"].as_array()?.iter().take(MAX_CHANGES).map(of_change);
    push(name, [&repository["links"]["html"]["href"]], &Value::Null, changes.collect::<Option<_>>()?)
}

fn push<const N: usize>(
    name: &str,
    addresses: [&Value; N],
    default_branch: &Value,
    changes: Vec<RefChange>,
) -> Option<Content> {
    let keys = addresses.into_iter().filter_map(|it| RepositoryKey::of(it.as_str()?));
    let repositories: BTreeSet<_> = keys.collect();
    let default_branch = default_branch.as_str().map(str::to_owned);
    let push = Push { repositories, default_branch, changes };
    (!push.repositories.is_empty()).then(|| Content::Push { repository: short(name), push })
}

/// The change of `reference` to the commit `after`, which has only zeros if the reference was deleted.
fn change(reference: &str, after: &str) -> Option<RefChange> {
    if !matches!(after.len(), 40 | 64) || !after.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let is_deleted = after.bytes().all(|it| it == b'0');
    match (reference.strip_prefix("refs/heads/"), is_deleted) {
        (Some(name), true) => Some(RefChange::BranchDeleted(name.to_owned())),
        (Some(name), false) => Some(RefChange::Branch { name: name.to_owned(), commit: after.to_ascii_lowercase() }),
        (None, _) => Some(RefChange::Tag(reference.strip_prefix("refs/tags/").unwrap_or(reference).to_owned())),
    }
}

/// The beginning of a text, without characters that a terminal or page does not show as they are.
pub(super) fn short(text: &str) -> String {
    text.chars().filter(|it| !is_deceptive(*it)).take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hyper::header::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    const COMMIT: &str = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        all.iter().map(header).collect()
    }

    fn github(reference: &str, after: &str) -> Value {
        json!({
            "ref": reference, "before": NONE, "after": after,
            "repository": {
                "full_name": "acme/shop", "default_branch": "main",
                "clone_url": "https://github.com/acme/shop.git", "ssh_url": "git@github.com:acme/shop.git",
                "html_url": "https://github.com/acme/shop",
            },
        })
    }

    fn gitlab(kind: &str, reference: &str, after: &str) -> Value {
        json!({
            "object_kind": kind, "ref": reference, "after": after,
            "project": {
                "path_with_namespace": "group/sub/shop", "default_branch": "main",
                "git_http_url": "https://gitlab.example.com/group/sub/shop.git",
                "git_ssh_url": "git@gitlab.example.com:group/sub/shop.git",
                "web_url": "https://gitlab.example.com/group/sub/shop",
            },
        })
    }

    fn bitbucket(change: Value) -> Value {
        json!({
            "push": { "changes": [change] },
            "repository": { "full_name": "acme/shop", "links": { "html": { "href": "https://bitbucket.org/acme/shop" } } },
        })
    }

    fn content(headers_of: &[(&'static str, &str)], body: &Value) -> Content {
        read(&headers(headers_of), body.to_string().as_bytes()).unwrap().content
    }

    fn pushed(content: Content) -> (String, Vec<String>, Vec<RefChange>) {
        let Content::Push { repository, push } = content else { panic!("{content:?}") };
        (repository, push.repositories.iter().map(ToString::to_string).collect(), push.changes)
    }

    fn moved() -> Vec<RefChange> {
        vec![RefChange::Branch { name: "main".into(), commit: COMMIT.into() }]
    }

    /// Headers and body, and the repository's name and key.
    type Case<'a> = (&'a [(&'static str, &'a str)], Value, &'a str, &'a str);

    #[test]
    fn pushes_of_all_hosts_are_read() {
        let branch = json!({"new": {"type": "branch", "name": "main", "target": {"hash": COMMIT}}, "old": null});
        let cases: [Case<'_>; 5] = [
            (&[("x-github-event", "push")], github("refs/heads/main", COMMIT), "acme/shop", "github.com/acme/shop"),
            (
                &[("x-gitea-event", "push"), ("x-github-event", "push")],
                github("refs/heads/main", COMMIT),
                "acme/shop",
                "github.com/acme/shop",
            ),
            (
                &[("x-gitlab-event", "Push Hook")],
                gitlab("push", "refs/heads/main", COMMIT),
                "group/sub/shop",
                "gitlab.example.com/group/sub/shop",
            ),
            (
                &[("x-gitlab-event", "System Hook")],
                gitlab("push", "refs/heads/main", COMMIT),
                "group/sub/shop",
                "gitlab.example.com/group/sub/shop",
            ),
            (&[("x-event-key", "repo:push")], bitbucket(branch), "acme/shop", "bitbucket.org/acme/shop"),
        ];
        for (headers, body, name, key) in cases {
            let found = pushed(content(headers, &body));
            assert_eq!(found, (name.to_owned(), vec![key.to_owned()], moved()), "{headers:?}");
        }
    }

    #[test]
    fn tags_and_deleted_branches_are_recognized() {
        let (tag, gone) = (vec![RefChange::Tag("v1".into())], vec![RefChange::BranchDeleted("main".into())]);
        let by_github = |reference, after| pushed(content(&[("x-github-event", "push")], &github(reference, after))).2;
        assert_eq!(by_github("refs/tags/v1", COMMIT), tag);
        assert_eq!(by_github("refs/heads/main", NONE), gone);
        let by_gitlab = |event, kind, reference, after| {
            pushed(content(&[("x-gitlab-event", event)], &gitlab(kind, reference, after))).2
        };
        assert_eq!(by_gitlab("Tag Push Hook", "tag_push", "refs/tags/v1", COMMIT), tag);
        assert_eq!(by_gitlab("Push Hook", "push", "refs/heads/main", NONE), gone);
        let by_bitbucket = |change| pushed(content(&[("x-event-key", "repo:push")], &bitbucket(change))).2;
        assert_eq!(by_bitbucket(json!({"new": {"type": "tag", "name": "v1", "target": {"hash": COMMIT}}})), tag);
        assert_eq!(by_bitbucket(json!({"new": null, "old": {"type": "branch", "name": "main"}})), gone);
    }

    #[test]
    fn events_that_concern_no_deployment_are_told_apart_from_pings() {
        let none = json!({});
        assert_eq!(content(&[("x-github-event", "ping")], &none), Content::Ping);
        for headers in [
            [("x-github-event", "issues")],
            [("x-gitea-event", "delete")],
            [("x-gitlab-event", "Note Hook")],
            [("x-event-key", "repo:fork")],
        ] {
            assert_eq!(content(&headers, &none), Content::Other, "{headers:?}");
        }
        let other = json!({"object_kind": "repository_update"});
        assert_eq!(content(&[("x-gitlab-event", "System Hook")], &other), Content::Other);
    }

    #[test]
    fn a_repeated_delivery_has_the_same_id() {
        let id = |headers_of: &[(&'static str, &str)], body: &[u8]| read(&headers(headers_of), body).unwrap().id;
        for (event, name) in [
            ("x-github-event", "x-github-delivery"),
            ("x-gitea-event", "x-gitea-delivery"),
            ("x-gitlab-event", "x-gitlab-event-uuid"),
            ("x-event-key", "x-request-uuid"),
        ] {
            assert_eq!(id(&[(event, "ping"), (name, "42")], b"{}"), "42");
        }
        let both = [("x-gitlab-event", "Note Hook"), ("x-gitlab-event-uuid", "1"), ("idempotency-key", "2")];
        assert_eq!(id(&both, b"{}"), "2");
        let none = [("x-github-event", "ping")];
        assert_eq!(id(&none, b"{}"), id(&none, b"{}"));
        assert_ne!(id(&none, b"{}"), id(&none, b"{ }"));
    }

    #[test]
    fn texts_keep_no_characters_that_hide_or_reorder_others() {
        let mut body = github("refs/heads/main", COMMIT);
        body["repository"]["full_name"] = "acme\u{202e}/\u{1b}[1ms\u{200b}hop\u{2066}".into();
        let (repository, ..) = pushed(content(&[("x-github-event", "push")], &body));
        assert_eq!(repository, "acme/[1mshop");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_the_reason() {
        let push: &[(&'static str, &str)] = &[("x-github-event", "push")];
        let why =
            |headers_of: &[(&'static str, &str)], body: &str| read(&headers(headers_of), body.as_bytes()).unwrap_err();
        assert!(why(&[], "{}").contains("names no event"));
        assert!(why(push, "payload=%7B%7D").contains("application/json"));
        let mut foreign = github("refs/heads/main", COMMIT);
        foreign["repository"] = json!({"full_name": "acme/shop"});
        for body in [json!({}), json!([]), github("refs/heads/main", "main"), github("refs/heads/main", ""), foreign] {
            assert!(why(push, &body.to_string()).contains("not a push as GitHub reports it"), "{body}");
        }
    }
}
