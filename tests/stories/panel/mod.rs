//! The control panel in a real browser, used as a person does. Each story skips on a machine without chromedriver.

mod console;
mod deployments;
mod host;
mod keyboard;
mod killed;
mod logs;
mod pages;
mod refused;
mod safety;
mod sending;
mod settings;
mod signed_out;
mod texts;
mod tokens;
mod variables;

use std::collections::BTreeMap;

use boatyard_tests::browser::Browser;
use boatyard_tests::engine;
use boatyard_tests::installation::Installation;
use boatyard_tests::panel::{PAGES, Panel, sign_in};

use crate::support::*;

/// A fresh installation, and a browser that is signed in to its panel. `None` on a machine without a browser.
async fn panel() -> Option<Panel> {
    let browser = Browser::start().await.unwrap()?;
    Some(Panel::sign_in(installation().await, browser).await.unwrap())
}

/// Fails if something is wrong with the page that is open, whatever the page.
async fn check(panel: &Panel) {
    let faults = panel.faults().await.unwrap();
    assert!(faults.is_empty(), "{}: {faults:#?}", panel.browser.url().await.unwrap());
}

/// Like [`check`], after the server refused something.
async fn check_refused(panel: &Panel) {
    let faults = panel.faults_after_refusal().await.unwrap();
    assert!(faults.is_empty(), "{}: {faults:#?}", panel.browser.url().await.unwrap());
}

/// The ids of the containers that run, by component, as the engine lists them.
async fn running(at: &Installation) -> BTreeMap<String, Vec<String>> {
    engine::running_of(&at.id().unwrap()).await.unwrap()
}
