//! Forms whose session ends while a person types, because another tab signed out.

use boatyard_tests::browser::{At, Tab, button, css, field};
use serde_json::json;

use super::*;

const SIGNED_OUT: &str = "You are signed out, so nothing was sent. What you typed is still here.";

/// Signs out in another tab, and returns to the first one.
async fn sign_out(panel: &Panel) -> Tab {
    let browser = &panel.browser;
    let first = browser.tab().await.unwrap();
    let other = browser.open_tab().await.unwrap();
    panel.go("/apps").await.unwrap();
    browser.click(button("Sign out")).await.unwrap();
    browser.until_there(css("input[type=password]")).await.unwrap();
    browser.switch_to(&first).await.unwrap();
    other
}

/// Signs in again in the other tab, and returns to the first one.
async fn sign_in_again(panel: &Panel, other: &Tab) {
    let first = panel.browser.tab().await.unwrap();
    panel.browser.switch_to(other).await.unwrap();
    sign_in(&panel.browser, &panel.at, panel.at.token()).await.unwrap();
    panel.browser.switch_to(&first).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spec_that_was_typed_is_saved_after_a_new_sign_in() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    let before = running(&panel.at).await;
    panel.go("/apps/shop/settings").await.unwrap();
    let editor = field("App spec in YAML");
    let text = browser.property(editor, "value").await.unwrap();
    let typed = text.as_str().unwrap().replacen("instance_count: 2", "instance_count: 1", 1);

    let other = sign_out(&panel).await;
    browser.fill(editor, &typed).await.unwrap();
    browser.until_shows(css("#checked"), SIGNED_OUT).await.unwrap();
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_shows(css("form > .notice.bad"), SIGNED_OUT).await.unwrap();
    assert_eq!(browser.property(editor, "value").await.unwrap(), json!(typed));
    check_refused(&panel).await;
    assert_eq!(running(&panel.at).await, before);

    sign_in_again(&panel, &other).await;
    assert_eq!(browser.property(editor, "value").await.unwrap(), json!(typed));
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_at("/apps/shop/deployments/2").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    let after = running(&panel.at).await;
    assert!(after["web"].len() == 1 && before["web"].contains(&after["web"][0]), "{after:?}");
    assert_eq!((&after["api"], &after["mill"]), (&before["api"], &before["mill"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialogue_that_was_filled_in_is_carried_out_after_a_new_sign_in() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    panel.go("/apps/shop/settings/variables").await.unwrap();
    browser.click(css("a[href*='action=add&of=web']")).await.unwrap();
    browser.until_there(css("dialog:modal")).await.unwrap();

    let other = sign_out(&panel).await;
    browser.fill(field("Key"), "COLOR").await.unwrap();
    browser.fill(field("Value"), "blue").await.unwrap();
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_shows(css("dialog > .notice.bad"), SIGNED_OUT).await.unwrap();
    check_refused(&panel).await;
    let link = browser.property(At::Named("link", "Sign in in another tab"), "target").await.unwrap();
    assert_eq!(link, json!("_blank"), "this tab keeps what was typed");

    sign_in_again(&panel, &other).await;
    assert_eq!(browser.property(field("Value"), "value").await.unwrap(), json!("blue"));
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_at("/apps/shop/deployments/2").await.unwrap();
    panel.until_phase("Active").await.unwrap();
    assert_eq!(page(&panel.at, "/env?key=COLOR").await, "blue");
}
