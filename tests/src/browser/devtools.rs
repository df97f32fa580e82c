//! What only the browser's developer tools offer: screen sizes, themes, pictures, the console and the size of a page.

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Browser, NETWORK_CHANGED};

/// The theme that the browser asks pages for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
}

/// A file that the page loaded, or the page itself.
#[derive(Clone, Debug)]
pub struct Resource {
    pub url: String,
    /// Size in bytes, without headers and before compression, even if it came from the cache.
    pub size: u64,
}

impl Browser {
    /// Makes the window this large, in CSS pixels. `phone`: as a phone shows the page.
    pub async fn resize(&self, width: u32, height: u32, phone: bool) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    /// Asks pages for this theme.
    pub async fn set_theme(&self, theme: Theme) -> Result<()> {
        let value = if theme == Theme::Dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": value });
        self.devtools("Emulation.setEmulatedMedia", json!({ "features": [feature] })).await.map(drop)
    }

    /// A picture of the whole page as a PNG, also of what is below the window.
    pub async fn screenshot(&self) -> Result<Vec<u8>> {
        let options = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.devtools("Page.captureScreenshot", options).await?;
        Ok(STANDARD.decode(picture["data"].as_str().context("a picture")?)?)
    }

    /// The errors in the console since the last call: exceptions, files that are missing, refusals of the content
    /// security policy. Without those that the machine's network causes.
    pub async fn console_errors(&self) -> Result<Vec<String>> {
        let log = self.post("se/log", json!({ "type": "browser" })).await?;
        let log = log.as_array().context("a log")?;
        let errors =
            log.iter().filter(|entry| entry["level"] == "SEVERE").filter_map(|entry| entry["message"].as_str());
        Ok(errors.filter(|message| !message.contains(NETWORK_CHANGED)).map(str::to_owned).collect())
    }

    /// The page and all files that it has loaded so far.
    pub async fn resources(&self) -> Result<Vec<Resource>> {
        let script =
            "return [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
            .map(it => [it.name, it.decodedBodySize])";
        let found = self.run(script, &[]).await?;
        let found = found.as_array().context("a list of resources")?.iter();
        let read = |it: &Value| Some(Resource { url: it[0].as_str()?.to_owned(), size: it[1].as_u64()? });
        found.map(|it| read(it).context("an address and a size")).collect()
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.post("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }
}
