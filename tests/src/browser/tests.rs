//! The browser used on pages that the test serves.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::site::Site;

const PAGE: &str = r#"<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,">
<style>body { background: white } @media (prefers-color-scheme: dark) { body { background: black } }</style>
<button hidden>Restart</button>
<label>Name <input id="name"></label>
<label><input type="checkbox" id="web"> web</label>
<button id="restart">Restart</button>
<a href="/other" aria-label="The other page">other</a>
<p id="out">nothing</p>
<script>
restart.onclick = () => setTimeout(() => { out.outerHTML = '<p id="out">restarted ' + document.getElementById('name').value + '</p>' }, 50)
onkeydown = event => { document.title += ' ' + (event.shiftKey ? 'S-' : '') + event.key }
</script>"#;

async fn open(site: &Site) -> Option<Browser> {
    let browser = Browser::start().await.unwrap()?;
    browser.go(&site.url("127.0.0.1", "/")).await.unwrap();
    Some(browser)
}

async fn site() -> Site {
    Site::start(&[("/", PAGE), ("/other", "<link rel=icon href=data:,><title>Other</title><h1>Other</h1>")])
        .await
        .unwrap()
}

#[tokio::test]
async fn a_page_is_used_by_the_names_of_its_elements() {
    let site = site().await;
    let Some(browser) = open(&site).await else { return };
    assert_eq!(browser.title().await.unwrap(), "Shop");
    browser.fill(field("Name"), "first").await.unwrap();
    browser.fill(field("Name"), "shop").await.unwrap();
    browser.click(checkbox("web")).await.unwrap();
    assert_eq!(browser.property(css("#web"), "checked").await.unwrap(), true);
    // The first button of that name is not shown.
    browser.click(button("Restart")).await.unwrap();
    assert_eq!(browser.until_shows(css("#out"), "restarted").await.unwrap(), "restarted shop");
    assert!(!browser.is_there(button("Delete")).await.unwrap());
    browser.click(link("The other page")).await.unwrap();
    browser.until_at("/other").await.unwrap();
    assert_eq!(browser.text(css("h1")).await.unwrap(), "Other");
    assert_eq!(browser.console_errors().await.unwrap(), Vec::<String>::new());
    assert_eq!(site.requests(), ["GET /", "GET /other"]);
}

#[tokio::test]
async fn keys_go_to_the_element_with_the_focus() {
    let site = site().await;
    let Some(browser) = open(&site).await else { return };
    browser.tab_to("textbox", "Name").await.unwrap();
    browser.press("ab").await.unwrap();
    browser.press(&format!("{}{}", keys::SHIFT, keys::TAB)).await.unwrap();
    browser.tab_to("button", "Restart").await.unwrap();
    assert_eq!(browser.focused().await.unwrap(), Focused { role: "button".into(), name: "Restart".into() });
    browser.press(keys::ENTER).await.unwrap();
    browser.until_shows(css("#out"), "restarted ab").await.unwrap();
    browser.press(keys::ESCAPE).await.unwrap();
    let title = browser.title().await.unwrap();
    assert!(title.contains("a b S-Shift S-Tab") && title.ends_with("Enter Escape"), "{title}");
    assert!(browser.tab_to("button", "Delete").await.is_err());
}

#[tokio::test]
async fn the_console_the_size_of_a_page_and_its_appearance_are_known() {
    let site = site().await;
    let Some(browser) = open(&site).await else { return };
    let background = "return getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.run(background, &[]).await.unwrap(), "rgb(255, 255, 255)");
    browser.set_theme(Theme::Dark).await.unwrap();
    browser.resize(390, 844, true).await.unwrap();
    assert_eq!(browser.run(background, &[]).await.unwrap(), "rgb(0, 0, 0)");
    assert_eq!(browser.run("return innerWidth >= arguments[0]", &[390.into()]).await.unwrap(), true);
    assert!(browser.screenshot().await.unwrap().starts_with(b"\x89PNG"));

    let resources = browser.resources().await.unwrap();
    assert_eq!(resources.iter().map(|it| it.size).sum::<u64>(), PAGE.len() as u64, "{resources:?}");
    browser.run("return fetch('/missing').then(it => it.status)", &[]).await.unwrap();
    let errors = browser.console_errors().await.unwrap();
    assert!(errors.len() == 1 && errors[0].contains("/missing"), "{errors:?}");
    assert!(browser.console_errors().await.unwrap().is_empty(), "each error is reported once");
}

#[tokio::test]
async fn serious_accessibility_problems_are_found() {
    let pages = [("/", PAGE), ("/bad", "<!doctype html><html lang=en><title>Bad</title><h1>Bad</h1><input>")];
    let site = Site::start(&pages).await.unwrap();
    let (Some(axe), Some(browser)) = (axe().unwrap(), open(&site).await) else { return };
    assert_eq!(browser.accessibility_problems(&axe).await.unwrap(), Vec::<String>::new());
    browser.go(&site.url("127.0.0.1", "/bad")).await.unwrap();
    let problems = browser.accessibility_problems(&axe).await.unwrap();
    assert!(problems.len() == 1 && problems[0].starts_with("label: "), "{problems:?}");
}

#[tokio::test]
async fn an_animation_ends_before_accessibility_is_judged() {
    let page = "<!doctype html><html lang=en><title>Fading</title><link rel=icon href=data:,><h1>Fading</h1>
        <style>h1 { animation: fade 3s } p { animation: fade 3s infinite } @keyframes fade { from { opacity: 0 } }</style>
        <p aria-hidden=true></p>";
    let site = Site::start(&[("/", page)]).await.unwrap();
    let (Some(axe), Some(browser)) = (axe().unwrap(), open(&site).await) else { return };
    assert_eq!(browser.accessibility_problems(&axe).await.unwrap(), Vec::<String>::new());
}

#[test]
fn a_test_without_what_it_needs_skips_unless_that_is_forbidden() {
    skip("no browser", false).unwrap();
    let error = skip("no browser. Run: scripts/browser", true).unwrap_err().to_string();
    assert!(error.contains("Run: scripts/browser") && error.contains("BOATYARD_REQUIRE_BROWSER=0"), "{error}");
}

#[tokio::test]
async fn a_page_of_another_site_is_open_in_a_second_tab() {
    let (site, other) = (site().await, site().await);
    let Some(browser) = open(&site).await else { return };
    let first = browser.tab().await.unwrap();
    browser.run("document.cookie = 'session=1'", &[]).await.unwrap();
    browser.open_tab().await.unwrap();
    browser.go(&other.url("localhost", "/")).await.unwrap();
    assert_eq!(browser.run("return document.cookie", &[]).await.unwrap(), "");
    // Cookies ignore ports.
    browser.go(&other.url("127.0.0.1", "/")).await.unwrap();
    assert_eq!(browser.run("return document.cookie", &[]).await.unwrap(), "session=1");
    browser.switch_to(&first).await.unwrap();
    assert_eq!(browser.url().await.unwrap(), site.url("127.0.0.1", "/"));
}

#[tokio::test]
async fn a_dropped_browser_leaves_nothing_behind() {
    let site = site().await;
    let Some(browser) = open(&site).await else { return };
    let (pid, home) = browser.driver.process_and_home();
    drop(browser);
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "still runs: {state}");
    assert!(!home.exists(), "{} is left", home.display());
}

#[tokio::test]
async fn a_page_is_loaded_again_after_a_change_of_the_network() {
    const FAILS_ONCE: &str = "<link rel=icon href=data:,><body><script>
        document.body.innerText = localStorage.loaded ? 'page' : 'ERR_NETWORK_CHANGED'; localStorage.loaded = 1</script>";
    let site = Site::start(&[("/", FAILS_ONCE)]).await.unwrap();
    let Some(browser) = open(&site).await else { return };
    assert_eq!(browser.text(css("body")).await.unwrap(), "page");
}
