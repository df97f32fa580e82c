//! Dialogues and tabs that meet what a test of the server cannot produce: late answers, quick clicks, few connections.

use boatyard_tests::browser::{At, button, css, field, link};
use serde_json::json;

use super::*;

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

/// The browser's button Stop, of which a page is not told. `serve` is suspended, so its answer cannot be faster than the stop.
#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_a_person_stopped_can_be_sent_again() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.go("/new-app").await.unwrap();
    let spec = field("App spec, in YAML or JSON");
    browser.fill(spec, &shop()).await.unwrap();
    let hold = "
        const real = window.fetch;
        window.fetch = async (url, options) => {
            const answer = await real(url, options);
            window.fetch = real;
            await new Promise(go => { window.release = go; });
            return answer;
        }";
    browser.run(hold, &[]).await.unwrap();
    browser.click(button("Check the spec")).await.unwrap();
    let is_held = async || Ok((browser.run("return !!window.release", &[]).await? == json!(true)).then_some(()));
    browser.until("the look at the session", is_held).await.unwrap();
    panel.at.freeze_serve().unwrap();
    let stop = "
        const sent = new Promise(go => addEventListener('beforeunload', go));
        window.release();
        await sent;
        await new Promise(go => setTimeout(go));
        window.stop()";
    browser.run(stop, &[]).await.unwrap();
    panel.at.thaw_serve().unwrap();
    assert_eq!(browser.property(spec, "value").await.unwrap(), json!(shop()));
    // The page sends nothing for the first seconds after the stop, since it cannot know of it.
    let click = "[...document.querySelectorAll('button')].find(it => it.textContent === 'Check the spec')?.click()";
    let send_again = async || {
        browser.run(click, &[]).await?;
        Ok(browser.is_there(button("Deploy")).await?.then_some(()))
    };
    browser.until("the second click to be sent", send_again).await.unwrap();
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
