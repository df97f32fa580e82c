//! Tokens and sessions, managed in the page by the admin, while another person uses the panel with one of them.

use boatyard_tests::browser::{button, css, field, link};
use boatyard_tests::http;
use serde_json::Value;

use super::*;

/// Another browser that is signed in with this token.
async fn another_person(panel: &Panel, token: &str) -> Browser {
    let browser = Browser::start().await.unwrap().expect("this machine has a browser");
    sign_in(&browser, &panel.at, token).await.unwrap();
    browser
}

/// Creates a token in the page. Returns it.
async fn create(panel: &Panel, name: &str, scope: &str, app: &str) -> String {
    let browser = &panel.browser;
    panel.go("/tokens").await.unwrap();
    browser.fill(field("Name"), name).await.unwrap();
    browser.click(css(&format!("#scope option[value={scope}]"))).await.unwrap();
    browser.fill(field("App"), app).await.unwrap();
    browser.click(button("Create the token")).await.unwrap();
    browser.until_shows(css("main .notice.good"), &format!("Token {name} was created")).await.unwrap();
    browser.text(css("#new-token")).await.unwrap()
}

async fn status(at: &Installation, token: &str) -> u16 {
    http::json(at.api(), "GET", "/v2/apps/shop", token, None).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_its_open_pages_end_when_it_is_revoked() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    let containers = running(&panel.at).await;
    let token = create(&panel, "ci", "write", "shop").await;
    check(&panel).await;
    assert!(token.len() == 71 && token.starts_with("dob_v1_"), "{token}");
    assert_eq!(status(&panel.at, &token).await, 200);
    for path in ["/tokens", "/tokens/audit"] {
        panel.go(path).await.unwrap();
        let shown = browser.until_shows(css("main"), "ci").await.unwrap();
        let source = browser.run("return document.documentElement.outerHTML", &[]).await.unwrap();
        assert!(!source.as_str().unwrap().contains(&token), "{path} shows the token again: {shown}");
    }

    // A log in one tab, a live page in another one.
    let other = another_person(&panel, &token).await;
    other.go(&panel.url("/apps/shop/logs?component=mill")).await.unwrap();
    other.until_shows(css("#log"), "line 1").await.unwrap();
    let log = other.tab().await.unwrap();
    other.open_tab().await.unwrap();
    other.go(&panel.url("/apps/shop")).await.unwrap();
    other.until_shows(css("main"), "mill").await.unwrap();

    panel.go("/tokens").await.unwrap();
    browser.click(link("Revoke…")).await.unwrap();
    browser.until_shows(css("dialog:modal h2"), "Revoke ci").await.unwrap();
    check(&panel).await;
    browser.click(button("Revoke the token")).await.unwrap();
    browser.until_shows(css("#tokens"), "There are none beside the admin token").await.unwrap();

    other.until_there(css("input[type=password]")).await.unwrap();
    other.switch_to(&log).await.unwrap();
    // A hidden tab has no stream. When it is shown, it connects again, and that needs a new sign-in.
    other.until_there(css("input[type=password]")).await.unwrap();
    other.fill(field("Token"), &token).await.unwrap();
    other.click(button("Sign in")).await.unwrap();
    other.until_shows(css("main"), "Boatyard does not accept this token").await.unwrap();
    assert_eq!(status(&panel.at, &token).await, 401);

    // The admin and the app go on.
    panel.go("/apps/shop").await.unwrap();
    browser.until_shows(css("main"), "mill").await.unwrap();
    assert_eq!(running(&panel.at).await, containers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_person_is_listed_and_ended() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(&shop()).await.unwrap();
    let token = create(&panel, "viewer", "read", "").await;
    panel.go("/tokens").await.unwrap();
    let alone = browser.until_shows(css("#sessions"), "This session").await.unwrap();
    assert!(!alone.contains("viewer") && !browser.is_there(css("#sessions tbody button")).await.unwrap(), "{alone}");

    let other = another_person(&panel, &token).await;
    other.until_shows(css("main"), "shop").await.unwrap();
    panel.go("/tokens").await.unwrap();
    let both = browser.until_shows(css("#sessions"), "viewer").await.unwrap();
    assert!(both.contains("admin") && both.contains("This session") && both.contains("127.0.0.1"), "{both}");
    check(&panel).await;
    browser.click(css("#sessions tbody button")).await.unwrap();
    browser.until_gone(css("#sessions tbody button")).await.unwrap();
    let rest = browser.text(css("#sessions")).await.unwrap();
    assert!(rest.contains("This session") && !rest.contains("viewer"), "{rest}");

    // The live page notices by itself. The token still signs in.
    other.until_there(css("input[type=password]")).await.unwrap();
    sign_in(&other, &panel.at, &token).await.unwrap();
    other.until_shows(css("main"), "shop").await.unwrap();
    let shown = run_cli(&panel.at, &["audit", "-o", "json"]).await;
    let rows: Vec<Value> = serde_json::from_str(&shown.out).unwrap();
    let ended: Vec<_> = rows.iter().filter(|it| it["action"] == "end panel session").collect();
    assert!(ended.len() == 1 && ended[0]["token_name"] == "admin", "{rows:#?}");
}
