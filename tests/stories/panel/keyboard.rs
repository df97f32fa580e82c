//! The panel without a mouse.

use boatyard_tests::browser::{Browser, Focused, css, keys};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn one_component_is_restarted_with_the_keyboard_alone() {
    let Some(browser) = Browser::start().await.unwrap() else { return };
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let before = at.containers("shop").await.unwrap();

    browser.go(&format!("http://{}/", at.api())).await.unwrap();
    browser.until_there(css("input[type=password]")).await.unwrap();
    focus(&browser, "textbox", "Token").await;
    browser.press(at.token()).await.unwrap();
    browser.press(keys::ENTER).await.unwrap();
    browser.until_shows(css("main"), "shop").await.unwrap();
    focus(&browser, "link", "shop").await;
    browser.press(keys::ENTER).await.unwrap();
    browser.until_at("/apps/shop").await.unwrap();

    // Escape closes the dialogue, and the focus is where it was.
    open_dialogue(&browser).await;
    browser.press(keys::ESCAPE).await.unwrap();
    browser.until_gone(css("dialog")).await.unwrap();
    assert_eq!(browser.focused().await.unwrap().name, "Actions");

    open_dialogue(&browser).await;
    browser.tab_to("checkbox", "All services and workers").await.unwrap();
    browser.press(keys::SPACE).await.unwrap();
    let is_api = |it: &Focused| it.role == "checkbox" && it.name.starts_with("api");
    browser.tab_until("the check box of api", is_api).await.unwrap();
    browser.press(keys::SPACE).await.unwrap();
    let plan = async || Ok((browser.text(css("#plan strong")).await? == "api").then_some(()));
    browser.until("a plan for api alone", plan).await.unwrap();
    browser.tab_to("button", "Restart").await.unwrap();
    browser.press(keys::ENTER).await.unwrap();

    browser.until_at("/apps/shop/deployments/2").await.unwrap();
    browser.until_shows(css("#deployment .badge"), "Active").await.unwrap();
    browser.until_shows(css("#images"), "What stayed the same").await.unwrap();
    let after = at.containers("shop").await.unwrap();
    let replaced: Vec<_> = before.iter().filter(|it| !after.contains(it)).map(|it| it.component.as_str()).collect();
    assert_eq!((replaced, after.len()), (vec!["api"], before.len()));
}

/// Moves the focus to an element, unless it has it already.
async fn focus(browser: &Browser, role: &str, name: &str) {
    let focused = browser.focused().await.unwrap();
    if focused.role != role || focused.name != name {
        browser.tab_to(role, name).await.unwrap();
    }
}

/// Opens the dialogue for a restart by the menu of the app's page. The focus moves into it.
async fn open_dialogue(browser: &Browser) {
    if browser.focused().await.unwrap().name != "Actions" {
        browser.tab_until("the menu", |it| it.name == "Actions").await.unwrap();
    }
    browser.press(keys::ENTER).await.unwrap();
    browser.tab_to("link", "Restart").await.unwrap();
    browser.press(keys::ENTER).await.unwrap();
    browser.until_there(css("dialog:modal :focus")).await.unwrap();
}
