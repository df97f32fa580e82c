//! What other sites, and texts from outside, cannot do to the panel.

use boatyard_tests::browser::{At, css};
use boatyard_tests::panel::Panel;
use boatyard_tests::site::Site;

use super::*;

/// A page that sends a form to `target` as soon as it is open.
fn forger(target: &str) -> String {
    format!(
        "<!doctype html><title>Forger</title><link rel=icon href=data:,>
        <form method=post action='{target}'><input name=action value=restart><input name=csrf value=guessed></form>
        <script>document.forms[0].submit()</script>"
    )
}

/// A page that sends the same with `fetch`, and then names itself `sent`.
fn fetcher(target: &str) -> String {
    format!(
        "<!doctype html><title>Fetcher</title><link rel=icon href=data:,>
        <script>
        const body = new URLSearchParams({{ action: 'restart', csrf: 'guessed' }});
        fetch('{target}', {{ method: 'POST', mode: 'no-cors', credentials: 'include', body }})
            .finally(() => document.title = 'sent')
        </script>"
    )
}

fn framer(target: &str) -> String {
    format!("<!doctype html><title>Framer</title><link rel=icon href=data:,><iframe src='{target}'></iframe>")
}

async fn deployments(panel: &Panel) -> usize {
    let answer = panel.at.ok("GET", "/v2/apps/shop/deployments", None).await.unwrap();
    answer["deployments"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_sites_can_neither_send_forms_nor_frame_a_page() {
    let Some(panel) = panel().await else { return };
    panel.at.create(&shop()).await.unwrap();
    let before = panel.at.containers("shop").await.unwrap();
    let target = panel.url("/apps/shop/restart");
    let (forger, fetcher, framer) = (forger(&target), fetcher(&target), framer(&panel.url("/apps/shop")));
    let site = Site::start(&[("/form", &forger), ("/fetch", &fetcher), ("/frame", &framer)]).await.unwrap();

    // `localhost` is another site for the browser, which keeps the cookie back. 127.0.0.1 is the same site, with another
    // port, and gets the cookie: there the panel has to refuse.
    for host in ["localhost", "127.0.0.1"] {
        panel.browser.go(&site.url(host, "/form")).await.unwrap();
        panel
            .browser
            .until("an answer", async || {
                let url = panel.browser.url().await?;
                Ok((!url.ends_with("/form")).then_some(()))
            })
            .await
            .unwrap();
        panel.browser.until_there(css("h1")).await.unwrap();
        assert!(!panel.browser.url().await.unwrap().contains("/deployments/"), "{host}");
        panel.browser.go(&site.url(host, "/fetch")).await.unwrap();
        panel
            .browser
            .until("the answer to a fetch", async || Ok((panel.browser.title().await? == "sent").then_some(())))
            .await
            .unwrap();

        panel.browser.go(&site.url(host, "/frame")).await.unwrap();
        panel.browser.enter_frame(css("iframe")).await.unwrap();
        let framed = panel.browser.run("return document.documentElement.innerText + location.href", &[]).await.unwrap();
        assert!(framed.as_str().unwrap().contains("chrome-error:"), "{host}: the frame shows {framed}");
    }
    assert_eq!(deployments(&panel).await, 1);
    assert_eq!(panel.at.containers("shop").await.unwrap(), before);

    // The session itself is as good as before.
    panel.go("/").await.unwrap();
    panel.browser.until_there(At::Named("heading", "Apps")).await.unwrap();
}
