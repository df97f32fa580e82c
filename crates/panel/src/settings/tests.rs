//! The settings with a fake controller.

use controller::ControlError;
use controller_fake::{FakeControl, samples};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rollout::deployment::Stage;
use serde_json::{Value, json};

use crate::tests::{Answer, Panel};

const SPEC: &str = "/apps/shop/settings";
const VARIABLES: &str = "/apps/shop/settings/variables";
const SEALED: &str = "EV[1:nonce:sealed]";

fn spec(count: u32) -> Value {
    let image = json!({ "registry_type": "DOCKER_HUB", "registry": "test", "repository": "web", "tag": "1" });
    let key = json!({ "key": "KEY", "type": "SECRET", "scope": "RUN_TIME", "value": SEALED });
    let envs = json!([key, { "key": "TEXT", "value": "<img src=x onerror=alert(1)>" }]);
    json!({ "name": "shop", "services": [{ "name": "web", "image": image, "instance_count": count, "envs": envs }] })
}

fn shop() -> FakeControl {
    let active = controller::view::DeploymentView { spec: spec(1), ..samples::deployment(1, Stage::Active) };
    FakeControl { spec: Some(spec(1)), deployments: vec![active], ..FakeControl::default() }
}

/// The value of a hidden field.
fn hidden(page: &str, name: &str) -> String {
    let after = page.split(&format!("name=\"{name}\" value=\"")).nth(1).unwrap_or_else(|| panic!("{name} in {page}"));
    after.split('"').next().unwrap_or_default().to_owned()
}

/// The text in the editor.
fn text(page: &str) -> String {
    let area = page.split("<textarea").nth(1).and_then(|it| it.split_once(">\n")).expect("an editor").1;
    let text = area.split("</textarea>").next().unwrap_or_default();
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

async fn edit(panel: &Panel, step: &str, version: &str, text: &str) -> Answer {
    let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
    panel.post(SPEC, &format!("step={step}&version={version}&spec={text}")).await
}

#[tokio::test]
async fn the_editor_answers_with_problems_a_plan_or_the_live_page() {
    let panel = Panel::new(shop()).await;
    let page = panel.get(SPEC).await.body;
    let (version, text) = (hidden(&page, "version"), text(&page));
    assert!(text.contains(SEALED) && page.contains("&lt;img") && !page.contains("<img src=x"), "{page}");

    let mistaken = text.replace("instance_count", "instance_cuont");
    let line = format!("data-line=\"{}\"", 1 + mistaken.lines().position(|it| it.contains("cuont")).expect("the line"));
    for (step, status) in [("plan", 200), ("save", 400)] {
        let answer = edit(&panel, step, &version, &mistaken).await;
        assert_eq!(answer.status, status, "{step}");
        assert!(answer.body.contains(&line) && answer.body.contains("did you mean"), "{}", answer.body);
        assert!(answer.body.contains("instance_cuont: 1"), "the text is kept: {}", answer.body);
    }
    let scaled = text.replace("instance_count: 1", "instance_count: 2");
    let planned = edit(&panel, "plan", &version, &scaled).await;
    assert!(planned.status == 200 && planned.body.contains("create web.0"), "{}", planned.body);
    assert_eq!(panel.changes(), [""; 0]);

    let same = edit(&panel, "save", &version, &text).await;
    assert!(same.status == 200 && same.body.contains("Nothing to do: shop serves deployment 1"), "{}", same.body);
    panel.refuse("the app is pinned to deployment 1");
    let refused = edit(&panel, "save", &version, &scaled).await;
    assert_eq!(refused.status, 409);
    assert!(refused.body.contains("is pinned to") && refused.body.contains("instance_count: 2"), "{}", refused.body);
    *panel.control.updated.lock().expect("no panic") = true;
    let saved = edit(&panel, "save", &version, &scaled.replace('\n', "\r\n")).await;
    assert_eq!((saved.status, saved.location.as_str()), (303, "/apps/shop/deployments/3"));
}

#[tokio::test]
async fn a_spec_that_somebody_else_changed_is_replaced_only_after_a_look() {
    let before = Panel::new(shop()).await.get(SPEC).await.body;
    let newer =
        controller::view::DeploymentView { spec: spec(3), updates_spec: true, ..samples::deployment(2, Stage::Active) };
    let old = controller::view::DeploymentView { spec: spec(1), ..samples::deployment(1, Stage::Superseded) };
    let panel = Panel::new(FakeControl { spec: Some(spec(3)), deployments: vec![old, newer], ..shop() }).await;
    let ours = text(&before).replace("onerror", "on");
    let refused = edit(&panel, "save", &hidden(&before, "version"), &ours).await;
    assert_eq!(refused.status, 409);
    for text in ["changed since you opened", "instance_count: 1 → 3", "instance_count: 3 → 1", "restart of all, by ci"]
    {
        assert!(refused.body.contains(text), "{text}: {}", refused.body);
    }
    assert_eq!(panel.changes(), [""; 0]);
    *panel.control.updated.lock().expect("no panic") = true;
    let again = edit(&panel, "save", &hidden(&refused.body, "version"), &text(&refused.body)).await;
    assert_eq!((again.status, again.location.as_str()), (303, "/apps/shop/deployments/3"));
}

#[tokio::test]
async fn a_spec_that_changes_between_the_comparison_and_the_update_is_kept() {
    let panel = Panel::new(shop()).await;
    let page = panel.get(SPEC).await.body;
    let variable = panel.get(&format!("{VARIABLES}?action=add&of=web")).await.body;
    *panel.control.newer_spec.lock().expect("no panic") = Some(spec(3));
    let scaled = text(&page).replace("instance_count: 1", "instance_count: 2");
    let refused = edit(&panel, "save", &hidden(&page, "version"), &scaled).await;
    let form = format!("version={}&action=add&of=web&name=NEW&value=typed&type=GENERAL", hidden(&variable, "version"));
    for (refused, typed) in [(refused, "instance_count: 2"), (panel.post(VARIABLES, &form).await, "typed")] {
        assert_eq!(refused.status, 409);
        assert!(refused.body.contains("somebody else changed") && refused.body.contains(typed), "{}", refused.body);
    }
    assert_eq!(panel.changes(), [""; 0]);
}

#[tokio::test]
async fn a_long_line_is_sent_back_once_and_nul_is_refused() {
    let panel = Panel::new(shop()).await;
    let long = "a".repeat(1_000_000);
    for path in [SPEC, crate::new_app::PATH] {
        let refused = panel.post(path, &format!("step=save&spec={long}")).await;
        assert_eq!((refused.status, refused.body.matches(&long).count()), (400, 1), "{path}");
        assert!(refused.body.len() < long.len() + 50_000, "{path}: {} bytes", refused.body.len());
        assert_eq!(panel.post(path, "step=save&spec=a%00b").await.status, 400, "{path}");
    }
    for refused in [
        panel.post(SPEC, "step=plan&spec=a%00b").await,
        panel.post(VARIABLES, "action=add&name=A&value=a%00b&type=GENERAL").await,
        panel.get(&format!("{VARIABLES}?action=add&of=a%00b")).await,
    ] {
        assert!(
            refused.status == 400 && refused.body.contains("NUL") && !refused.body.contains('\0'),
            "{}",
            refused.body
        );
    }
    assert_eq!(panel.changes(), [""; 0]);
}

#[tokio::test]
async fn a_secret_is_written_and_never_shown() {
    let panel = Panel::new(shop()).await;
    for path in [VARIABLES.to_owned(), format!("{VARIABLES}?action=change&of=web&at=0&name=KEY")] {
        let page = panel.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(
            page.body.contains("KEY") && !page.body.contains("sealed") && !page.body.contains("<img src=x"),
            "{}",
            page.body
        );
    }
    let version = hidden(&panel.get(&format!("{VARIABLES}?action=add&of=web")).await.body, "version");
    let form = format!("version={version}&action=add&of=web&name=NEW&type=SECRET&scope=RUN_TIME&value=canary");
    let planned = panel.post_by_script(VARIABLES, &format!("{form}&step=plan")).await;
    assert!(planned.body.starts_with("<dialog") && planned.body.contains("create web.0"), "{}", planned.body);
    panel.refuse("not now");
    let refused = panel.post_by_script(VARIABLES, &form).await;
    assert_eq!(refused.status, 409);
    for body in [planned.body, refused.body] {
        assert!(body.contains("NEW") && !body.contains("canary"), "{body}");
    }
    *panel.control.updated.lock().expect("no panic") = true;
    let saved = panel.post(VARIABLES, &form).await;
    assert_eq!((saved.status, saved.location.as_str()), (303, "/apps/shop/deployments/3"));
}

#[tokio::test]
async fn a_page_that_is_shown_again_replaces_a_newer_spec_only_after_a_conflict_was_shown() {
    let before = Panel::new(shop()).await.get(SPEC).await.body;
    let (opened, ours) = (hidden(&before, "version"), text(&before).replace("onerror", "on"));
    let mistaken = ours.replace("instance_count", "instance_cuont");
    let panel = Panel::new(FakeControl { spec: Some(spec(3)), ..shop() }).await;
    for (step, text) in [("save", &mistaken), ("plan", &mistaken), ("plan", &ours)] {
        let shown = edit(&panel, step, &opened, text).await.body;
        assert_eq!(hidden(&shown, "version"), opened, "{step}: {shown}");
    }
    let conflict = edit(&panel, "save", &opened, &ours).await;
    assert_eq!(conflict.status, 409);
    assert_ne!(hidden(&conflict.body, "version"), opened);

    let form = |name: &str| format!("version={opened}&action=add&of=web&name={name}&value=typed&type=GENERAL");
    let wrong = panel.post(VARIABLES, &form("1B")).await;
    assert_eq!((wrong.status, hidden(&wrong.body, "version")), (400, opened.clone()));
    let conflict = panel.post(VARIABLES, &form("B")).await;
    assert_eq!(conflict.status, 409);
    assert_ne!(hidden(&conflict.body, "version"), opened);
    assert_eq!(panel.changes(), [""; 0]);
}

#[tokio::test]
async fn a_form_gets_a_new_key_after_a_refusal_and_never_one_from_a_link() {
    let panel = Panel::new(shop()).await;
    for path in [format!("{SPEC}?key=linked"), format!("{VARIABLES}?action=add&of=web&key=linked")] {
        assert_ne!(hidden(&panel.get(&path).await.body, "key"), "linked", "{path}");
    }
    let page = panel.get(SPEC).await.body;
    let (version, text) = (hidden(&page, "version"), text(&page));
    let scaled = text.replace("instance_count: 1", "instance_count: 2");
    let mistaken = text.replace("instance_count", "instance_cuont");
    let save = async |version: &str, text: &str| {
        let text = utf8_percent_encode(text, NON_ALPHANUMERIC);
        panel.post(SPEC, &format!("key=sent&step=save&version={version}&spec={text}")).await
    };
    let add = async |version: &str, name: &str| {
        let form = format!("key=sent&version={version}&action=add&of=web&name={name}&value=typed&type=GENERAL");
        panel.post(VARIABLES, &form).await
    };
    // Nothing was asked of the controller, or the request may still take effect.
    for (failure, status, kept) in [
        (None, 400, true),
        (Some(ControlError::Unavailable("the disk is slow".into())), 503, true),
        (Some(ControlError::Conflict("the app is pinned".into())), 409, false),
    ] {
        let (text, name) = if failure.is_some() { (&scaled, "B") } else { (&mistaken, "1B") };
        let fail = || *panel.control.failure.lock().expect("no panic") = failure.as_ref().map(again);
        fail();
        let saved = save(&version, text).await;
        fail();
        for answer in [saved, add(&version, name).await] {
            assert_eq!((answer.status, hidden(&answer.body, "key") == "sent"), (status, kept), "{}", answer.body);
        }
    }
    for conflict in [save("older", &scaled).await, add("older", "B").await] {
        assert_eq!(conflict.status, 409);
        assert_ne!(hidden(&conflict.body, "key"), "sent");
    }
}

fn again(error: &ControlError) -> ControlError {
    match error {
        ControlError::Unavailable(message) => ControlError::Unavailable(message.clone()),
        other => ControlError::Conflict(other.to_string()),
    }
}

#[tokio::test]
async fn a_secret_that_was_typed_and_refused_has_to_be_typed_again() {
    let panel = Panel::new(shop()).await;
    let opened = panel.get(&format!("{VARIABLES}?action=change&of=web&at=0&name=KEY")).await.body;
    assert!(opened.contains("Leave this empty to keep the value") && !opened.contains("retype"), "{opened}");
    let form =
        format!("version={}&action=change&of=web&at=0&name=KEY&type=SECRET&scope=RUN_TIME", hidden(&opened, "version"));
    panel.refuse("not now");
    let refused = panel.post(VARIABLES, &format!("{form}&value=canary")).await;
    let before = panel.changes();
    let empty = panel.post(VARIABLES, &format!("{form}&{}={}&value=", "retype", hidden(&refused.body, "retype"))).await;
    assert!(empty.body.contains("Type the value of KEY again"), "{}", empty.body);
    assert_eq!((refused.status, empty.status, panel.changes()), (409, 400, before), "the old value is not taken");
    for body in [refused.body, empty.body] {
        assert!(body.contains("Type it again") && body.contains(" required") && !body.contains("canary"), "{body}");
        assert_eq!(hidden(&body, "retype"), "yes");
    }
    *panel.control.updated.lock().expect("no panic") = true;
    assert_eq!(panel.post(VARIABLES, &format!("{form}&retype=yes&value=canary")).await.status, 303);
}

#[tokio::test]
async fn a_text_of_many_lines_is_sent_back_with_few_numbers() {
    let panel = Panel::new(shop()).await;
    let refused = panel.post(SPEC, &format!("step=plan&spec={}", "\n".repeat(1_000_000))).await;
    assert!(refused.status == 200 && refused.body.len() < 2_000_000, "{}: {}", refused.status, refused.body.len());
    assert_eq!(panel.post(SPEC, &format!("step=plan&spec={}", "\n".repeat(1024 * 1024))).await.status, 413);
}

#[tokio::test]
async fn a_token_that_may_read_sees_the_settings_and_changes_nothing() {
    let panel = Panel::with_token(shop(), "reader").await;
    for path in [SPEC, VARIABLES] {
        let page = panel.get(path).await;
        assert!(
            page.status == 200 && !page.body.contains("Save") && !page.body.contains("action=\"/apps"),
            "{}",
            page.body
        );
        assert_eq!(panel.post(path, "step=save&action=remove&of=web&at=0&name=KEY").await.status, 403, "{path}");
    }
    assert_eq!(panel.get(&format!("{VARIABLES}?action=add&of=web")).await.status, 403);
    assert_eq!(panel.changes(), [""; 0]);
    assert_eq!(Panel::with_token(shop(), "blog-writer").await.get(SPEC).await.status, 404);
}
