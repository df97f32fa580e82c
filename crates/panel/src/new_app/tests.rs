//! The page for a new app, through the whole router.

use controller_fake::FakeControl;

use crate::tests::Panel;

const SPEC: &str = "name: shop
services:
- name: web
  instance_count: 2
  git: {repo_clone_url: 'https://example.com/shop.git'}
  envs: [{key: TOKEN, type: SECRET}]
";

/// A field of a form.
fn field(name: &str, value: &str) -> String {
    format!("&{name}={}", percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC))
}

#[tokio::test]
async fn a_spec_is_shown_as_it_was_understood_before_anything_happens() {
    let panel = Panel::new(FakeControl::default()).await;
    let answer = panel.post("/new-app", &(field("step", "check") + &field("spec", SPEC))).await;
    assert_eq!(answer.status, 200);
    for part in [
        "2 instances of apps-s-1vcpu-0.5gb",
        "/ to port 8080",
        "Say hello",
        "TOKEN of web",
        "create web.0",
        "value=\"deploy\"",
        "example.com/shop.git",
    ] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    assert_eq!(panel.changes(), [""; 0]);
}

#[tokio::test]
async fn a_mistake_is_shown_under_its_line_and_nothing_can_be_deployed() {
    let panel = Panel::new(FakeControl::default()).await;
    let wrong = SPEC.replace("instance_count: 2", "instance_cuont: <script>");
    for step in ["check", "deploy"] {
        let answer = panel.post("/new-app", &(field("step", step) + &field("spec", &wrong))).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("Line 4") && answer.body.contains("did you mean `instance_count`?"));
        assert!(!answer.body.contains("value=\"deploy\"") && !answer.body.contains("<script>"), "{}", answer.body);
    }
    assert_eq!(panel.changes(), [""; 0]);
}

#[tokio::test]
async fn another_text_gets_another_key_and_so_does_a_refused_one() {
    let panel = Panel::new(FakeControl::default()).await;
    let send = async |step: &str, spec: &str| {
        let sent =
            field("checked", &super::checksum(SPEC)) + &field("key", "sent") + &field("value.web.TOKEN", "hunter2");
        panel.post("/new-app", &(field("step", step) + &field("spec", spec) + &sent)).await.body
    };
    let keeps_key = |page: &str| page.contains("name=\"key\" value=\"sent\"");
    assert!(keeps_key(&send("check", SPEC).await));
    let other = SPEC.replace("name: shop", "name: other");
    for step in ["check", "deploy"] {
        assert!(!keeps_key(&send(step, &other).await), "{step}");
    }
    panel.refuse("not now");
    let refused = send("deploy", SPEC).await;
    assert!(refused.contains("not now") && !keeps_key(&refused), "{refused}");
}

#[tokio::test]
async fn an_app_is_created_with_the_values_and_the_key_of_the_form() {
    let panel = Panel::new(FakeControl::default()).await;
    let form = field("step", "deploy")
        + &field("checked", &super::checksum(SPEC))
        + &field("spec", SPEC)
        + &field("value.web.TOKEN", "hunter2")
        + &field("key", "k-1");
    let answer = panel.post("/new-app", &form).await;
    assert_eq!((answer.status, answer.location.as_str()), (303, "/apps/shop/deployments/2"), "{}", answer.body);
    assert_eq!(panel.changes(), ["create shop key=Some(\"k-1\")"]);

    panel.refuse("an app named shop exists already");
    let answer = panel.post("/new-app", &form).await;
    assert!(answer.status == 409 && answer.body.contains("an app named shop exists already"), "{}", answer.body);
    assert!(answer.body.contains("instance_count: 2") && !answer.body.contains("k-1"), "{}", answer.body);
    assert!(!answer.body.contains("hunter2"), "a secret is not sent back");
}

#[tokio::test]
async fn a_repository_becomes_a_spec_or_says_what_is_missing() {
    let panel = Panel::new(FakeControl::default()).await;
    let form = field("step", "repository") + &field("address", "https://example.com/acme/shop.git");
    let answer = panel.post("/new-app", &form).await;
    assert!(answer.status == 200 && answer.body.contains("repo_clone_url"), "{}", answer.body);
    for part in ["web is built with a generated Dockerfile for static files", "FROM nginx:1"] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    let answer = panel.post("/new-app", &field("step", "repository")).await;
    assert!(answer.status == 400 && answer.body.contains("Paste the address of a repository."), "{}", answer.body);
}

#[tokio::test]
async fn what_was_typed_stays_and_nothing_is_deployed_that_was_not_shown() {
    let panel = Panel::new(FakeControl::default()).await;
    let spec = SPEC.replace("type: SECRET}", "type: SECRET}, {key: MODE, value: '${MODE}'}");
    let values = field("value.web.TOKEN", "hunter2") + &field("value.web.MODE", "fast");
    let answer = panel.post("/new-app", &(field("step", "check") + &field("spec", &spec) + &values)).await;
    for part in ["Type it again", "value=\"fast\"", &format!("value=\"{}\"", super::checksum(&spec))] {
        assert!(answer.body.contains(part), "{part}: {}", answer.body);
    }
    assert!(!answer.body.contains("hunter2"), "{}", answer.body);

    let checked = field("step", "deploy") + &field("checked", &super::checksum(&spec)) + &values;
    let changed = field("spec", &spec.replace("instance_count: 2", "instance_count: 3"));
    let answer = panel.post("/new-app", &(checked.clone() + &changed)).await;
    assert!(
        answer.status == 200 && answer.body.contains("The spec was changed after it was checked"),
        "{}",
        answer.body
    );
    assert_eq!(panel.changes(), [""; 0]);
    // A browser ends lines with CR and LF.
    let answer = panel.post("/new-app", &(checked + &field("spec", &spec.replace('\n', "\r\n")))).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    let answer =
        panel.post("/new-app", &(field("step", "deploy") + &field("address", "https://example.com/shop"))).await;
    assert!(answer.status == 200, "a repository is shown first");
    assert_eq!(panel.changes().len(), 1);
}

#[tokio::test]
async fn a_token_that_may_not_create_apps_gets_no_form() {
    for token in ["reader", "shop-writer"] {
        let panel = Panel::with_token(FakeControl::default(), token).await;
        assert_eq!(panel.get("/new-app").await.status, 403, "{token}");
    }
}
