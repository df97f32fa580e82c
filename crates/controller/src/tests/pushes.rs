//! Webhooks and polling: what is delivered, what is looked at, and what is deployed because of it.

use std::time::Duration;

use app_spec::AppSpec;
use engine_fake::{Behaviour, Verb};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use rollout::deployment::Stage;
use rollout::ids::AppId;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::cluster::{TestCluster, caller, commit, spec};
use super::simulation::simulate;
use crate::Control;
use crate::config::WebhookSettings;
use crate::view::{
    Delivery, DeployOptions, DeploymentView, NewWebhook, RollbackOptions, UpdateOptions, WebhookAnswer, WebhookRequest,
};

const SPEC: &str = "
name: site
services:
- name: web
  git: {repo_clone_url: 'https://git.example.com/acme/site.git', branch: main, deploy_on_push: true}
  dockerfile_path: Dockerfile
  http_port: 8080
  instance_count: 2
workers:
- name: mill
  git: {repo_clone_url: 'https://git.example.com/acme/site.git', branch: main}
  dockerfile_path: Dockerfile
";

const SECRET: &str = "a-secret-that-the-test-chose";
const HOST: &str = "hooks.localhost";

fn read(text: &str) -> AppSpec {
    AppSpec::from_yaml(text).unwrap().spec
}

fn settings() -> Option<WebhookSettings> {
    Some(WebhookSettings { host: HOST.into(), socket: "/data/ingress/hooks.sock".into() })
}

/// A cluster with the webhook `forge`, in which commit 1 of this spec serves.
async fn serving(spec: &str) -> (TestCluster, AppId) {
    let mut cluster = TestCluster::new().await;
    cluster.webhooks = settings();
    cluster.crash().await;
    cluster.open().await;
    let webhook = NewWebhook { name: "forge".into(), app: None, secret: Some(SECRET.into()) };
    cluster.controller().create_webhook(webhook, &caller()).await.unwrap();
    cluster.image_builder.push(&commit('1'));
    let app = cluster.controller().create_app(read(spec), &caller()).await.unwrap().id;
    cluster.settle(&app, Stage::Active).await;
    (cluster, app)
}

/// A push of the repository as GitLab reports it.
fn push(branch: &str, digit: char, repository: &str) -> String {
    let url = format!("https://git.example.com/{repository}");
    json!({
        "object_kind": "push", "ref": format!("refs/heads/{branch}"), "after": commit(digit),
        "project": { "path_with_namespace": repository, "default_branch": "main", "git_http_url": format!("{url}.git"), "web_url": url },
    })
    .to_string()
}

async fn send(cluster: &TestCluster, name: &str, secret: &str, id: &str, body: String) -> WebhookAnswer {
    let headers = [("x-gitlab-event", "Push Hook"), ("x-gitlab-token", secret), ("x-gitlab-event-uuid", id)];
    send_with(cluster, name, &headers, body).await
}

async fn send_with(cluster: &TestCluster, name: &str, headers: &[(&'static str, &str)], body: String) -> WebhookAnswer {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
        .collect();
    let request = WebhookRequest { name: name.into(), headers, body: body.into() };
    cluster.controller().receive_webhook(request).await.unwrap()
}

/// Moves the branch to a commit, and reports it.
async fn pushed(cluster: &TestCluster, digit: char) -> WebhookAnswer {
    cluster.image_builder.push(&commit(digit));
    send(cluster, "forge", SECRET, &format!("delivery-{digit}"), push("main", digit, "acme/site")).await
}

async fn deliveries(cluster: &TestCluster) -> Vec<Delivery> {
    cluster.controller().webhooks().await.unwrap().remove(0).deliveries
}

/// Waits until the newest delivery has a result, and returns it.
async fn result(cluster: &TestCluster) -> String {
    cluster
        .until(async || match deliveries(cluster).await.first().and_then(|it| it.apps.first()?.result.clone()) {
            Some(result) => Ok(result),
            None => Err("no result".to_owned()),
        })
        .await
}

async fn newest(cluster: &TestCluster, app: &AppId) -> (u64, String, char) {
    let it = cluster.newest(app).await;
    let digit = it.images.values().next().and_then(|it| it.commit.as_ref()?.chars().next()).unwrap_or('?');
    (it.number, it.cause, digit)
}

#[test]
fn a_push_deploys_the_newest_commit_and_a_repeated_delivery_does_nothing() {
    simulate(async {
        let (mut cluster, app) = serving(SPEC).await;
        let answer = pushed(&cluster, '2').await;
        assert_eq!(
            answer,
            WebhookAnswer::Accepted("looking at site (web) because of the push to acme/site@main".into())
        );
        assert_eq!(result(&cluster).await, "deployment 2 was started, because web has changed");
        cluster.settle(&app, Stage::Active).await;
        let active = cluster.newest(&app).await;
        assert_eq!(active.cause, "push to acme/site@main (2222222)");
        assert_eq!(active.actor.as_ref().map(|it| it.name.as_str()), Some("webhook forge"));
        assert!(active.images.values().all(|it| it.commit == Some(commit('2'))));
        assert_eq!(deliveries(&cluster).await[0].apps[0].deployment, Some(active.id));

        let repeat = WebhookAnswer::Done("already received: delivery-2".into());
        assert_eq!(pushed(&cluster, '2').await, repeat);
        cluster.crash().await;
        cluster.open().await;
        assert_eq!(pushed(&cluster, '2').await, repeat, "the next process knows it, too");
        // With another id the delivery is only a reason to look.
        send(&cluster, "forge", SECRET, "replayed", push("main", '2', "acme/site")).await;
        assert_eq!(result(&cluster).await, "nothing was deployed: web has 2222222 since deployment 2");
        assert_eq!(newest(&cluster, &app).await.0, 2);
    });
}

#[test]
fn a_stranger_is_refused_whether_the_webhook_exists_or_not() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        cluster.image_builder.push(&commit('2'));
        for (name, secret) in [("forge", "another-secret"), ("unknown", SECRET), ("", SECRET)] {
            let answer = send(&cluster, name, secret, "1", push("main", '2', "acme/site")).await;
            assert_eq!(answer, WebhookAnswer::Refused);
            // Nothing of it is parsed.
            assert_eq!(send(&cluster, name, secret, "1", "{".into()).await, WebhookAnswer::Refused);
        }
        let view = cluster.controller().webhooks().await.unwrap().remove(0);
        assert_eq!((view.refused, view.deliveries), (2, Vec::new()));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(newest(&cluster, &app).await.0, 1);
        let unreadable = send(&cluster, "forge", SECRET, "1", "{".into()).await;
        assert!(matches!(unreadable, WebhookAnswer::Unreadable(_)), "{unreadable:?}");
    });
}

#[test]
fn pushes_to_other_repositories_and_branches_deploy_nothing() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        cluster.image_builder.push(&commit('2'));
        for (branch, repository, words) in [
            ("dev", "acme/site", "ignored: the push is to acme/site@dev, and site (web) deploys main"),
            ("main", "acme/blog", "ignored: no app that this webhook may deploy uses acme/blog"),
        ] {
            let answer = send(&cluster, "forge", SECRET, words, push(branch, '2', repository)).await;
            assert_eq!(answer, WebhookAnswer::Done(words.into()));
            assert_eq!(deliveries(&cluster).await[0].answer, words);
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!(newest(&cluster, &app).await.0, 1);
    });
}

#[test]
fn a_webhook_for_one_app_deploys_no_other() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        let blog = SPEC.replace("name: site", "name: blog");
        let blog = cluster.controller().create_app(read(&blog), &caller()).await.unwrap().id;
        cluster.reach(&cluster.newest(&blog).await.id, Stage::Active).await;
        let wanted = NewWebhook { name: "blog".into(), app: Some("blog".into()), secret: None };
        let created = cluster.controller().create_webhook(wanted, &caller()).await.unwrap();
        assert_eq!(created.view.address.as_deref(), Some("http://hooks.localhost:8080/blog"));
        cluster.image_builder.push(&commit('2'));
        let answer = send(&cluster, "blog", &created.secret, "1", push("main", '2', "acme/site")).await;
        assert_eq!(
            answer,
            WebhookAnswer::Accepted("looking at blog (web) because of the push to acme/site@main".into())
        );
        cluster.until(async || if newest(&cluster, &blog).await.0 == 2 { Ok(()) } else { Err("waits".into()) }).await;
        cluster.reach(&cluster.newest(&blog).await.id, Stage::Active).await;
        assert_eq!(newest(&cluster, &app).await.0, 1);
    });
}

#[test]
fn a_push_to_another_directory_of_the_repository_deploys_nothing() {
    simulate(async {
        let spec = SPEC.replacen("dockerfile_path: Dockerfile", "source_dir: same\n  dockerfile_path: Dockerfile", 1);
        let (cluster, app) = serving(&spec).await;
        pushed(&cluster, '2').await;
        let expected = "nothing was deployed: what web is built from is the same at 2222222 as in deployment 1";
        assert_eq!(result(&cluster).await, expected);
        assert_eq!(newest(&cluster, &app).await.0, 1);
    });
}

#[test]
fn many_pushes_become_one_deployment_of_the_newest_commit() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        cluster.image_builder.hold(true);
        pushed(&cluster, '2').await;
        result(&cluster).await;
        let second = cluster.newest(&app).await.id;
        cluster.reach(&second, Stage::Building).await;
        cluster
            .until(async || {
                let commits = cluster.deployment(&second).await.commits.len();
                if commits == 2 { Ok(()) } else { Err(format!("{commits} commits are known")) }
            })
            .await;
        for digit in ['3', '4', '5', '6'] {
            pushed(&cluster, digit).await;
            result(&cluster).await;
        }
        let waits = "nothing was deployed: deployment 3 waits already, and will take the newest sources";
        assert_eq!(result(&cluster).await, waits);
        cluster.image_builder.hold(false);
        cluster
            .until(async || match newest(&cluster, &app).await {
                (3, _, '6') => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(newest(&cluster, &app).await.1, "push to acme/site@main (3333333)");
    });
}

#[test]
fn a_request_that_absorbs_a_waiting_push_remembers_what_the_push_found() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        cluster.image_builder.hold(true);
        pushed(&cluster, '2').await;
        result(&cluster).await;
        cluster.reach(&cluster.newest(&app).await.id, Stage::Building).await;
        cluster
            .until(async || match cluster.newest(&app).await.commits.len() {
                2 => Ok(()),
                other => Err(format!("{other} commits are known")),
            })
            .await;
        pushed(&cluster, '3').await;
        result(&cluster).await;
        let waiting = cluster.newest(&app).await;
        assert_eq!((waiting.number, waiting.found_versions.get(&"web".into())), (3, Some(&commit('3'))));
        let absorbing = cluster.controller().deploy(&app, DeployOptions::default(), &caller()).await.unwrap().id;
        cluster.reach(&waiting.id, Stage::Superseded).await;
        let absorbing = cluster.deployment(&absorbing).await;
        assert_eq!(absorbing.found_versions, waiting.found_versions);
    });
}

#[test]
fn a_push_that_is_reported_before_the_host_shows_it_is_found_by_the_next_look() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        send(&cluster, "forge", SECRET, "early", push("main", '2', "acme/site")).await;
        sleep(Duration::from_secs(1)).await;
        cluster.image_builder.push(&commit('2'));
        assert_eq!(result(&cluster).await, "deployment 2 was started, because web has changed");
        cluster.settle(&app, Stage::Active).await;
        // A commit that never comes is not waited for.
        send(&cluster, "forge", SECRET, "forged", push("main", '9', "acme/site")).await;
        assert_eq!(result(&cluster).await, "nothing was deployed: web has 2222222 since deployment 2");
    });
}

#[test]
fn a_push_to_two_branches_is_deployed_when_the_host_shows_both_commits() {
    simulate(async {
        let spec = SPEC.replace("branch: main}", "branch: stable, deploy_on_push: true}");
        let (cluster, app) = serving(&spec).await;
        let branch = |name: &str, digit: char| json!({ "new": { "type": "branch", "name": name, "target": { "hash": commit(digit) } } });
        let body = json!({
            "push": { "changes": [branch("main", '2'), branch("stable", '3')] },
            "repository": { "full_name": "acme/site", "links": { "html": { "href": "https://git.example.com/acme/site" } } },
        });
        cluster.image_builder.push_branch("main", &commit('2'));
        let headers = [("x-event-key", "repo:push"), ("x-gitlab-token", SECRET), ("x-request-uuid", "both")];
        send_with(&cluster, "forge", &headers, body.to_string()).await;
        sleep(Duration::from_secs(1)).await;
        cluster.image_builder.push_branch("stable", &commit('3'));
        assert_eq!(result(&cluster).await, "deployment 2 was started, because web, mill has changed");
        cluster.settle(&app, Stage::Active).await;
        // If one of the commits never comes, the other is deployed.
        let body = body.to_string().replace(&commit('2'), &commit('4')).replace(&commit('3'), &commit('9'));
        cluster.image_builder.push_branch("main", &commit('4'));
        let headers = [headers[0], headers[1], ("x-request-uuid", "one")];
        send_with(&cluster, "forge", &headers, body).await;
        assert_eq!(result(&cluster).await, "deployment 3 was started, because web has changed");
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_host_that_does_not_answer_delays_only_the_apps_that_use_it() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        for number in 1..=6 {
            let spec = SPEC
                .replace("name: site", &format!("name: app-{number}"))
                .replace("git.example.com", "hanging.example.com");
            let hanging = cluster.controller().create_app(read(&spec), &caller()).await.unwrap().id;
            cluster.reach(&cluster.newest(&hanging).await.id, Stage::Active).await;
        }
        let hanging = push("main", '2', "acme/site").replace("git.example.com", "hanging.example.com");
        send(&cluster, "forge", SECRET, "hanging", hanging).await;
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        pushed(&cluster, '2').await;
        assert_eq!(result(&cluster).await, "deployment 2 was started, because web has changed");
        assert!(began.elapsed() < Duration::from_secs(60), "before the look-ups at the other host time out");
        cluster.reach(&cluster.newest(&app).await.id, Stage::Active).await;
    });
}

#[test]
fn a_source_that_cannot_be_looked_up_is_looked_up_again_for_some_minutes() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        cluster.image_builder.fail_heads(5);
        pushed(&cluster, '2').await;
        assert_eq!(result(&cluster).await, "deployment 2 was started, because web has changed");
        cluster.settle(&app, Stage::Active).await;
        cluster.image_builder.fail_heads(100);
        pushed(&cluster, '3').await;
        let failed = result(&cluster).await;
        assert!(failed.starts_with("failed: ") && failed.contains("the server refuses connections"), "{failed}");
        assert_eq!(newest(&cluster, &app).await.0, 2);
    });
}

#[test]
fn a_delivery_that_a_killed_process_had_accepted_is_carried_out_by_the_next() {
    simulate(async {
        let (mut cluster, app) = serving(SPEC).await;
        cluster.image_builder.become_unreachable();
        pushed(&cluster, '2').await;
        sleep(Duration::from_secs(1)).await;
        cluster.crash().await;
        cluster.image_builder.become_reachable();
        cluster.open().await;
        assert_eq!(result(&cluster).await, "deployment 2 was started, because web has changed");
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_commit_that_failed_is_tried_again_only_when_the_branch_changes() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        cluster.image_builder.vanish(&commit('2'));
        pushed(&cluster, '2').await;
        result(&cluster).await;
        cluster.settle(&app, Stage::Failed).await;
        send(&cluster, "forge", SECRET, "again", push("main", '2', "acme/site")).await;
        let tried = "nothing was deployed: deployment 2 tried 2222222 of web and did not succeed; push again, or run: boatyard \
                     apps create-deployment site";
        assert_eq!(result(&cluster).await, tried);
        // An update keeps what serves, and the commit still counts as tried.
        let text = SPEC.replace("http_port: 8080", "http_port: 8080\n  envs: [{key: A, value: b, scope: RUN_TIME}]");
        cluster.controller().update_app(&app, read(&text), UpdateOptions::default(), &caller()).await.unwrap();
        cluster.settle(&app, Stage::Active).await;
        send(&cluster, "forge", SECRET, "once more", push("main", '2', "acme/site")).await;
        assert_eq!(result(&cluster).await, tried);
        pushed(&cluster, '3').await;
        assert_eq!(result(&cluster).await, "deployment 4 was started, because web has changed");
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn an_app_that_was_rolled_back_is_deployed_again_only_after_a_commit_of_the_rollback_and_a_new_push() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        let first = cluster.newest(&app).await.id;
        pushed(&cluster, '2').await;
        result(&cluster).await;
        cluster.settle(&app, Stage::Active).await;
        let controller = cluster.controller();
        let rolled: DeploymentView =
            controller.roll_back(&app, &first, RollbackOptions::default(), &caller()).await.unwrap();
        cluster.reach(&rolled.id, Stage::Active).await;
        pushed(&cluster, '3').await;
        let pinned = result(&cluster).await;
        assert!(pinned.starts_with("nothing was deployed: app site is pinned to deployment 3"), "{pinned}");
        controller.commit_rollback(&app).await.unwrap();
        cluster.image_builder.push(&commit('2'));
        send(&cluster, "forge", SECRET, "the bad one", push("main", '2', "acme/site")).await;
        assert_eq!(result(&cluster).await, "nothing was deployed: web has 2222222 since deployment 2");
        pushed(&cluster, '4').await;
        assert_eq!(result(&cluster).await, "deployment 4 was started, because web has changed");
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn polling_finds_a_new_commit_and_does_not_repeat_a_failed_one() {
    simulate(async {
        let (mut cluster, app) = serving(SPEC).await;
        cluster.poll = Some(Duration::from_secs(60));
        cluster.crash().await;
        cluster.open().await;
        cluster.image_builder.push(&commit('2'));
        cluster
            .until(async || match newest(&cluster, &app).await {
                (2, cause, _) if cause == "new source of web (2222222)" => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        cluster.settle(&app, Stage::Active).await;
        cluster.image_builder.vanish(&commit('3'));
        cluster.image_builder.push(&commit('3'));
        cluster.until(async || if newest(&cluster, &app).await.0 == 3 { Ok(()) } else { Err("waits".into()) }).await;
        cluster.settle(&app, Stage::Failed).await;
        let looks = cluster.image_builder.looked_up();
        sleep(Duration::from_secs(600)).await;
        let looks = cluster.image_builder.looked_up() - looks;
        assert!((8..=12).contains(&looks), "{looks} in ten minutes");
        assert_eq!(newest(&cluster, &app).await.0, 3);
    });
}

#[test]
fn what_was_pushed_while_no_controller_ran_is_deployed_when_one_starts() {
    simulate(async {
        let (mut cluster, app) = serving(SPEC).await;
        cluster.crash().await;
        cluster.image_builder.push(&commit('2'));
        cluster.open().await;
        cluster.settle(&app, Stage::Active).await;
        let found = async || match newest(&cluster, &app).await {
            (2, cause, '2') if cause == "new source of web (2222222)" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        cluster.until(found).await;
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_delivery_for_a_deleted_app_is_not_tried_again() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        cluster.image_builder.become_unreachable();
        pushed(&cluster, '2').await;
        cluster.controller().delete_app(&app).await.unwrap();
        assert_eq!(result(&cluster).await, "nothing was deployed: the app does not exist any more");
    });
}

#[test]
fn a_webhook_for_a_deleted_app_is_listed_as_such() {
    simulate(async {
        let (cluster, app) = serving(SPEC).await;
        let wanted = NewWebhook { name: "only".into(), app: Some("site".into()), secret: None };
        assert!(!cluster.controller().create_webhook(wanted, &caller()).await.unwrap().view.app_deleted);
        cluster.controller().delete_app(&app).await.unwrap();
        let deleted = async || {
            let all = cluster.controller().webhooks().await.unwrap();
            all.into_iter().map(|it| (it.name, it.app_deleted)).collect::<Vec<_>>()
        };
        let expected = [("forge".to_owned(), false), ("only".to_owned(), true)];
        assert_eq!(deleted().await, expected);
        // An app that has the name now is another one.
        cluster.controller().create_app(read(SPEC), &caller()).await.unwrap();
        assert_eq!(deleted().await, expected);
    });
}

/// With a prebuilt image that follows its tag.
const IMAGE: &str = "
name: site
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: test, repository: web, tag: moving, deploy_on_push: {enabled: true}}
  http_port: 8080
  instance_count: 2
workers:
- name: mill
  image: {registry_type: DOCKER_HUB, registry: test, repository: mill, tag: '1'}
";

#[test]
fn polling_deploys_an_image_whose_tag_has_moved_in_the_registry() {
    simulate(async {
        let (cluster, app) = polled(IMAGE).await;
        sleep(Duration::from_secs(300)).await;
        assert_eq!(newest(&cluster, &app).await.0, 1, "the tag has not moved");
        cluster.engine.push_image("test/web:moving", "another build", brisk());
        cluster
            .until(async || match newest(&cluster, &app).await {
                (2, cause, _) if cause.starts_with("new source of web (") => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
        cluster.settle(&app, Stage::Active).await;
        sleep(Duration::from_secs(300)).await;
        assert_eq!(newest(&cluster, &app).await.0, 2);
    });
}

/// A cluster that polls, in which [`IMAGE`] or a similar spec serves.
async fn polled(spec: &str) -> (TestCluster, AppId) {
    let mut cluster = TestCluster::new().await;
    cluster.poll = Some(Duration::from_secs(60));
    cluster.crash().await;
    cluster.open().await;
    cluster.image_builder.push(&commit('1'));
    cluster.engine.add_image("test/web:moving", brisk());
    let app = cluster.controller().create_app(read(spec), &caller()).await.unwrap().id;
    cluster.settle(&app, Stage::Active).await;
    (cluster, app)
}

fn brisk() -> Behaviour {
    Behaviour { ready_after: Duration::from_millis(300), ..Behaviour::default() }
}

/// The registry says which image the tag names, but does not give it. Without a rule, every poll would deploy again.
#[test]
fn an_image_that_cannot_be_pulled_is_deployed_once() {
    simulate(async {
        let (mut cluster, app) = polled(IMAGE).await;
        cluster.engine.limit_pulls(true);
        cluster.engine.push_image("test/web:moving", "another build", brisk());
        sleep(Duration::from_secs(900)).await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(newest(&cluster, &app).await.0, 2);
        cluster.crash().await;
        cluster.open().await;
        sleep(Duration::from_secs(900)).await;
        assert_eq!(newest(&cluster, &app).await.0, 2, "the next process does not repeat it either");
        cluster.engine.limit_pulls(false);
        cluster.engine.push_image("test/web:moving", "a third build", brisk());
        sleep(Duration::from_secs(900)).await;
        cluster.settle(&app, Stage::Active).await;
        assert_eq!(newest(&cluster, &app).await.0, 3);
    });
}

#[test]
fn a_registry_that_does_not_answer_does_not_delay_a_new_commit() {
    simulate(async {
        let worker = "name: mill\n  git: {repo_clone_url: 'https://git.example.com/acme/site.git', branch: main, \
                      deploy_on_push: true}\n  dockerfile_path: Dockerfile\n";
        let (image, _) = IMAGE.split_once("name: mill").unwrap();
        let (cluster, app) = polled(&format!("{image}{worker}")).await;
        for nth in 1..=3 {
            cluster.engine.hang(Verb::RegistryDigest, nth);
        }
        cluster.image_builder.push(&commit('2'));
        let found = async || match newest(&cluster, &app).await {
            (2, cause, _) if cause == "new source of mill (2222222)" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        cluster.until(found).await;
        cluster.settle(&app, Stage::Active).await;
    });
}

#[test]
fn a_deployment_notes_that_deploy_on_push_has_no_effect_without_webhooks_and_polling() {
    simulate(async {
        let (mut cluster, app) = serving(SPEC).await;
        assert_eq!(cluster.newest(&app).await.record.notes, Vec::<String>::new());
        cluster.webhooks = None;
        cluster.crash().await;
        cluster.open().await;
        let other = read(&SPEC.replace("name: site", "name: other"));
        let app = cluster.controller().create_app(other, &caller()).await.unwrap().id;
        let notes = cluster.reach(&cluster.newest(&app).await.id, Stage::Active).await.record.notes;
        assert!(notes.len() == 1 && notes[0].starts_with("deploy_on_push of web has no effect"), "{notes:?}");
    });
}

#[test]
fn no_app_and_the_webhooks_share_a_host_name() {
    simulate(async {
        let (mut cluster, _) = serving(SPEC).await;
        let named = |name: &str| read(&SPEC.replace("name: site", &format!("name: {name}")));
        let refused = cluster.controller().create_app(named("hooks"), &caller()).await.map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("hooks.localhost, which serve uses for webhooks"), "{refused}");
        cluster.webhooks = Some(WebhookSettings { host: "site.localhost".into(), ..settings().unwrap() });
        cluster.crash().await;
        let error = cluster.try_open().await.map(|_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--webhook-host site.localhost is the host name of app site. Choose another name for webhooks"
        );
    });
}

#[test]
fn webhooks_have_a_name_a_secret_and_an_address() {
    simulate(async {
        let (mut cluster, _) = serving(SPEC).await;
        let add = async |cluster: &TestCluster, name: &str, secret: Option<&str>| {
            let wanted = NewWebhook { name: name.into(), app: None, secret: secret.map(str::to_owned) };
            cluster
                .controller()
                .create_webhook(wanted, &caller())
                .await
                .map(|it| it.secret)
                .map_err(|it| it.to_string())
        };
        assert_eq!(add(&cluster, "generated", None).await.unwrap().len(), 64);
        for (name, secret, words) in [
            ("forge", None, "a webhook named forge exists already"),
            ("a/b", None, "a webhook cannot be named"),
            ("short", Some("0123456789"), "must have 16 to 256 printable ASCII characters"),
            ("blank", Some("0123456789 0123456789"), "must have 16 to 256 printable ASCII characters"),
        ] {
            let error = add(&cluster, name, secret).await.unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        let removed = cluster.controller().delete_webhook("generated", &caller()).await.unwrap();
        assert_eq!(removed.name, "generated");
        assert!(cluster.controller().delete_webhook("generated", &caller()).await.is_err());

        cluster.webhooks = None;
        cluster.crash().await;
        cluster.open().await;
        let error = add(&cluster, "late", None).await.unwrap_err();
        assert!(error.contains("boatyard serve --webhook-host hooks.example.com"), "{error}");
        let kept = cluster.controller().webhooks().await.unwrap();
        assert_eq!(
            kept.iter().map(|it| (it.name.as_str(), it.address.as_deref())).collect::<Vec<_>>(),
            [("forge", None)]
        );
        // The name is that of an app now.
        cluster.controller().create_app(spec("1"), &caller()).await.unwrap();
    });
}
