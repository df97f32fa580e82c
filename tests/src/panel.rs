//! The control panel in a browser, for the stories and for its pictures.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::browser::{At, Browser, axe, button, css, field};
use crate::installation::Installation;

/// The pages of the panel and its dialogues, for an app `shop` with two deployments that served, whose component `web` has `NAME`
/// as its first variable. Each has a short name.
pub const PAGES: &[(&str, &str)] = &[
    ("apps", "/"),
    ("new", "/new-app"),
    ("app", "/apps/shop"),
    ("restart", "/apps/shop?action=restart"),
    ("rebuild", "/apps/shop?action=rebuild"),
    ("deploy", "/apps/shop?action=deploy"),
    ("rollback", "/apps/shop?action=rollback"),
    ("delete", "/apps/shop?action=delete"),
    ("deployment", "/apps/shop/deployments/2"),
    ("cancel", "/apps/shop/deployments/2?action=cancel"),
    ("activity", "/apps/shop/activity"),
    ("logs", "/apps/shop/logs"),
    ("console", "/apps/shop/console"),
    ("settings", "/apps/shop/settings"),
    ("variables", "/apps/shop/settings/variables"),
    ("add-variable", "/apps/shop/settings/variables?action=add&of=web"),
    ("change-variable", "/apps/shop/settings/variables?action=change&of=web&at=0&name=NAME"),
    ("remove-variable", "/apps/shop/settings/variables?action=remove&of=web&at=0&name=NAME"),
    ("tokens", "/tokens"),
    ("audit", "/tokens/audit"),
    ("host", "/host"),
];

/// An installation, and a browser for its panel.
pub struct Panel {
    pub at: Installation,
    pub browser: Browser,
    axe: Option<String>,
}

impl Panel {
    /// Signs in with the admin token.
    pub async fn sign_in(at: Installation, browser: Browser) -> Result<Panel> {
        sign_in(&browser, &at, at.token()).await?;
        Ok(Panel { at, browser, axe: axe()? })
    }

    /// The address of a page.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at.api())
    }

    /// Opens a page.
    pub async fn go(&self, path: &str) -> Result<()> {
        self.browser.go(&self.url(path)).await
    }

    /// Waits until the deployment whose page is open has this phase, in the panel's words. Returns its number.
    pub async fn until_phase(&self, phase: &str) -> Result<u64> {
        self.browser.until_shows(css("#deployment .badge"), phase).await?;
        let url = self.browser.url().await?;
        let number = url.rsplit_once("/deployments/").context("the page of a deployment")?.1;
        Ok(number.trim_end_matches(|it: char| !it.is_ascii_digit()).parse()?)
    }

    /// The size of the page that is open in bytes, with everything that it loads and before compression.
    pub async fn weight(&self) -> Result<u64> {
        Ok(self.browser.resources().await?.iter().map(|it| it.size).sum())
    }

    /// Like [`Panel::faults`], after the server refused something: the browser reports the status of the answer as an error.
    pub async fn faults_after_refusal(&self) -> Result<Vec<String>> {
        let mut faults = self.faults().await?;
        // Filtered after all errors were read: the browser may report the answer late.
        faults.retain(|it| !it.contains("the server responded with a status of 4"));
        Ok(faults)
    }

    /// What is wrong with the page that is open, whatever the page: errors in the console, too much weight, a text that
    /// became markup, accessibility problems (on a machine with axe-core).
    pub async fn faults(&self) -> Result<Vec<String>> {
        let mut faults = self.browser.console_errors().await?;
        let weight = self.weight().await?;
        if weight > MAX_WEIGHT {
            faults.push(format!("the page weighs {weight} bytes: {:?}", self.browser.resources().await?));
        }
        let injected = self.browser.run(FIND_INJECTED, &[]).await?;
        faults.extend(injected.as_array().into_iter().flatten().map(Value::to_string));
        if let Some(axe) = &self.axe {
            faults.extend(self.browser.accessibility_problems(axe).await?);
            // Those of axe-core itself: the content security policy forbids some of what it tries.
            self.browser.console_errors().await?;
        }
        Ok(faults)
    }
}

/// Signs another browser in, with any token.
pub async fn sign_in(browser: &Browser, at: &Installation, token: &str) -> Result<()> {
    browser.go(&format!("http://{}/", at.api())).await?;
    browser.fill(field("Token"), token).await?;
    browser.click(button("Sign in")).await?;
    browser.until_there(At::Named("heading", "Apps")).await
}

/// The most that [`Panel::weight`] may be.
const MAX_WEIGHT: u64 = 100_000;

/// Finds elements that no page of the panel has, so that a text has become markup. The corpus of texts sets `hacked`.
const FIND_INJECTED: &str = "
const strange = [...document.querySelectorAll('script:not([src]), iframe, object, embed, base, img[src=x], [style]')];
const handlers = [...document.querySelectorAll('*')].filter(it => it.getAttributeNames().some(name => name.startsWith('on')));
const links = [...document.querySelectorAll('a[href]')].filter(it => !['http:', 'https:'].includes(it.protocol));
return [...strange, ...handlers, ...links].map(it => 'injected: ' + it.outerHTML.slice(0, 300))
    .concat(window.hacked ? ['a text was run as a script'] : [])";
