//! A headless Chromium for the end-to-end tests, driven through its chromedriver with the WebDriver protocol.
//!
//! A test names elements as a person does: by role and accessible name. Each action waits until it is possible, because
//! pages change while a test looks at them.
//!
//! The protocol is JSON over HTTP, and the tests use little of it. The crates for it do not fit: `fantoccini` contains code
//! under the MPL, and `thirtyfour` turns on a feature of serde_json that changes the JSON of the product under test.

mod axe;
mod devtools;
mod driver;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::installation::ENDS_WITHIN;
use driver::{Driver, Refusal};

pub use axe::axe;
pub use devtools::{Resource, Theme};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const NO_BROWSER: &str = "no chromedriver in the PATH. Run: scripts/browser";
/// If this variable is 1, a test fails where it would skip because this machine has no browser or no axe-core.
const REQUIRED: &str = "BOATYARD_REQUIRE_BROWSER";
/// The property that holds an element's id, as the WebDriver standard defines it.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Chromium drops connections that it is opening while an address of this machine appears or disappears, as those of
/// containers do.
const NETWORK_CHANGED: &str = "ERR_NETWORK_CHANGED";
/// How often [`Browser::tab_until`] presses Tab. No page has as many elements that take the focus.
const MAX_TABS: usize = 100;

/// Keys without a character, as the WebDriver standard encodes them.
pub mod keys {
    pub const TAB: &str = "\u{E004}";
    pub const ENTER: &str = "\u{E007}";
    pub const ESCAPE: &str = "\u{E00C}";
    pub const SPACE: &str = " ";
    pub const BACKSPACE: &str = "\u{E003}";
    pub const UP: &str = "\u{E013}";
    pub const DOWN: &str = "\u{E015}";
    pub const LEFT: &str = "\u{E012}";
    pub const RIGHT: &str = "\u{E014}";
    /// Held down until the end of the keys that follow.
    pub const SHIFT: &str = "\u{E008}";
    pub const CONTROL: &str = "\u{E009}";
    pub const ALT: &str = "\u{E00A}";
}

/// A running browser with an empty profile. Dropping it ends the browser.
pub struct Browser {
    driver: Driver,
}

/// Which element of a page. If several match, the first one counts.
#[derive(Clone, Copy, Debug)]
pub enum At<'a> {
    Css(&'a str),
    /// The accessible role and name: what a screen reader says.
    Named(&'a str, &'a str),
}

pub fn button(name: &str) -> At<'_> {
    At::Named("button", name)
}

pub fn link(name: &str) -> At<'_> {
    At::Named("link", name)
}

pub fn checkbox(name: &str) -> At<'_> {
    At::Named("checkbox", name)
}

/// A text field or text area.
pub fn field(name: &str) -> At<'_> {
    At::Named("textbox", name)
}

pub fn css(selector: &str) -> At<'_> {
    At::Css(selector)
}

/// An element of the page that is shown now. It becomes invalid if the page replaces it.
struct Element(String);

/// A tab of the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tab(String);

/// What has the focus, as a screen reader says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Focused {
    pub role: String,
    pub name: String,
}

impl Browser {
    /// Starts a browser for a test. Returns `None` if this machine has no chromedriver and the test may skip.
    pub async fn start() -> Result<Option<Browser>> {
        let driver = Driver::start().await?;
        if driver.is_none() {
            skip(NO_BROWSER, is_required())?;
        }
        Ok(driver.map(|driver| Browser { driver }))
    }

    /// Starts a browser for a program that can do nothing without one.
    pub async fn start_required() -> Result<Browser> {
        let driver = Driver::start().await?.context(NO_BROWSER)?;
        Ok(Browser { driver })
    }

    /// Ends the browser and starts it again with the same home directory.
    pub async fn restart(&mut self) -> Result<()> {
        self.driver.restart_browser().await
    }

    /// The home directory of the browser.
    pub fn home(&self) -> &std::path::Path {
        self.driver.home()
    }

    /// Opens a page in the current tab and waits until it is loaded.
    pub async fn go(&self, url: &str) -> Result<()> {
        self.load(url, async || self.post("url", json!({ "url": url })).await).await
    }

    /// Loads the page again, as the browser's button does.
    pub async fn reload(&self) -> Result<()> {
        self.load("the page again", async || self.post("refresh", json!({})).await).await
    }

    /// Loads a page, again if the browser drops the connection. The driver reports that as an error, or as a loaded page, which
    /// is then the browser's error page.
    async fn load(&self, what: &str, load: impl AsyncFn() -> Result<Value>) -> Result<()> {
        let look = async || match load().await {
            Err(error) if error.to_string().contains(NETWORK_CHANGED) => Ok(None),
            Ok(_) if self.page_text().await?.contains(NETWORK_CHANGED) => Ok(None),
            loaded => Ok(Some(loaded)),
        };
        self.until(what, look).await?.map(drop)
    }

    async fn page_text(&self) -> Result<String> {
        into_text(self.run("return document.body ? document.body.innerText : ''", &[]).await?)
    }

    /// The address of the page.
    pub async fn url(&self) -> Result<String> {
        into_text(self.get("url").await?)
    }

    /// The title of the page.
    pub async fn title(&self) -> Result<String> {
        into_text(self.get("title").await?)
    }

    /// Waits until the page is at an address that ends with this text.
    pub async fn until_at(&self, end: &str) -> Result<()> {
        let look = async || Ok(self.url().await?.ends_with(end).then_some(()));
        self.until(&format!("the page {end}"), look).await
    }

    /// Clicks an element, as soon as it is there and nothing covers it.
    pub async fn click(&self, at: At<'_>) -> Result<()> {
        self.on_element(at, "click", async |it| self.post(&it.command("click"), json!({})).await.map(drop)).await
    }

    /// Replaces the text in a field by typing.
    pub async fn fill(&self, at: At<'_>, text: &str) -> Result<()> {
        let type_in = async |it: &Element| {
            self.post(&it.command("clear"), json!({})).await?;
            self.post(&it.command("value"), json!({ "text": text })).await.map(drop)
        };
        self.on_element(at, "fill", type_in).await
    }

    /// The visible text of an element, which may have to appear first.
    pub async fn text(&self, at: At<'_>) -> Result<String> {
        self.on_element(at, "read", async |it| into_text(self.get(&it.command("text")).await?)).await
    }

    /// A property of an element, such as `value`, `checked` or `disabled`.
    pub async fn property(&self, at: At<'_>, name: &str) -> Result<Value> {
        self.on_element(at, "read", async |it| self.get(&it.command(&format!("property/{name}"))).await).await
    }

    /// Waits until an element is there.
    pub async fn until_there(&self, at: At<'_>) -> Result<()> {
        self.until(&format!("{at}"), async || Ok(self.find(at).await?.map(drop))).await
    }

    /// Waits until an element is no longer there.
    pub async fn until_gone(&self, at: At<'_>) -> Result<()> {
        self.until(&format!("{at} to go"), async || Ok(self.find(at).await?.is_none().then_some(()))).await
    }

    /// Waits until the visible text of an element contains `part`, and returns the text.
    pub async fn until_shows(&self, at: At<'_>, part: &str) -> Result<String> {
        let look = async || {
            let text = self.text_now(at).await?;
            Ok(text.filter(|text| text.contains(part)))
        };
        self.until(&format!("{part:?} in {at}"), look).await
    }

    /// Whether an element is on the page now.
    pub async fn is_there(&self, at: At<'_>) -> Result<bool> {
        Ok(self.find(at).await?.is_some())
    }

    /// Waits until `look` returns a value. A refusal by the browser counts as not yet: the page may just be replacing the
    /// element.
    pub async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            let refusal = match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => None,
                Err(error) if error.is::<Refusal>() => Some(error),
                Err(error) => return Err(error),
            };
            if Instant::now() >= deadline {
                bail!("waited in vain for {what} ({refusal:?}). {}", self.describe_page().await);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Presses keys, one after the other, in whatever has the focus. Modifiers are held down until the end.
    pub async fn press(&self, keys: &str) -> Result<()> {
        let press = |key: char| [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        let is_modifier = |key: &char| [keys::SHIFT, keys::CONTROL, keys::ALT].iter().any(|it| it.starts_with(*key));
        let held: Vec<char> = keys.chars().filter(is_modifier).collect();
        let mut events: Vec<Value> = held.iter().map(|key| json!({ "type": "keyDown", "value": key })).collect();
        events.extend(keys.chars().filter(|key| !is_modifier(key)).flat_map(press));
        events.extend(held.iter().map(|key| json!({ "type": "keyUp", "value": key })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": events });
        self.post("actions", json!({ "actions": [keyboard] })).await.map(drop)
    }

    /// Presses Tab until the element of this role and name has the focus.
    pub async fn tab_to(&self, role: &str, name: &str) -> Result<()> {
        self.tab_until(&format!("{role} {name:?}"), |it| it.role == role && it.name == name).await
    }

    /// Presses Tab until an element for which `is_wanted` holds has the focus.
    pub async fn tab_until(&self, what: &str, is_wanted: impl Fn(&Focused) -> bool) -> Result<()> {
        let mut seen = Vec::new();
        for _ in 0..MAX_TABS {
            self.press(keys::TAB).await?;
            let focused = self.focused().await?;
            if is_wanted(&focused) {
                return Ok(());
            }
            seen.push(focused);
        }
        bail!("Tab never reached {what}, but {seen:?}")
    }

    /// What has the focus.
    pub async fn focused(&self) -> Result<Focused> {
        let look = async || {
            let active = Element::read(&self.get("element/active").await?)?;
            Ok(Some(Focused { role: self.role(&active).await?, name: self.name(&active).await? }))
        };
        self.until("the focus", look).await
    }

    /// Runs the body of a JavaScript function in the page, with these `arguments`, and returns its result. Waits for a
    /// promise.
    pub async fn run(&self, body: &str, arguments: &[Value]) -> Result<Value> {
        self.post("execute/sync", json!({ "script": body, "args": arguments })).await
    }

    /// Makes the document in a frame of the page the current one, until the next page.
    pub async fn enter_frame(&self, at: At<'_>) -> Result<()> {
        let enter = async |it: &Element| self.post("frame", json!({ "id": { ELEMENT: it.0 } })).await.map(drop);
        self.on_element(at, "enter", enter).await
    }

    /// Opens a tab and switches to it.
    pub async fn open_tab(&self) -> Result<Tab> {
        let opened = self.post("window/new", json!({ "type": "tab" })).await?;
        let tab = Tab(into_text(opened["handle"].clone())?);
        self.switch_to(&tab).await?;
        Ok(tab)
    }

    /// The current tab.
    pub async fn tab(&self) -> Result<Tab> {
        Ok(Tab(into_text(self.get("window").await?)?))
    }

    /// Makes another tab the current one.
    pub async fn switch_to(&self, tab: &Tab) -> Result<()> {
        self.post("window", json!({ "handle": tab.0 })).await.map(drop)
    }

    /// Does something to an element as soon as that is possible.
    async fn on_element<T>(&self, at: At<'_>, action: &str, act: impl AsyncFn(&Element) -> Result<T>) -> Result<T> {
        let look = async || match self.find(at).await? {
            Some(element) => act(&element).await.map(Some),
            None => Ok(None),
        };
        self.until(&format!("{at}, to {action} it"), look).await
    }

    async fn text_now(&self, at: At<'_>) -> Result<Option<String>> {
        match self.find(at).await? {
            Some(element) => into_text(self.get(&element.command("text")).await?).map(Some),
            None => Ok(None),
        }
    }

    async fn find(&self, at: At<'_>) -> Result<Option<Element>> {
        let (role, name) = match at {
            At::Css(selector) => return Ok(self.all(selector).await?.into_iter().next()),
            At::Named(role, name) => (role, name),
        };
        for element in self.all(candidates(role)).await? {
            // An element that is not shown has no role.
            if self.name(&element).await? == name && self.role(&element).await? == role {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    async fn all(&self, selector: &str) -> Result<Vec<Element>> {
        let found = self.post("elements", json!({ "using": "css selector", "value": selector })).await?;
        found.as_array().context("a list of elements")?.iter().map(Element::read).collect()
    }

    async fn role(&self, element: &Element) -> Result<String> {
        into_text(self.get(&element.command("computedrole")).await?)
    }

    async fn name(&self, element: &Element) -> Result<String> {
        into_text(self.get(&element.command("computedlabel")).await?)
    }

    /// The page, for the message of a failed test.
    async fn describe_page(&self) -> String {
        let text = self.run("return location.href + ' shows:\\n' + document.body.innerText", &[]).await;
        match text.and_then(into_text) {
            Ok(text) => text.chars().take(4_000).collect(),
            Err(error) => format!("The page cannot be read: {error:#}"),
        }
    }

    async fn get(&self, command: &str) -> Result<Value> {
        self.driver.command("GET", command, None).await
    }

    async fn post(&self, command: &str, body: Value) -> Result<Value> {
        self.driver.command("POST", command, Some(&body)).await
    }
}

impl Element {
    fn read(found: &Value) -> Result<Element> {
        Ok(Element(into_text(found[ELEMENT].clone())?))
    }

    fn command(&self, name: &str) -> String {
        format!("element/{}/{name}", self.0)
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Css(selector) => write!(f, "{selector}"),
            At::Named(role, name) => write!(f, "the {role} {name:?}"),
        }
    }
}

/// Whether tests may not skip.
fn is_required() -> bool {
    std::env::var(REQUIRED).is_ok_and(|it| it == "1")
}

/// Prints why a test skips. Errors: it is required.
fn skip(why: &str, is_required: bool) -> Result<()> {
    ensure!(!is_required, "{why} (or let the tests that need it skip: {REQUIRED}=0)");
    println!("skipped: {why}");
    Ok(())
}

/// The elements that may have a role. The browser computes the role and the name of each, which takes a request.
fn candidates(role: &str) -> &'static str {
    match role {
        "button" => "button, summary, input[type=submit], [role=button]",
        "link" => "a[href]",
        "checkbox" => "input[type=checkbox]",
        "radio" => "input[type=radio]",
        "textbox" => "input, textarea, [role=textbox]",
        "heading" => "h1, h2, h3, h4",
        "tab" => "[role=tab]",
        _ => "body *",
    }
}

fn into_text(value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        other => bail!("the driver answered {other} instead of a text"),
    }
}
