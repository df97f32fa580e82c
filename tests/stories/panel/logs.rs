//! The logs of an app, as they are written.

use boatyard_tests::browser::{At, button, css, keys, link};

use super::*;

/// Prints a numbered line for each request, one of them with escape sequences of a terminal.
const SPEC: &str = r#"
name: shop
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: python, tag: '3'}
  run_command: |
    python3 -uc "
    from http.server import *
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            print('asked for', self.path, chr(27) + '[31mred' + chr(27) + '[0m')
            self.send_response(200)
            self.send_header('Content-Length', '0')
            self.end_headers()
        def log_message(self, *all): pass
    HTTPServer(('', 8080), Handler).serve_forever()"
  http_port: 8080
  routes: [{path: /}]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_followed_paused_filtered_searched_and_downloaded() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    panel.at.create(SPEC).await.unwrap();
    page(&panel.at, "/one").await;
    panel.go("/apps/shop/logs?component=web").await.unwrap();
    browser.until_shows(css("#log"), "asked for /one").await.unwrap();
    // A line that is written while the page is open. The colour is not carried out.
    page(&panel.at, "/two").await;
    let shown = browser.until_shows(css("#log"), "asked for /two").await.unwrap();
    assert!(shown.contains("[31mred") && !shown.contains('\u{1b}'), "{shown:?}");
    check(&panel).await;

    browser.click(button("Pause")).await.unwrap();
    page(&panel.at, "/three").await;
    browser.until_shows(css("#log-note"), "Paused. 1 newer line waits.").await.unwrap();
    assert!(!browser.text(css("#log")).await.unwrap().contains("/three"));
    browser.click(button("Pause")).await.unwrap();
    browser.until_shows(css("#log"), "asked for /three").await.unwrap();

    browser.fill(css("#log-filter"), "/two").await.unwrap();
    browser.until_shows(css("#log-note"), "1 of ").await.unwrap();
    let shown = browser.text(css("#log")).await.unwrap();
    assert!(shown.contains("/two") && !shown.contains("/one"), "{shown}");
    browser.fill(css("#log-filter"), "").await.unwrap();
    browser.press(&format!("x{}", keys::BACKSPACE)).await.unwrap();
    browser.fill(css("#log-search"), "asked for").await.unwrap();
    browser.until_shows(css("#log-found"), "3 of 3").await.unwrap();
    browser.click(button("Previous match")).await.unwrap();
    browser.until_shows(css("#log-found"), "2 of 3").await.unwrap();
    assert!(browser.text(css("#log .current")).await.unwrap().contains("/two"));
    check(&panel).await;

    let href = browser.property(link("Download"), "href").await.unwrap();
    let file = browser.run("return fetch(arguments[0]).then(it => it.text())", &[href]).await.unwrap();
    let file = file.as_str().unwrap();
    assert!(["/one", "/two", "/three"].iter().all(|it| file.contains(it)), "{file}");

    // After a restart the log goes on with the new instance, and the old one's is kept.
    let before = running(&panel.at).await;
    let deployment = panel.at.restart("shop", &[]).await.unwrap();
    panel.at.wait_active("shop", &deployment).await.unwrap();
    assert_ne!(running(&panel.at).await, before);
    panel.go("/apps/shop/logs?component=web").await.unwrap();
    browser.until_there(At::Css("#log")).await.unwrap();
    page(&panel.at, "/four").await;
    browser.until_shows(css("#log"), "asked for /four").await.unwrap();
    check(&panel).await;
}
