use app_spec::AppSpec;
use chrono::Utc;
use controller::view::{
    AppView, DeploymentView, DomainPhase, DomainView, Image, InstanceView, LastEnd, Page, SiteContent,
};
use controller_fake::{FakeControl, samples};
use present::explain;
use rollout::deployment::{Failure, Stage};
use rollout::instance::InstancePhase;
use rollout::time::Timestamp;
use serde_json::json;

use super::*;
use crate::tests::{HOSTILE, Panel, assert_has, assert_lacks};

fn spec() -> serde_json::Value {
    json!({
        "name": "shop",
        "services": [{ "name": "web", "instance_count": 2, "routes": [{ "path": "/" }] }],
        "workers": [{ "name": "mill" }],
        "jobs": [{ "name": "migrate", "kind": "PRE_DEPLOY" }],
        "databases": [{ "name": "db", "engine": "PG", "version": "16" }],
    })
}

/// An app with these deployments, oldest first, and the samples' instances.
fn facts(deployments: &[DeploymentView]) -> Facts {
    facts_with(deployments, samples::instances(), true)
}

fn facts_with(deployments: &[DeploymentView], instances: Vec<InstanceView>, may_write: bool) -> Facts {
    let deployments: Vec<_> = deployments.iter().map(|it| DeploymentView { spec: spec(), ..it.clone() }).collect();
    let app = AppView { spec: spec(), ready: 2, waiting: Vec::new(), ..samples::app(&deployments) };
    let explained = explain::Facts {
        status: view::app_status(&app, &instances),
        app: view::app(&app),
        recent: deployments.iter().rev().map(|it| view::deployment(it, &it.waiting)).collect(),
    };
    Facts {
        instances,
        usage: samples::usage(),
        traffic: samples::traffic(),
        invocations: samples::job_invocations(),
        explained,
        spec: AppSpec::from_stored(&app.spec).expect("a spec"),
        may_write,
        now: Utc::now(),
        app,
    }
}

fn page_of(facts: &Facts) -> String {
    content(&fragments(facts)).into_string()
}

fn one(stage: Stage) -> DeploymentView {
    samples::deployment(1, stage)
}

#[test]
fn an_app_that_serves_shows_its_components_and_nothing_that_needs_attention() {
    let image = Image { commit: Some("4f1c2ab9".repeat(5)), note: "built from main".into(), ..Image::default() };
    let page = page_of(&facts(&[DeploymentView { images: [("web".into(), image)].into(), ..one(Stage::Active) }]));
    assert_has(&page, &["<h1>shop</h1>", "Active", "http://shop.localhost:8080", "id=\"actions\"", "2 of 2 ready"]);
    assert_has(
        &page,
        &["commit <code", ">4f1c2ab<", "built from main", "1 of 2 ready", "health check: TCP connection"],
    );
    assert_has(&page, &["CPU of web-0 in the last hour: now 12 %, highest 12 %", "highest 25 % of 512 MiB"]);
    assert_has(&page, &["PostgreSQL 16", "/apps/shop/databases/db", "120 requests in the last minute, 4 failed"]);
    assert_has(
        &page,
        &["runs before the first instance is replaced", "succeeded", "/apps/shop/jobs/", "No container exists."],
    );
    assert_lacks(&page, &["Needs attention", "Watch it", "s3cret", "<form", "<input", "csrf"]);
}

#[test]
fn a_static_site_is_shown_with_its_files_and_without_instances() {
    let with_site = |images: Vec<(&str, Image)>| {
        let images = images.into_iter().map(|(name, image)| (name.into(), image)).collect();
        let mut facts = facts_with(&[DeploymentView { images, ..one(Stage::Active) }], Vec::new(), true);
        let site = json!({ "name": "shop", "static_sites": [{ "name": "docs", "routes": [{ "path": "/docs" }] }] });
        facts.spec = AppSpec::from_stored(&site).expect("a spec");
        page_of(&facts)
    };
    let files = Some(SiteContent { id: "1".into(), files: 1200, bytes: 7 });
    let page = with_site(vec![("docs", Image { files, ..Image::default() })]);
    assert_has(&page, &["card-docs", "static site", "serves 1,200 files", "<code>/docs</code>", "Build log"]);
    assert_lacks(&page, &["No container exists.", "docs-restart", "/console?component=docs", "0 of 0 ready"]);
    assert_has(&page, &["href=\"http://shop.localhost:8080\"", "requests in the last minute"]);
    assert_has(&with_site(Vec::new()), &["no files yet"]);
}

#[test]
fn a_new_instance_shows_the_usage_of_the_one_before_it_until_it_is_measured() {
    let new = InstanceView { instance_name: "by-2-shop-web".into(), ..samples::instances().remove(0) };
    let page = page_of(&facts_with(&[one(Stage::Active)], vec![new], true));
    assert_has(
        &page,
        &["CPU of web-0 in the last hour: now not measured yet, highest 12 %", "highest 25 % of 512 MiB"],
    );
}

#[test]
fn each_phase_of_a_first_deployment_is_shown_with_its_live_page() {
    for (stage, phase) in [
        (Stage::Pending, "Waiting to build"),
        (Stage::Building, "Building"),
        (Stage::Built, "Waiting to deploy"),
        (Stage::Rolling, "Deploying"),
        (Stage::RollingBack, "Deploying"),
    ] {
        let page = page_of(&facts(&[one(stage)]));
        assert_has(&page, &[phase, "Watch it", "/apps/shop/deployments/1", "nothing serves", "Deployment 1"]);
    }
    let failed = page_of(&facts(&[one(Stage::Failed)]));
    assert_has(&failed, &["Deployment 1 of shop failed", "Open deployment 1", "nothing serves"]);
    assert_lacks(&failed, &["Watch it"]);
}

#[test]
fn a_failure_is_shown_until_a_newer_deployment_serves() {
    let failure = Failure { component: Some("web".into()), code: "c".into(), message: "web.0 was not ready".into() };
    let broken = DeploymentView {
        failure: Some(failure),
        log_tail: vec!["cannot bind".into()],
        ..samples::deployment(2, Stage::Failed)
    };
    let page = page_of(&facts(&[one(Stage::Active), broken.clone()]));
    assert_has(
        &page,
        &["Deployment 2 of shop failed", "web.0 was not ready", "cannot bind", "/apps/shop/deployments/2"],
    );
    let repaired = page_of(&facts(&[broken, samples::deployment(3, Stage::Active)]));
    assert_lacks(&repaired, &["cannot bind"]);
}

#[test]
fn what_needs_attention_is_in_one_place_and_leads_further() {
    let mut instances = samples::instances();
    let end = |code| Some(LastEnd { at: present::rfc3339(Utc::now()), code: Some(code), out_of_memory: code == 137 });
    (instances[0].restarts, instances[0].last_end) = (3, end(137));
    (instances[1].restarts, instances[1].last_end) = (1, end(1));
    instances.push(InstanceView {
        phase: Some(InstancePhase::Unready),
        instance_alias: "web-1".into(),
        ..instances[0].clone()
    });
    let mut facts = facts_with(&[one(Stage::Active)], instances, true);
    facts.explained.app.boatyard.instances.ready = 1;
    facts.explained.status.waiting = vec!["cannot start web.1: no such image; trying again, 20 s left".into()];
    let page = attention::markup(&facts).into_string();
    assert_has(&page, &["Needs attention", "1 of 2 instances of services and workers serve.", "cannot start web.1"]);
    assert_has(&page, &["web-0 ended by itself and was started again 3 times", "exceeded its memory limit"]);
    assert_has(&page, &["/apps/shop/logs?component=web&amp;type=run_restarted", "docker logs by-1-shop-db"]);
    assert_lacks(&page, &["boatyard apps", "role=\"status\""]);
    assert_has(&page_of(&facts), &["3 (out of memory)", "1 (exit code 1)", "not ready"]);
}

#[test]
fn a_pinned_rollback_has_its_notice_and_buttons_only_for_those_who_may_use_them() {
    for (may_write, has_buttons) in [(true, true), (false, false)] {
        let mut facts = facts_with(&[one(Stage::Active)], samples::instances(), may_write);
        facts.app.pinned = Some(one(Stage::Active));
        let page = page_of(&facts);
        assert_has(&page, &["Pinned to deployment 1"]);
        assert_eq!(page.contains("?action=commit"), has_buttons);
        assert_eq!(page.contains("?action=") || page.contains("/databases/"), has_buttons, "{page}");
    }
}

#[test]
fn a_countdown_changes_one_part_of_the_page() {
    let at = |seconds: u64| {
        let waiting = vec![format!("waiting for web.0: 2 open requests, {seconds} s left")];
        let rolling = DeploymentView { waiting, ..samples::deployment(2, Stage::Rolling) };
        fragments(&facts(&[one(Stage::Active), rolling]))
    };
    let (before, after) = (at(11), at(10));
    let parts = ["heading", "attention", "in-progress", "serves", "requests", "component-0", "component-1", "jobs"];
    let changed: Vec<_> = parts.into_iter().filter(|it| before.get(it).0 != after.get(it).0).collect();
    assert_eq!(changed, ["in-progress"]);
}

#[test]
fn components_that_leave_the_spec_are_shown_until_their_instances_are_gone_and_their_place_stays() {
    let old = InstanceView { component_name: "old".into(), ..samples::instances().remove(0) };
    let shown = fragments(&facts_with(&[one(Stage::Active)], vec![old], true));
    assert_has(shown.get("component-3").0, &["old", "No longer in the spec"]);
    let gone = fragments(&facts_with(&[one(Stage::Active)], vec![], true));
    assert_eq!(gone.get("component-3").0, "<div id=\"component-3\" hidden></div>");
    assert!(content(&gone).into_string().contains("id=\"component-15\""), "components that are added have a place");
}

#[test]
fn all_texts_are_shown_as_text_and_no_part_contains_a_form() {
    let page = |text: &str| {
        let image = Image { reference: text.into(), note: text.into(), commit: Some(text.into()), ..Image::default() };
        let images = [("web".into(), image)].into();
        let failure = Failure { component: Some(text.into()), code: "c".into(), message: text.into() };
        let broken = DeploymentView {
            failure: Some(failure),
            log_tail: vec![text.into()],
            cause: text.into(),
            ..samples::deployment(2, Stage::Failed)
        };
        let rolling =
            DeploymentView { waiting: vec![text.into()], cause: text.into(), ..samples::deployment(3, Stage::Rolling) };
        let active = DeploymentView { images, cause: text.into(), ..one(Stage::Active) };
        let mut facts = facts(&[active.clone(), broken.clone(), rolling.clone()]);
        facts.app.live_url = format!("http://{text}");
        facts.explained.status.waiting = vec![text.into()];
        let list = Page { total: 3, items: vec![rolling, broken, active] };
        let changes = [Err(text.into()), Ok(vec![text.into()]), Ok(vec![])];
        page_of(&facts) + activity::fragments("shop", &list, &changes, 1).get("activity").0
    };
    let (plain, hostile) = (page("plain"), page(HOSTILE));
    assert_lacks(&hostile, &["<img", "<form", "<input", "<textarea", "csrf", " style="]);
    for character in ['<', '>', '"'] {
        assert_eq!(hostile.matches(character).count(), plain.matches(character).count(), "unescaped {character}");
    }
}

#[test]
fn activity_has_causes_tokens_results_and_the_differences_of_specs() {
    let served = controller::view::Served { requests: 48_211, failed: 2, ..Default::default() };
    let mut active = samples::deployment(2, Stage::Active);
    active.rollout.served = Some(served);
    let list = Page { total: 61, items: vec![samples::deployment(3, Stage::Rolling), active] };
    let changes = [Ok(vec![]), Ok(vec!["~ services.web.instance_count: 1 → 2".into()])];
    let fragments = activity::fragments("shop", &list, &changes, 2);
    assert_has(
        fragments.get("activity").0,
        &["restart of all, by ci", "Deploying", "Active", "48,211 served, 2 failed", "1 change of the spec"],
    );
    assert_has(fragments.get("activity").0, &["instance_count: 1 → 2", "/apps/shop/logs?type=deploy&amp;deployment=2"]);
    assert_has(fragments.get("pages").0, &["Page 2 of 4", "/apps/shop/activity?page=1", "/apps/shop/activity?page=3"]);
}

#[tokio::test]
async fn the_pages_are_served_and_their_dialogues_have_addresses() {
    let panel = Panel::new(FakeControl::default()).await;
    for (path, texts) in [
        ("/", &["<h1>Apps</h1>", "href=\"/apps/shop\"", "data-live=\"/events?page=1\""][..]),
        ("/apps/shop", &["<h1>shop</h1>", "data-live=\"/apps/shop/events\"", "id=\"card-web\""]),
        ("/apps/shop?action=restart", &["<dialog", "<h1>shop</h1>"]),
        ("/apps/shop/activity", &["<h1>Activity</h1>", "data-live=\"/apps/shop/activity/events?page=1\""]),
        ("/apps/shop/databases/db", &["<dialog", "<h1>shop</h1>"]),
    ] {
        let answer = panel.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_has(&answer.body, texts);
    }
    for path in ["/apps/shop?action=restart", "/apps/shop/databases/db"] {
        let dialog = panel.get_by_script(path).await.body;
        assert!(dialog.starts_with("<dialog"), "{dialog}");
    }
    for path in ["/apps/unknown", "/apps/unknown/activity", "/apps/shop?action=unknown", "/apps/shop/jobs/unknown"] {
        assert_eq!(panel.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_password_is_only_shown_to_those_who_may_change_the_app_and_on_record() {
    let path = "/apps/shop/databases/db";
    let writer = Panel::with_token(FakeControl::default(), "shop-writer").await;
    let answer = writer.get(path).await;
    assert_eq!(answer.status, 200);
    assert_has(&answer.body, &["s3cret", "Connect to db"]);
    let actions: Vec<_> = writer.control.audit.borrow().iter().map(|it| it.action.clone()).collect();
    assert_eq!(actions, ["view database password"]);
    assert_eq!(writer.get("/apps/shop/databases/unknown").await.status, 404);
    for (token, status) in [("shop-reader", 403), ("blog-writer", 404)] {
        let answer = Panel::with_token(FakeControl::default(), token).await.get(path).await;
        assert_eq!(answer.status, status, "{token}");
        assert_lacks(&answer.body, &["s3cret"]);
    }
}

#[tokio::test]
async fn a_run_of_a_job_is_canceled_from_its_dialogue() {
    let panel = Panel::with_token(FakeControl::default(), "writer").await;
    let dialogue = format!("/apps/shop/jobs/{}", samples::INVOCATION);
    let action = format!("{dialogue}/cancel");
    assert_has(&panel.get(&dialogue).await.body, &[&format!("action=\"{action}\"")]);
    let answer = panel.post(&action, "").await;
    assert_eq!((answer.status, answer.location.as_str()), (303, "/apps/shop"));
    assert_eq!(panel.changes(), [format!("cancel_job_invocation {}", samples::INVOCATION)]);
    panel.refuse("the run has ended");
    let answer = panel.post(&action, "").await;
    assert_eq!(answer.status, 409);
    assert_has(&answer.body, &["<dialog", "The job was not canceled", "the run has ended"]);
    let reader = Panel::with_token(FakeControl::default(), "reader").await;
    let shown = reader.get(&dialogue).await.body;
    assert_has(&shown, &["<dialog", "has scope read"]);
    assert_lacks(&shown, &[&action]);
    assert_eq!(reader.post(&action, "").await.status, 403);
}

#[test]
fn a_page_of_a_deleted_app_names_no_other_app() {
    let error = deleted(ControlError::NotFound("no app \"shop\". It has: blog".into()));
    assert_eq!((error.status.as_u16(), error.message.as_str()), (404, "the app was deleted"));
}

#[tokio::test]
async fn the_runs_of_jobs_are_read_again_only_after_a_deployment_has_changed() {
    let control =
        std::sync::Arc::new(FakeControl { runs: samples::job_invocations().into(), ..FakeControl::default() });
    let (known, app) = (KnownRuns::default(), samples::APP.into());
    let mut one = one(Stage::Active);
    let count = async |deployments: &[DeploymentView]| {
        known.read(control.as_ref(), &app, deployments).await.expect("the fake answers").len()
    };
    assert_eq!(count(&[one.clone()]).await, 3);
    control.runs.lock().expect("no panic").clear();
    assert_eq!(count(&[one.clone()]).await, 3);
    one.updated = rollout::time::Timestamp(one.updated.0 + 1);
    assert_eq!(count(&[one.clone()]).await, 0);
    *control.runs.lock().expect("no panic") = samples::job_invocations();
    assert_eq!(count(&[DeploymentView { stage: Stage::Rolling, ..one }]).await, 3);
}

#[test]
fn domains_are_shown_with_their_state_and_without_domains_there_is_no_card() {
    let domain = |name: &str, phase: DomainPhase, reason: Option<&str>, expires: Option<u64>| DomainView {
        id: name.into(),
        spec: json!({ "domain": name, "type": "PRIMARY", "wildcard": name == "shop.example" }),
        phase,
        reason: reason.map(str::to_owned),
        certificate_expires: expires.map(Timestamp),
    };
    let mut facts = facts(&[one(Stage::Active)]);
    assert_lacks(&page_of(&facts), &["Certificate expires"]);
    facts.app.domains = vec![
        domain("shop.example", DomainPhase::Active, None, Some(1_800_000_000_000)),
        domain(HOSTILE, DomainPhase::Error, Some(HOSTILE), None),
    ];
    let page = page_of(&facts);
    assert_has(
        &page,
        &["shop.example", "*.shop.example", "PRIMARY", "active", "2027-01-15 08:00 UTC", "error", "no certificate"],
    );
    assert_lacks(&page, &[HOSTILE]);
}
