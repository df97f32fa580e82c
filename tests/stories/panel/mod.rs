//! The control panel in a real browser, used as a person does. Each story skips on a machine without chromedriver.

mod console;
mod deployments;
mod keyboard;
mod killed;
mod logs;
mod pages;
mod safety;
mod settings;
mod texts;

use boatyard_tests::browser::Browser;
use boatyard_tests::panel::{PAGES, Panel};

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
