use controller::view::{DeploymentView, Image, InstanceTransition, RolloutView, Served, Transition, Unchanged};
use controller_fake::{FakeControl, samples};
use rollout::deployment::{Failure, Stage};
use rollout::time::Timestamp;
use serde_json::json;

use super::*;
use crate::tests::{HOSTILE, Panel, assert_has, assert_lacks};

const BEGAN: u64 = 1_772_359_200_000;

/// Deployment 2 in this stage, one second after its rollout began.
fn deployment(stage: Stage) -> DeploymentView {
    let rollout = RolloutView { began: Some(Timestamp(BEGAN)), ..RolloutView::default() };
    let times = (Timestamp(BEGAN - 1000), Timestamp(BEGAN + 1000));
    DeploymentView { created: times.0, stage_since: times.1, rollout, ..samples::deployment(2, stage) }
}

fn served(it: DeploymentView) -> DeploymentView {
    let served = Served { requests: 48_211, slowest_us: 211_500, upgraded_cut: 3, ..Served::default() };
    let unchanged = Unchanged {
        component: "web".into(),
        image: "sha256:0123456789abcdef".into(),
        environment_hash: "e1".into(),
        revision: "r1".into(),
    };
    let (ended, notes) = (Some(Timestamp(BEGAN + 3000)), vec!["the drain time was limited to 110 s".into()]);
    let rollout = RolloutView { served: Some(served), unchanged: vec![unchanged], ended, notes, ..it.rollout };
    let mut progress = it.progress;
    progress.succeed_all(Timestamp(BEGAN + 3200));
    DeploymentView { rollout, progress, ..it }
}

fn failed(text: &str) -> DeploymentView {
    let failure = Failure {
        component: Some("web".into()),
        code: "NotReady".into(),
        message: format!("web.0 was not ready: {text}; web.1 serves"),
    };
    DeploymentView {
        failure: Some(failure),
        log_tail: vec!["listening".into(), text.into()],
        rolled_back: true,
        ..deployment(Stage::Failed)
    }
}

fn facts_of(it: &DeploymentView, may_write: bool) -> Facts {
    let timeline = samples::timeline().iter().map(web::view::transition).collect();
    Facts::new(
        samples::app(&[samples::deployment(1, Stage::Active), it.clone()]),
        it,
        timeline,
        samples::traffic(),
        may_write,
    )
}

fn page_of(it: &DeploymentView) -> String {
    content(&fragments(&facts_of(it, true))).into_string()
}

#[test]
fn a_deployment_in_progress_shows_each_instance_and_the_reason_of_each_wait_once() {
    let waits = ["waiting for web.0: 2 open requests, 11 s left", "waiting for the ingress to answer"];
    let it = DeploymentView { waiting: waits.map(Into::into).to_vec(), ..deployment(Stage::Rolling) };
    let page = page_of(&it);
    assert_has(
        &page,
        &["<h1>Deployment 2</h1>", "Deploying", "restart of all, by ci", "draining", "routed", "1 of 1 replaced"],
    );
    assert_has(
        &page,
        &["deployment\u{a0}1", "?action=cancel", "/apps/shop/logs/stream?component=&amp;type=run&amp;deployment=2"],
    );
    for wait in waits {
        assert_eq!(page.matches(wait).count(), 1, "{wait}");
    }
    assert_lacks(&page, &["?action=rollback", "id=\"outcome\">"]);
}

#[tokio::test]
async fn the_page_is_found_by_number_and_by_id_is_live_and_shows_the_dialogue_of_its_address() {
    let panel = Panel::new(FakeControl::default()).await;
    let id = samples::deployment_id(2);
    let live = format!("data-live=\"/apps/shop/deployments/{id}/events\"");
    for address in ["2", &id] {
        let page = panel.get(&format!("/apps/shop/deployments/{address}")).await.body;
        assert_has(&page, &[&live, "<h1>Deployment 2</h1>"]);
        assert_lacks(&page, &["<dialog"]);
    }
    let page = panel.get("/apps/shop/deployments/2?action=cancel").await.body;
    assert_has(&page, &["<dialog", "Cancel the deployment", "<h1>Deployment 2</h1>"]);
    assert_eq!(panel.get("/apps/shop/deployments/9").await.status, 404);
    assert_eq!(panel.get("/apps/shop/deployments/9/events").await.status, 404);
}

#[test]
fn a_countdown_changes_one_part_of_the_page() {
    let at = |seconds: u64| {
        let waits = vec![format!("waiting for web.0: 2 open requests, {seconds} s left")];
        fragments(&facts_of(&DeploymentView { waiting: waits, ..deployment(Stage::Rolling) }, true))
    };
    let (before, after) = (at(11), at(10));
    let parts = ["deployment", "outcome", "instances", "requests", "progress", "images", "log-card"];
    let changed: Vec<_> = parts.into_iter().filter(|it| before.get(it).0 != after.get(it).0).collect();
    assert_eq!(changed, ["instances"]);
}

#[test]
fn before_the_rollout_the_page_says_that_no_instance_was_touched_and_follows_the_build() {
    let it = samples::deployment(2, Stage::Building);
    let facts = Facts::new(samples::app(std::slice::from_ref(&it)), &it, Vec::new(), Vec::new(), true);
    let page = content(&fragments(&facts)).into_string();
    assert_has(&page, &["Building", "No instance has been touched so far.", "type=build", "id=\"requests\" hidden"]);
}

#[test]
fn a_deployment_that_serves_ends_with_the_proof() {
    let page = page_of(&served(deployment(Stage::Active)));
    assert_has(&page, &["shop serves deployment 2 after", "48,211", "212 ms", "What stayed the same", "0123456789ab"]);
    assert_has(&page, &["the drain time was limited to 110 s", "Open shop", "http://shop.localhost:8080"]);
    assert_lacks(&page, &["?action=cancel", "?action=rollback"]);
    let spec = json!({ "name": "shop", "static_sites": [{ "name": "docs" }] });
    let site = page_of(&served(DeploymentView { spec, ..deployment(Stage::Active) }));
    assert_has(&site, &["Open shop", "http://shop.localhost:8080"]);
}

#[test]
fn a_failure_shows_its_reason_its_last_lines_and_what_serves_now() {
    let page = page_of(&failed("cannot bind"));
    assert_has(
        &page,
        &["Deployment 2 of shop failed and was rolled back", "web.0 was not ready: cannot bind; web.1 serves"],
    );
    assert_has(
        &page,
        &["listening\n", "cannot bind\n", "/apps/shop/logs?component=web&amp;type=deploy&amp;deployment=2"],
    );
    assert_has(&page, &["shop serves <a href=\"/apps/shop/deployments/1\">deployment 1</a>"]);
    let build = Failure { component: Some("web".into()), code: "BuildFailed".into(), message: "no".into() };
    assert_has(&page_of(&DeploymentView { failure: Some(build), ..failed("x") }), &["component=web&amp;type=build"]);
}

#[test]
fn a_failure_is_shown_while_the_deployment_is_still_rolled_back() {
    let page = page_of(&DeploymentView { stage: Stage::RollingBack, ..failed("cannot bind") });
    assert_has(&page, &["Deployment 2 failed, and what it replaced is being restored", "cannot bind"]);
    assert_lacks(&page, &["?action=cancel"]);
}

#[test]
fn what_ended_without_serving_or_serves_no_more_says_what_serves() {
    let serves = "shop serves <a href=\"/apps/shop/deployments/1\">deployment 1</a>";
    let canceled = page_of(&deployment(Stage::Canceled));
    assert_has(&canceled, &["Deployment 2 of shop was canceled", serves]);
    let waited = page_of(&deployment(Stage::Superseded));
    assert_has(&waited, &["Deployment 2 of shop was superseded before it served", serves]);
    assert_lacks(&waited, &["?action=rollback"]);
    let earlier = page_of(&served(deployment(Stage::Superseded)));
    assert_has(&earlier, &["Deployment 2 served earlier", serves, "48,211", "?action=rollback&amp;to=2"]);
}

#[test]
fn a_token_that_may_only_read_gets_no_buttons_that_change_something() {
    for it in [deployment(Stage::Rolling), served(deployment(Stage::Superseded))] {
        let page = content(&fragments(&facts_of(&it, false))).into_string();
        assert_lacks(&page, &["?action="]);
    }
}

#[test]
fn all_texts_are_shown_as_text_and_no_part_contains_a_form() {
    let page = |text: &str| {
        let of = |it: DeploymentView| {
            let image = Image { reference: text.into(), note: text.into(), ..Image::default() };
            let rollout = RolloutView { notes: vec![text.into()], ..it.rollout };
            let waiting = vec![format!("waiting for web.0: {text}"), text.into()];
            let images = [("web".into(), image)].into();
            page_of(&DeploymentView { cause: text.into(), rollout, waiting, images, ..it })
        };
        of(failed(text)) + &of(deployment(Stage::Rolling)) + &of(served(deployment(Stage::Active)))
    };
    let (plain, hostile) = (page("plain"), page(HOSTILE));
    assert_lacks(&hostile, &["<img", "<form", "<input", "<textarea", "csrf", " style="]);
    for character in ['<', '>', '"'] {
        assert_eq!(hostile.matches(character).count(), plain.matches(character).count(), "unescaped {character}");
    }
}

#[test]
fn a_lane_distinguishes_new_instances_from_replaced_ones_and_from_those_that_stay() {
    let row = |component: &str, slot, existed_before, transition| InstanceTransition {
        instance_name: format!("by-{component}-{slot}-{existed_before}").as_str().into(),
        component_name: component.into(),
        slot,
        existed_before,
        transition,
        ..samples::timeline().remove(0)
    };
    let timeline = [
        row("web", 0, true, Transition::Existed),
        row("mill", 0, true, Transition::Existed),
        row("web", 0, false, Transition::Unready),
        row("web", 0, true, Transition::Stopping),
    ];
    let it = served(deployment(Stage::Active));
    let timeline = timeline.iter().map(web::view::transition).collect();
    let facts = Facts::new(samples::app(std::slice::from_ref(&it)), &it, timeline, Vec::new(), true);
    let page = lanes::markup(&facts).into_string();
    assert_has(&page, &["not ready", "stopping", "0 of 1 replaced", "not replaced", "running before"]);
}
