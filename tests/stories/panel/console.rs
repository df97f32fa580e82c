//! A shell in an instance, in the page.

use boatyard_tests::browser::{Focused, button, css, keys};

use super::*;

const SPEC: &str = "
name: shop
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: python, tag: '3'}
  run_command: python3 -m http.server 8080
  http_port: 8080
  routes: [{path: /}]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_console_survives_a_reload_and_can_be_left_with_the_keyboard() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(SPEC).await.unwrap();
    panel.go("/apps/shop/console").await.unwrap();
    check(&panel).await;
    browser.click(button("Open console")).await.unwrap();
    browser.until_there(css("#screen")).await.unwrap();
    browser.click(css("#terminal")).await.unwrap();
    // The output differs from what is typed. Its markup and its title stay text.
    type_in(&panel, "echo \"a$((40+2))z <b>&amp;</b>\"; printf '\\033]0;title\\007\\033[31mred\\033[0m'").await;
    let shown = browser.until_shows(css("#screen"), "a42z <b>&amp;</b>").await.unwrap();
    assert!(!shown.contains("title\u{7}"), "{shown:?}");
    browser.until_shows(css("#screen"), "red").await.unwrap();
    check(&panel).await;

    // The shell goes on: it still has the variable.
    type_in(&panel, "KEPT=yes-it-is").await;
    browser.reload().await.unwrap();
    browser.until_shows(css("#screen"), "a42z").await.unwrap();
    browser.click(css("#terminal")).await.unwrap();
    type_in(&panel, "echo \"<$KEPT>\"").await;
    browser.until_shows(css("#screen"), "<yes-it-is>").await.unwrap();
    // A program that uses the whole screen, and keys without a character.
    type_in(&panel, "python3 -q").await;
    type_in(&panel, "'up' * 3").await;
    browser.until_shows(css("#screen"), "'upupup'").await.unwrap();
    browser.press(keys::UP).await.unwrap();
    browser.press(&format!("{}4{}", keys::BACKSPACE, keys::ENTER)).await.unwrap();
    browser.until_shows(css("#screen"), "'upupupup'").await.unwrap();
    browser.press(&format!("{}d", keys::CONTROL)).await.unwrap();

    browser.press(&format!("{}{}m", keys::CONTROL, keys::ALT)).await.unwrap();
    assert_ne!(browser.focused().await.unwrap().role, "textbox", "the keys no longer go to the shell");
    browser.tab_until("Close", |it: &Focused| it.name == "Close").await.unwrap();
    browser.press(keys::ENTER).await.unwrap();
    browser.until_at("/apps/shop/console").await.unwrap();
    check(&panel).await;
    let audit = run_cli(&panel.at, &["audit", "-o", "json"]).await.out;
    assert!(audit.contains("console"), "{audit}");
}

async fn type_in(panel: &Panel, line: &str) {
    panel.browser.press(&format!("{line}{}", keys::ENTER)).await.unwrap();
}
