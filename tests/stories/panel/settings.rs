//! The spec of an app, edited in the page.

use boatyard_tests::browser::{button, css, field};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_spec_is_shown_under_its_line_and_a_correct_one_is_deployed() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    let spec = shop().replacen("value: api}", "value: api}, {key: KEY, type: SECRET, value: hunter2}", 1);
    panel.at.create(&spec).await.unwrap();
    let before = running(&panel.at).await;
    panel.go("/apps/shop/settings").await.unwrap();
    let editor = field("App spec in YAML");
    let text = browser.property(editor, "value").await.unwrap();
    let text = text.as_str().unwrap();
    assert!(text.contains("EV[") && !text.contains("hunter2"), "{text}");
    check(&panel).await;

    let mistaken = text.replacen("instance_count: 2", "instance_cuont: 2", 1);
    let line = 1 + mistaken.lines().position(|it| it.contains("instance_cuont")).unwrap();
    browser.fill(editor, &mistaken).await.unwrap();
    let shown = browser.until_shows(css("#checked .problems"), "instance_cuont").await.unwrap();
    assert!(shown.contains(&format!("Line {line}")) && shown.contains("instance_count"), "{shown}");
    check(&panel).await;

    browser.fill(editor, &text.replacen("instance_count: 2", "instance_count: 1", 1)).await.unwrap();
    browser.until_shows(css("#checked"), "web: 1 instance removed").await.unwrap();
    check(&panel).await;
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_at("/apps/shop/deployments/2").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    let after = running(&panel.at).await;
    assert!(after["web"].len() == 1 && before["web"].contains(&after["web"][0]), "{after:?}");
    assert_eq!((&after["api"], &after["mill"]), (&before["api"], &before["mill"]));
    assert_eq!(page(&panel.at, "/api/env?key=KEY").await, "hunter2", "the secret is kept");
}
