//! Pages while the server is away.

use boatyard_tests::browser::css;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_recovers_by_itself_after_serve_was_killed_during_a_roll() {
    let Some(mut panel) = panel().await else { return };
    let slow = shop().replace("{key: NAME,", "{key: START_DELAY_MS, value: '1000'}, {key: NAME,");
    panel.at.create(&slow).await.unwrap();
    // A restart may be over before its page is open. Then another one follows.
    let mut number = 1;
    let before = loop {
        let before = panel.at.containers("shop").await.unwrap();
        panel.at.restart("shop", &[]).await.unwrap();
        number += 1;
        panel.go(&format!("/apps/shop/deployments/{number}")).await.unwrap();
        let look = async || {
            let text = panel.browser.text(css("main")).await?;
            Ok(["starting", "Active"].into_iter().find(|it| text.contains(it)))
        };
        if panel.browser.until("an instance that starts", look).await.unwrap() == "starting" {
            break before;
        }
    };
    // Is lost if the page is loaded again.
    panel.browser.run("window.sameDocument = true", &[]).await.unwrap();

    panel.at.kill_serve();
    panel.browser.until_shows(css("#connection"), "Connection lost").await.unwrap();
    panel.at.serve().await.unwrap();
    panel.until_phase("Active").await.unwrap();
    assert_eq!(panel.browser.property(css("#connection"), "hidden").await.unwrap(), json!(true));
    assert_eq!(panel.browser.run("return window.sameDocument", &[]).await.unwrap(), json!(true));
    let after = panel.at.containers("shop").await.unwrap();
    assert!(after.len() == before.len() && after.iter().all(|it| !before.contains(it)), "{after:?}");
    // The lost connection is in the console, and must be all there is.
    let others =
        |it: &String| !it.contains("ERR_CONNECTION_REFUSED") && !it.contains("ERR_INCOMPLETE_CHUNKED_ENCODING");
    let errors: Vec<_> = panel.browser.console_errors().await.unwrap().into_iter().filter(others).collect();
    assert!(errors.is_empty(), "{errors:?}");
}
