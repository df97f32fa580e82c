//! The style sheet, the script and the icon.
//!
//! The address of an asset contains a hash of its content, so browsers may keep it forever and still get a new one after
//! an update of Boatyard.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

/// A file that pages load.
pub(crate) struct Asset {
    path: String,
    content_type: &'static str,
    content: &'static str,
}

/// The style sheet of all pages.
pub(crate) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("panel", "css", "text/css; charset=utf-8", include_str!("assets/panel.css")));
/// The script of all pages.
pub(crate) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("panel", "js", "text/javascript; charset=utf-8", include_str!("assets/panel.js")));
/// The script of pages with logs.
pub(crate) static LOGS_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("logs", "js", "text/javascript; charset=utf-8", include_str!("assets/logs.js")));
/// The script of consoles.
pub(crate) static CONSOLE_SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("console", "js", "text/javascript; charset=utf-8", include_str!("assets/console.js")));
/// The icon.
pub(crate) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("assets/icon.svg")));

/// Serves the assets under `/assets/`. They contain no secrets, so no session is needed to read them.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{file}", get(asset))
}

async fn asset(Path(file): Path<String>) -> Response {
    let all = [&STYLE, &SCRIPT, &LOGS_SCRIPT, &CONSOLE_SCRIPT, &ICON];
    let known = all.into_iter().find(|asset| asset.path.strip_prefix("/assets/") == Some(&file));
    let Some(asset) = known else { return StatusCode::NOT_FOUND.into_response() };
    let headers =
        [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    (headers, asset.content).into_response()
}

impl Asset {
    /// Its path: `/assets/panel-0123456789abcdef.css`.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let hash = hex::encode(&Sha256::digest(content)[..8]);
        Self { path: format!("/assets/{name}-{hash}.{extension}"), content_type, content }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_asset_is_kept_forever_under_the_path_for_its_content() {
        for (path, content_type) in
            [(STYLE.path(), "text/css"), (SCRIPT.path(), "text/javascript"), (ICON.path(), "image/svg+xml")]
        {
            let response = asset(Path(path.replace("/assets/", ""))).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert!(response.headers()[header::CACHE_CONTROL].to_str().is_ok_and(|it| it.contains("immutable")));
            assert!(response.headers()[header::CONTENT_TYPE].to_str().is_ok_and(|it| it.starts_with(content_type)));
        }
        let other = asset(Path("panel-0000000000000000.css".into())).await;
        assert_eq!(other.status(), StatusCode::NOT_FOUND, "the address of another version");
    }

    #[test]
    fn another_content_has_another_path() {
        let path = |content| Asset::new("panel", "css", "text/css", content).path;
        assert_ne!(path("a {}"), path("b {}"));
    }
}
