//! Forms and dialogues that meet what a test of the server cannot produce: late answers, ended sessions, quick clicks.

use boatyard_tests::browser::{At, button, css, field, link};
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_text_outlives_the_session() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    panel.go("/apps/shop/settings").await.unwrap();
    let editor = field("App spec in YAML");
    let text = browser.property(editor, "value").await.unwrap();
    let scaled = text.as_str().unwrap().replacen("instance_count: 2", "instance_count: 1", 1);
    let sign_out = "await fetch('/sign-out', { method: 'POST', body: new URLSearchParams({ csrf: arguments[0] }) })";
    let csrf = browser.property(css("main [name=csrf]"), "value").await.unwrap();
    browser.run(sign_out, &[csrf]).await.unwrap();

    browser.fill(editor, &scaled).await.unwrap();
    browser.until_shows(css("#checked"), "You are signed out, so nothing was sent").await.unwrap();
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_shows(css("form > .notice"), "Sign in in another tab").await.unwrap();
    assert_eq!(browser.property(editor, "value").await.unwrap(), json!(scaled));

    let tab = browser.tab().await.unwrap();
    browser.open_tab().await.unwrap();
    panel.go("/sign-in").await.unwrap();
    browser.fill(field("Token"), panel.at.token()).await.unwrap();
    browser.click(button("Sign in")).await.unwrap();
    browser.until_there(At::Named("heading", "Apps")).await.unwrap();
    browser.switch_to(&tab).await.unwrap();
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_at("/apps/shop/deployments/2").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialogue_shows_no_plan_that_was_asked_for_by_another_one() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    panel.go("/apps/shop/settings/variables").await.unwrap();
    // The answer to the first plan waits until the test wants it.
    let hold = "
        const real = window.fetch;
        window.fetch = async (url, options) => {
            const answer = await real(url, options);
            if (options?.method === 'POST') await new Promise(go => { window.release = go; });
            return answer;
        }";
    browser.run(hold, &[]).await.unwrap();
    let open = async |query: &str| browser.click(css(&format!("a[href*='{query}']"))).await.unwrap();
    open("action=change&of=web&at=0&").await;
    browser.fill(field("Value"), "typed-in-the-first").await.unwrap();
    browser
        .until("the first plan", async || {
            Ok((browser.run("return !!window.release", &[]).await? == json!(true)).then_some(()))
        })
        .await
        .unwrap();
    browser.click(link("Cancel")).await.unwrap();
    browser.until_gone(css("dialog")).await.unwrap();
    open("action=remove&of=web&at=1&").await;
    let before = browser.until_shows(css("dialog #checked"), "NAME").await.unwrap();
    browser.run("window.release(); await new Promise(go => setTimeout(go))", &[]).await.unwrap();
    assert!(!before.contains("typed-in-the-first"), "{before}");
    assert_eq!(browser.text(css("dialog #checked")).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_quick_clicks_the_second_opens_its_dialogue() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    panel.go("/apps/shop").await.unwrap();
    let clicks = "
        const length = history.length, click = action => document.querySelector(`a[href$='action=${action}']`).click();
        click('restart'), click('delete');
        return length";
    let length = browser.run(clicks, &[]).await.unwrap().as_u64().unwrap();
    browser.until_shows(css("dialog h2"), "Delete the app").await.unwrap();
    assert_eq!(browser.run("return history.length", &[]).await.unwrap(), json!(length + 1), "one entry");
    browser.click(link("Cancel")).await.unwrap();
    browser.until_gone(css("dialog")).await.unwrap();
    browser.until_at("/apps/shop").await.unwrap();
    check(&panel).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tabs_with_logs_leave_connections_to_other_pages() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    // Browsers allow six connections to a server.
    for _ in 0..7 {
        panel.go("/apps/shop/logs").await.unwrap();
        browser.until_there(css("#log span")).await.unwrap();
        browser.open_tab().await.unwrap();
    }
    panel.go("/apps/shop").await.unwrap();
    browser.until_there(At::Named("heading", "shop")).await.unwrap();
}
