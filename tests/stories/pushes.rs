//! Pushes: a host of repositories reports a push through the ingress, and the new version serves. Deliveries that are forged,
//! repeated or about something else deploy nothing, and the answer says why.

use std::time::Instant;

use boatyard_tests::http;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use boatyard_tests::load::{self, Load, LoadPlan};
use boatyard_tests::repo::Repo;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::*;

const HOST: &str = "hooks.example.com";

/// A webhook, as the settings of a host know it.
struct Webhook {
    name: &'static str,
    secret: String,
}

/// How a host signs and describes what it delivers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    GitHub,
    GitLab,
    Gitea,
    Bitbucket,
}

async fn with_webhooks() -> Installation {
    Installation::start_with(PROGRAM, &["--webhook-host", HOST]).await.unwrap()
}

async fn add(at: &Installation, name: &'static str) -> Webhook {
    let added = run_cli(at, &["webhooks", "add", name, "--output", "json"]).await;
    assert_eq!(added.code, Some(0), "{}", added.err);
    let added: Value = serde_json::from_str(&added.out).unwrap();
    let address = format!("http://{HOST}:{}/{name}", at.http().port());
    assert_eq!(added[0]["address"], address.as_str());
    Webhook { name, secret: added[0]["secret"].as_str().unwrap().to_owned() }
}

/// A push to a branch of a repository on this machine, in the form of each host. Real hosts name addresses on the network.
fn push(kind: Kind, repo: &str, branch: &str, commit: &str) -> Value {
    let before = "0".repeat(40);
    let reference = format!("refs/heads/{branch}");
    match kind {
        Kind::GitHub | Kind::Gitea => json!({
            "ref": reference, "before": before, "after": commit,
            "repository": {
                "full_name": "acme/shop", "default_branch": "main", "clone_url": repo,
                "ssh_url": "git@git.example.com:acme/shop.git", "html_url": "https://git.example.com/acme/shop",
            },
            "head_commit": { "id": commit, "message": "a change" },
        }),
        Kind::GitLab => json!({
            "object_kind": "push", "ref": reference, "before": before, "after": commit, "checkout_sha": commit,
            "project": {
                "path_with_namespace": "acme/shop", "default_branch": "main", "git_http_url": repo,
                "git_ssh_url": "git@git.example.com:acme/shop.git", "web_url": "https://git.example.com/acme/shop",
            },
        }),
        Kind::Bitbucket => json!({
            "push": { "changes": [{
                "new": { "type": "branch", "name": branch, "target": { "type": "commit", "hash": commit } }, "old": null,
            }] },
            "repository": { "type": "repository", "full_name": "acme/shop", "links": { "html": { "href": repo } } },
        }),
    }
}

/// Delivers a body as this host does, and returns the answer.
async fn deliver(at: &Installation, webhook: &Webhook, kind: Kind, id: &str, body: &Value) -> (u16, String) {
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(webhook.secret.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let digits = hex::encode(mac.finalize().into_bytes());
    let signed = format!("sha256={digits}");
    let headers: Vec<(&str, &str)> = match kind {
        Kind::GitHub => {
            vec![("x-github-event", "push"), ("x-github-delivery", id), ("x-hub-signature-256", &signed)]
        }
        Kind::Gitea => vec![
            ("x-gitea-event", "push"),
            ("x-github-event", "push"),
            ("x-gitea-delivery", id),
            ("x-gitea-signature", &digits),
        ],
        Kind::GitLab => {
            vec![("x-gitlab-event", "Push Hook"), ("x-gitlab-event-uuid", id), ("x-gitlab-token", &webhook.secret)]
        }
        Kind::Bitbucket => vec![("x-event-key", "repo:push"), ("x-request-uuid", id), ("x-hub-signature", &signed)],
    };
    let request = Request::post(format!("/{}", webhook.name)).header("host", HOST);
    let request = request.header("content-type", "application/json");
    let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let (status, answer) = http::send(at.http(), request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
    (status, String::from_utf8_lossy(&answer).trim().to_owned())
}

/// The newest delivery to the webhook, once its result is known.
async fn newest_delivery(at: &Installation, webhook: &Webhook) -> Value {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let all = at.ok("GET", "/v2/boatyard/webhooks", None).await.unwrap();
        let found = all["webhooks"].as_array().unwrap().iter().find(|it| it["name"] == webhook.name).unwrap().clone();
        let newest = &found["deliveries"][0];
        if newest["apps"].as_array().unwrap().iter().all(|it| it["result"].is_string()) {
            return newest.clone();
        }
        assert!(Instant::now() < deadline, "no result: {found:#}\n{}", at.log());
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
}

/// How many deployments the app has.
async fn deployments(at: &Installation, app: &str) -> u64 {
    at.ok("GET", &format!("/v2/apps/{app}/deployments"), None).await.unwrap()["meta"]["total"].as_u64().unwrap()
}

fn spec(repo: &Repo) -> String {
    let source = format!("git: {{repo_clone_url: '{}', branch: main, deploy_on_push: true}}", repo.url());
    format!(
        "
name: shop
services:
- name: web
  {source}
  source_dir: web
  dockerfile_path: web/Dockerfile
  routes: [{{path: /}}]
  envs: [{{key: NAME, value: web, scope: RUN_TIME}}]
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

fn write(repo: &Repo, version: &str) -> String {
    repo.write("web/Dockerfile", &format!("FROM boatyard-local/testapp:1\nENV VERSION={version}\n")).unwrap();
    repo.commit(&format!("version {version}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_each_host_is_served() {
    let at = with_webhooks().await;
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write(&repo, "1");
    at.create(&spec(&repo)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let webhook = add(&at, "forge").await;
    let plan = LoadPlan::new(at.http(), "shop.localhost").with(load::Request::get("/")).connections(4).rate(40.0);
    let load = Load::start(plan);
    for (kind, version) in [(Kind::GitHub, "2"), (Kind::GitLab, "3"), (Kind::Gitea, "4"), (Kind::Bitbucket, "5")] {
        let commit = write(&repo, version);
        let began = Instant::now();
        let mut stages = Vec::new();
        let (status, answer) = deliver(&at, &webhook, kind, &commit, &push(kind, &repo.url(), "main", &commit)).await;
        assert_eq!(
            (status, answer.as_str()),
            (202, "looking at shop (web) because of the push to acme/shop@main"),
            "{kind:?}"
        );
        stages.push(("answered", began.elapsed()));
        let delivery = newest_delivery(&at, &webhook).await;
        stages.push(("looked at", began.elapsed()));
        let deployment = delivery["apps"][0]["deployment_id"].as_str().unwrap_or_else(|| panic!("{delivery:#}"));
        let mut phase = String::new();
        let ended = at
            .follow(&app, deployment, |it| {
                let now = it["phase"].as_str().unwrap_or_default();
                if phase == "BUILDING" && now != "BUILDING" {
                    stages.push(("built", began.elapsed()));
                }
                now.clone_into(&mut phase);
            })
            .await
            .unwrap();
        stages.push(("active", began.elapsed()));
        assert_eq!(ended["phase"], "ACTIVE", "{ended:#}");
        assert_eq!(ended["cause"], format!("push to acme/shop@main ({})", &commit[..7]).as_str());
        assert!(page(&at, "/").await.contains(&format!("web {version}")), "{kind:?}");
        stages.push(("served", began.elapsed()));
        let stages: Vec<_> = stages.iter().map(|(name, at)| format!("{name} after {} ms", at.as_millis())).collect();
        println!("{kind:?}: {}", stages.join(", "));
    }
    let report = load.stop().await;
    assert_eq!(report.failed_count, 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_deliveries_deploy_nothing_and_the_answer_says_why() {
    let mut at = with_webhooks().await;
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write(&repo, "1");
    at.create(&spec(&repo)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let webhook = add(&at, "forge").await;
    let commit = write(&repo, "2");
    let good = push(Kind::GitHub, &repo.url(), "main", &commit);

    // Strangers learn neither which webhooks exist nor whether the body could be read.
    let forger = Webhook { name: "forge", secret: "guessed".into() };
    let lost = Webhook { name: "another", secret: webhook.secret.clone() };
    let mut refused = Vec::new();
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket] {
        refused.push(deliver(&at, &forger, kind, "1", &push(kind, &repo.url(), "main", &commit)).await);
        refused.push(deliver(&at, &lost, kind, "1", &json!({})).await);
    }
    assert!(refused.iter().all(|it| it.0 == 401 && *it == refused[0]), "{refused:?}");

    // Signed deliveries about something else.
    let foreign = json!({
        "ref": "refs/heads/main", "after": commit,
        "repository": { "full_name": "acme/blog", "clone_url": "https://git.example.com/acme/blog.git" },
    });
    let deleted = push(Kind::GitHub, &repo.url(), "main", &"0".repeat(40));
    let mut tag = good.clone();
    tag["ref"] = "refs/tags/v1".into();
    let branch = push(Kind::GitHub, &repo.url(), "dev", &commit);
    for (id, body, words) in [
        ("foreign", foreign, "ignored: no app that this webhook may deploy uses acme/blog"),
        ("branch", branch, "ignored: the push is to acme/shop@dev, and shop (web) deploys main"),
        ("tag", tag, "ignored: acme/shop@v1 is not a branch; only pushes to branches are deployed"),
        ("deleted", deleted, "ignored: acme/shop@main was deleted; what serves of shop (web) goes on serving"),
    ] {
        assert_eq!(deliver(&at, &webhook, Kind::GitHub, id, &body).await, (200, words.to_owned()));
    }
    assert_eq!(deployments(&at, &app).await, 1);

    // A delivery is carried out once, also if serve is killed in between.
    assert_eq!(deliver(&at, &webhook, Kind::GitHub, "push-2", &good).await.0, 202);
    let delivery = newest_delivery(&at, &webhook).await;
    at.wait_active(&app, delivery["apps"][0]["deployment_id"].as_str().unwrap()).await.unwrap();
    let again = (200, "already received: push-2".to_owned());
    assert_eq!(deliver(&at, &webhook, Kind::GitHub, "push-2", &good).await, again);
    at.kill_serve();
    let (status, text) = deliver(&at, &webhook, Kind::GitHub, "lost", &good).await;
    assert!(status == 503 && text.contains("is not running") && !text.contains("omponent"), "{status} {text}");
    at.serve().await.unwrap();
    assert_eq!(deliver(&at, &webhook, Kind::GitHub, "push-2", &good).await, again);
    assert_eq!(deliver(&at, &webhook, Kind::GitHub, "replayed", &good).await.0, 202);
    let replayed = newest_delivery(&at, &webhook).await["apps"][0]["result"].clone();
    assert_eq!(replayed, format!("nothing was deployed: web has {} since deployment 2", &commit[..7]).as_str());

    // A push to another directory of the same repository.
    repo.write("docs/page", "text").unwrap();
    let commit = repo.commit("only a text").unwrap();
    let body = push(Kind::GitHub, &repo.url(), "main", &commit);
    assert_eq!(deliver(&at, &webhook, Kind::GitHub, "docs", &body).await.0, 202);
    let other = newest_delivery(&at, &webhook).await["apps"][0]["result"].clone();
    let same =
        format!("nothing was deployed: what web is built from is the same at {} as in deployment 2", &commit[..7]);
    assert_eq!(other, same.as_str());
    assert_eq!(deployments(&at, &app).await, 2);

    // The list shows all of this, and a removed webhook is unknown.
    let listed = run_cli(&at, &["webhooks", "list"]).await.out;
    for words in ["forge", "already", "the push is to acme/shop@dev", &same] {
        assert_eq!(listed.contains(words), words != "already", "{words}: {listed}");
    }
    assert!(!listed.contains(&webhook.secret) && !at.log().contains(&webhook.secret));
    assert!(at.log().contains("refused a delivery"), "{}", at.log());
    assert_eq!(run_cli(&at, &["webhooks", "remove", "forge"]).await.code, Some(0));
    assert_eq!(deliver(&at, &webhook, Kind::GitHub, "late", &body).await, refused[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_deploys_a_commit_that_nobody_reported() {
    let at = Installation::start_with(PROGRAM, &["--poll", "30s"]).await.unwrap();
    let repo = Repo::init(at.sources().join("shop")).unwrap();
    write(&repo, "1");
    at.create(&spec(&repo)).await.unwrap();
    let app = app_id(&at, "shop").await;
    let commit = write(&repo, "2");
    let deadline = Instant::now() + ENDS_WITHIN;
    while deployments(&at, &app).await < 2 {
        assert!(Instant::now() < deadline, "{}", at.log());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    let newest = at.ok("GET", &format!("/v2/apps/{app}/deployments"), None).await.unwrap()["deployments"][0].clone();
    assert_eq!(newest["cause"], format!("new source of web ({})", &commit[..7]).as_str());
    at.wait_active(&app, newest["id"].as_str().unwrap()).await.unwrap();
    assert!(page(&at, "/").await.contains("web 2"));
    // Without a host name there are no webhooks.
    let refused = run_cli(&at, &["webhooks", "add", "forge"]).await;
    assert!(refused.code == Some(1) && refused.err.contains("--webhook-host"), "{}", refused.err);
}
