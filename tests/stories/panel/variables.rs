//! The variables of an app, changed in the page, with a look at the containers after each change.

use boatyard_tests::browser::{button, css, field};

use super::*;

const VARIABLES: &str = "/apps/shop/settings/variables";
/// Values of secrets. No page and no log contains them.
const SECRETS: [&str; 2] = ["the-first-value-of-the-secret", "the-second-value-of-the-secret"];

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_added_changed_and_removed_and_a_secret_is_never_shown_again() {
    let Some(panel) = panel().await else { return };
    let browser = &panel.browser;
    let name_first = "{key: NAME, value: web}, {key: IDLE_CLOSE_MS, value: '2000'}";
    let spec = shop().replacen("{key: IDLE_CLOSE_MS, value: '2000'}, {key: NAME, value: web}", name_first, 1);
    panel.at.create(&spec).await.unwrap();
    let first = running(&panel.at).await;

    open(&panel, "#add-web").await;
    browser.fill(field("Key"), "GREETING").await.unwrap();
    browser.fill(field("Value"), "good morning").await.unwrap();
    browser.until_shows(css("#checked"), "web: 2 instances").await.unwrap();
    check(&panel).await;
    save(&panel, "Save and deploy", 2).await;
    expect(&panel, "GREETING", Some("good morning")).await;
    let second = running(&panel.at).await;
    assert!(second["web"].iter().all(|id| !first["web"].contains(id)), "web has new instances only: {second:?}");
    assert_eq!((&second["api"], &second["mill"]), (&first["api"], &first["mill"]), "the others stay");

    // A refusal does not send the value back.
    open(&panel, "#add-web").await;
    browser.fill(field("Key"), "1KEY").await.unwrap();
    browser.fill(field("Value"), SECRETS[0]).await.unwrap();
    browser.click(css("dialog option[value=SECRET]")).await.unwrap();
    browser.click(button("Save and deploy")).await.unwrap();
    browser.until_shows(css("dialog .notice.bad"), "Nothing was changed").await.unwrap();
    assert_eq!(browser.property(css("dialog #value"), "value").await.unwrap(), "");
    assert_eq!(browser.property(css("dialog #type"), "value").await.unwrap(), "SECRET", "the choice is kept");
    check_refused(&panel).await;
    browser.fill(field("Key"), "KEY").await.unwrap();
    browser.fill(field("Value"), SECRETS[0]).await.unwrap();
    save(&panel, "Save and deploy", 3).await;
    expect(&panel, "KEY", Some(SECRETS[0])).await;
    expect_no_secret(&panel, 3).await;

    open(&panel, "#change-web-2").await;
    assert_eq!(browser.property(css("dialog #value"), "value").await.unwrap(), "good morning");
    browser.fill(field("Value"), "good evening").await.unwrap();
    save(&panel, "Save and deploy", 4).await;
    expect(&panel, "GREETING", Some("good evening")).await;
    expect(&panel, "KEY", Some(SECRETS[0])).await;

    open(&panel, "#change-web-3").await;
    assert_eq!(browser.property(css("dialog #value"), "value").await.unwrap(), "", "a secret is not filled in");
    browser.fill(field("Value"), SECRETS[1]).await.unwrap();
    check(&panel).await;
    save(&panel, "Save and deploy", 5).await;
    expect(&panel, "KEY", Some(SECRETS[1])).await;
    expect_no_secret(&panel, 5).await;

    open(&panel, "#remove-web-2").await;
    browser.until_shows(css("#checked"), "web: 2 instances").await.unwrap();
    check(&panel).await;
    save(&panel, "Remove and deploy", 6).await;
    expect(&panel, "GREETING", None).await;
    expect(&panel, "KEY", Some(SECRETS[1])).await;
}

/// Opens a dialogue by its button on the page of the variables.
async fn open(panel: &Panel, button: &str) {
    panel.go(VARIABLES).await.unwrap();
    panel.browser.click(css(button)).await.unwrap();
    panel.browser.until_there(css("dialog:modal")).await.unwrap();
}

/// Sends the dialogue, and waits until the deployment that it starts is active.
async fn save(panel: &Panel, name: &str, deployment: u64) {
    panel.browser.click(button(name)).await.unwrap();
    panel.browser.until_at(&format!("/apps/shop/deployments/{deployment}")).await.unwrap();
    panel.until_phase("Active").await.unwrap();
}

/// Checks a variable in the containers of `web`, and on the page.
async fn expect(panel: &Panel, key: &str, value: Option<&str>) {
    for container in &running(&panel.at).await["web"] {
        let environment = engine::environment_of(container).await.unwrap();
        let prefix = format!("{key}=");
        let found = environment.iter().find_map(|it| it.strip_prefix(&prefix));
        assert_eq!(found, value, "{key} in container {container}");
    }
    panel.go(VARIABLES).await.unwrap();
    let shown = panel.browser.text(css("#variables-web")).await.unwrap();
    assert_eq!(shown.contains(key), value.is_some(), "{key}: {shown}");
    let is_secret = value.is_some_and(|it| SECRETS.contains(&it));
    assert_eq!(value.is_some_and(|it| shown.contains(it)), value.is_some() && !is_secret, "{key}: {shown}");
}

/// Loads every page as the server sends it, the streams of its live parts too, and looks for the secrets in it.
async fn expect_no_secret(panel: &Panel, deployment: u64) {
    let load = "const answer = await fetch(arguments[0]);
        if (!answer.ok) return `status ${answer.status}`;
        const page = await answer.text();
        const live = new DOMParser().parseFromString(page, 'text/html').querySelector('[data-live]')?.dataset.live;
        if (!live) return page;
        const reader = (await fetch(live)).body.getReader();
        const first = new TextDecoder().decode((await reader.read()).value);
        await reader.cancel();
        return page + first";
    let more =
        [format!("/apps/shop/deployments/{deployment}"), format!("{VARIABLES}?action=change&of=web&at=3&name=KEY")];
    for path in PAGES.iter().map(|(_, path)| *path).chain(more.iter().map(String::as_str)) {
        let page = panel.browser.run(load, &[path.into()]).await.unwrap();
        let page = page.as_str().unwrap();
        assert!(page.contains("</html>"), "{path}: {page}");
        for secret in SECRETS {
            assert!(!page.contains(secret), "{path} contains {secret}: {page}");
        }
    }
    for secret in SECRETS {
        assert_eq!(panel.at.count_in_log(secret), 0, "lines of the log with {secret}");
    }
}
