//! The forms of the dialogues, through the whole router.

use controller_fake::{FakeControl, samples};

use crate::tests::Panel;

#[tokio::test]
async fn a_form_carries_out_its_action_and_leads_to_the_live_page() {
    let (first, second) = (samples::deployment_id(1), samples::deployment_id(2));
    let live = "/apps/shop/deployments/2";
    let cases = [
        ("restart", "chosen=yes&components=web", "restart []".to_owned(), live),
        ("restart", "components=worker", "restart [\"worker\"]".into(), live),
        ("rebuild", "", "deploy force=true clear=false".into(), live),
        ("rebuild", "clear-cache=yes", "deploy force=true clear=true".into(), live),
        ("deploy", "clear-cache=yes", "deploy force=false clear=false".into(), live),
        ("rollback", "to=1&pin=yes", format!("roll_back {first} skip_pin=false"), live),
        ("rollback", "to=1", format!("roll_back {first} skip_pin=true"), live),
        ("commit", "", "commit_rollback".into(), "/apps/shop"),
        ("revert", "", "revert_rollback".into(), live),
        ("deployments/2/cancel", "", format!("cancel {second}"), live),
        ("delete", "confirm=+shop+", format!("delete {}", samples::APP), "/"),
    ];
    for (action, fields, call, location) in cases {
        let panel = Panel::new(FakeControl::default()).await;
        let answer = panel.post(&format!("/apps/shop/{action}"), fields).await;
        assert_eq!((answer.status, answer.location.as_str()), (303, location), "{action} {fields}: {}", answer.body);
        assert_eq!(panel.changes(), [call], "{action} {fields}");
    }
}

#[tokio::test]
async fn a_refusal_is_shown_in_the_dialogue_with_what_was_chosen() {
    let panel = Panel::new(FakeControl::default()).await;
    panel.refuse("<b>web.1 drains</b>. Run: boatyard apps get shop");
    let answer = panel.post("/apps/shop/rebuild", "clear-cache=yes&key=k-1").await;
    assert_eq!(answer.status, 409);
    for part in ["<dialog", "&lt;b&gt;web.1 drains&lt;/b&gt;. Run: boatyard apps get shop", " checked"] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    assert!(answer.body.contains("<html") && !answer.body.contains("<b>web.1"));
    assert!(
        answer.body.contains("name=\"key\"") && !answer.body.contains("k-1"),
        "the next sending is another request"
    );

    panel.refuse("later");
    let answer = panel.post_by_script("/apps/shop/rebuild", "").await;
    assert!(answer.status == 409 && answer.body.starts_with("<dialog") && answer.body.contains("later"));
}

#[tokio::test]
async fn nothing_happens_without_a_choice_or_with_another_name() {
    for (action, fields, says) in [
        ("restart", "chosen=yes", "no component is chosen. Choose at least one"),
        ("rollback", "", "no deployment is chosen"),
        ("rollback", "to=7", "no deployment 7"),
        ("delete", "confirm=shoop", "This is not the name of the app."),
        ("delete", "", "To confirm, type its name: shop"),
        ("deployments/7/cancel", "", "no deployment 7"),
    ] {
        let panel = Panel::new(FakeControl::default()).await;
        let answer = panel.post(&format!("/apps/shop/{action}"), fields).await;
        assert!((400..500).contains(&answer.status) && answer.body.contains(says), "{action}: {}", answer.body);
        assert_eq!(panel.changes(), [""; 0], "{action} {fields}");
    }
}

#[tokio::test]
async fn show_plan_only_shows_the_plan() {
    let panel = Panel::new(FakeControl::default()).await;
    let answer = panel.post("/apps/shop/restart", "chosen=yes&components=web&show-plan=yes").await;
    assert!(answer.status == 200 && answer.body.contains("drain the old web.0"), "{}", answer.body);
    let answer = panel.post("/apps/shop/rollback", "to=1&show-plan=yes").await;
    assert!(answer.body.contains("Before you roll back") && answer.body.contains("<option value=\"1\" selected"));
    assert_eq!(panel.changes(), [""; 0]);
    assert!(panel.control.audit.borrow().is_empty());
}

#[tokio::test]
async fn a_token_that_may_read_is_refused_with_the_way_to_another_one() {
    let panel = Panel::with_token(FakeControl::default(), "reader").await;
    for route in super::routes().into_iter().filter(|it| it.path != super::sources::PATH) {
        let path = route.path.replace("{app}", "shop").replace("{deployment}", "2");
        let answer = panel.post(&path, "confirm=shop&to=1&components=web").await;
        assert!(answer.status == 403 && answer.body.contains("--scope write"), "{path}: {}", answer.body);
    }
    assert_eq!(panel.changes(), [""; 0]);
}

#[tokio::test]
async fn every_dialogue_opens_by_its_address_and_shows_what_it_does() {
    let panel = Panel::new(FakeControl::default()).await;
    let page = "/apps/shop/deployments/2";
    for (query, parts) in [
        ("restart", &["service, 1 instance", "drain the old web.0", "action=\"/apps/shop/restart\""][..]),
        ("restart&components=mill", &["name=\"components\" value=\"web\">"]),
        ("rebuild", &["data-load=\"/apps/shop/sources\"", "Clear the build cache"]),
        ("deploy", &["Plan if nothing new was pushed"]),
        ("rollback&to=1", &["1: restart of all, by ci", "Before you roll back", "Pin the app to it"]),
        ("commit", &["The app is not pinned to a rollback."]),
        ("revert", &["The app is not pinned to a rollback."]),
        ("cancel", &["Cancels deployment 2 (restart of all, by ci): no instance was replaced", "Let it go on"]),
        ("delete", &["no volume stays", "Type <strong>shop</strong> to confirm"]),
    ] {
        let body = panel.get(&format!("{page}?action={query}")).await.body;
        let dialogue = body.split("<dialog").nth(1).and_then(|it| it.split("</dialog>").next()).expect(query);
        for part in parts {
            assert!(dialogue.contains(part), "{query}: {part}: {dialogue}");
        }
    }
    assert_eq!(panel.changes(), [""; 0]);
    let sources = panel.get("/apps/shop/sources").await.body;
    for part in
        ["id=\"sources\"", "Say hello", "branch <code>main</code>", "<code>2222222</code>", "<code>1111111</code>"]
    {
        assert!(sources.contains(part), "{part}: {sources}");
    }
    panel.refuse("the spec cannot be read");
    assert!(panel.get("/apps/shop/sources").await.body.contains("the spec cannot be read"));
    assert!(panel.control.audit.borrow().is_empty());
    assert_eq!(panel.get(&format!("{page}?action=explode")).await.status, 404);
    let reader = Panel::with_token(FakeControl::default(), "reader").await;
    assert_eq!(reader.get(&format!("{page}?action=restart")).await.status, 403);
}

#[tokio::test]
async fn a_pinned_rollback_is_kept_or_undone_with_the_plan_first() {
    let pinned = Some(samples::deployment(1, rollout::deployment::Stage::Active));
    let panel = Panel::new(FakeControl { pinned, ..FakeControl::default() }).await;
    let page = "/apps/shop/deployments/2";
    let commit = panel.get(&format!("{page}?action=commit")).await.body;
    assert!(commit.contains("No instance is replaced") && commit.contains("action=\"/apps/shop/commit\""), "{commit}");
    let revert = panel.get(&format!("{page}?action=revert&key=chosen-by-a-link")).await.body;
    for part in ["from before the rollback", "action=\"/apps/shop/revert\"", "return to commit", "id=\"plan\""] {
        assert!(revert.contains(part), "{part}: {revert}");
    }
    assert!(!revert.contains("chosen-by-a-link"), "only a form that was sent has a key");
}
