//! Signing in to the control panel as a browser does it, and requests that another web page forges.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use boatyard_tests::http::Connection;
use boatyard_tests::installation::Installation;
use hyper::Request;
use serde_json::Value;

use crate::support::*;

/// A browser: it keeps the panel's cookie, and tells where requests come from.
struct Browser {
    panel: SocketAddr,
    cookie: Option<String>,
}

struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    text: String,
}

impl Answer {
    fn location(&self) -> (u16, &str) {
        (self.status, self.headers.get("location").map_or("", String::as_str))
    }
}

impl Browser {
    fn of(at: &Installation) -> Self {
        Self { panel: at.api(), cookie: None }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.panel)
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.panel.to_string());
        }
        let cookie = self.cookie.as_ref().map(|it| ("cookie", it.as_str()));
        for (name, value) in headers.iter().copied().chain(cookie) {
            request = request.header(name, value);
        }
        let request = request.body(body.to_owned().into()).unwrap();
        let answer = Connection::open(self.panel).await.unwrap().exchange(request).await.unwrap();
        let text = |it: &hyper::header::HeaderValue| it.to_str().unwrap().to_owned();
        let headers: BTreeMap<_, _> = answer.headers().iter().map(|(name, it)| (name.to_string(), text(it))).collect();
        if let Some(set) = headers.get("set-cookie") {
            self.cookie = set.split(';').next().filter(|it| !it.ends_with('=')).map(str::to_owned);
        }
        let status = answer.status().as_u16();
        Answer { status, headers, text: String::from_utf8_lossy(answer.body()).into_owned() }
    }

    /// Loads a page.
    async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[("sec-fetch-mode", "navigate"), ("sec-fetch-site", "same-origin")], "").await
    }

    /// Sends a form of a page of the panel.
    async fn post(&mut self, path: &str, fields: &str) -> Answer {
        let origin = self.origin();
        self.forge(path, fields, &[("origin", &origin), ("sec-fetch-site", "same-origin")]).await
    }

    /// Sends a form with these headers.
    async fn forge(&mut self, path: &str, fields: &str, headers: &[(&str, &str)]) -> Answer {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let kind = (!headers.iter().any(|(name, _)| *name == kind.0)).then_some(kind);
        let more: Vec<_> = kind.into_iter().chain([("sec-fetch-mode", "navigate")]).collect();
        self.send("POST", path, &[headers, &more].concat(), fields).await
    }

    /// The CSRF token in the page.
    async fn csrf(&mut self) -> String {
        let page = self.get("/").await.text;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }
}

async fn actions(at: &Installation) -> Vec<Value> {
    let shown = run_cli(at, &["audit", "-o", "json"]).await;
    let rows: Vec<Value> = serde_json::from_str(&shown.out).unwrap();
    rows.into_iter().map(|mut it| it["action"].take()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_with_a_link_once_and_stays_signed_in_until_they_sign_out() {
    let mut at = installation().await;
    let mut browser = Browser::of(&at);
    assert_eq!(browser.get("/").await.location(), (303, "/sign-in"));

    let printed = run_cli(&at, &["panel"]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.err);
    let link = printed.out.trim().strip_prefix(&browser.origin()).expect("an address of the panel").to_owned();
    assert!(printed.err.contains("once, within 2 minutes"), "{}", printed.err);
    // A preview of the link does not use it up, and neither does a forged form.
    for _ in 0..2 {
        let page = browser.get(&link).await;
        assert!(page.status == 200 && page.text.contains("method=\"post\"") && browser.cookie.is_none());
    }
    assert_eq!(browser.forge(&link, "", &[]).await.status, 403);
    let signed_in = browser.post(&link, "").await;
    assert_eq!(signed_in.location(), (303, "/"));
    let cookie = &signed_in.headers["set-cookie"];
    assert!(cookie.contains("HttpOnly; SameSite=Strict; Path=/") && !cookie.contains("Domain"), "{cookie}");
    let mut other = Browser::of(&at);
    let used = other.post(&link, "").await;
    assert!(used.status == 404 && other.cookie.is_none() && used.text.contains("boatyard panel"), "{}", used.text);

    let page = browser.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.headers["content-security-policy"].contains("frame-ancestors 'none'"));
    assert_eq!(page.headers["referrer-policy"], "same-origin");
    at.kill_serve();
    at.serve().await.unwrap();
    let csrf = browser.csrf().await;
    let signed_out = browser.post("/sign-out", &format!("csrf={csrf}")).await;
    assert_eq!(signed_out.location(), (303, "/sign-in"));
    assert_eq!(browser.cookie, None);
    browser.cookie = cookie.split(';').next().map(str::to_owned);
    assert_eq!(browser.get("/").await.location(), (303, "/sign-in"), "the server has ended the session");
    assert_eq!(actions(&at).await, ["sign out of panel", "sign in to panel", "create sign-in link"]);
}

/// What is wrong with a request, its headers, and its form.
type Forged<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn forged_requests_are_refused() {
    let at = installation().await;
    let mut browser = Browser::of(&at);
    let signed_in = browser.post("/sign-in", &format!("token={}&next=//evil.example", at.token())).await;
    assert_eq!(signed_in.location(), (303, "/"), "{}", signed_in.text);
    let (origin, host) = (browser.origin(), browser.panel.to_string());
    let port = browser.panel.port();
    let (csrf, own) = (format!("csrf={}", browser.csrf().await), ("origin", origin.as_str()));
    let other_port = format!("http://127.0.0.1:{}", port.wrapping_add(1));
    let (other_scheme, subdomain) = (format!("https://{host}"), format!("http://shop.localhost:{port}"));
    let forged: [Forged<'_>; 11] = [
        ("no origin", &[], &csrf),
        ("an opaque origin", &[("origin", "null")], &csrf),
        ("another port", &[("origin", &other_port)], &csrf),
        ("another scheme", &[("origin", &other_scheme)], &csrf),
        ("an app", &[("origin", &subdomain)], &csrf),
        ("another site", &[("origin", "http://evil.example")], &csrf),
        ("another port, by fetch metadata", &[own, ("sec-fetch-site", "same-site")], &csrf),
        ("no CSRF token", &[own], ""),
        ("a wrong CSRF token", &[own], "csrf=0000"),
        ("a wrong CSRF header", &[own, ("x-csrf-token", "0000")], &csrf),
        ("a form of another kind", &[own, ("content-type", "text/plain")], &csrf),
    ];
    for (what, headers, fields) in forged {
        let answer = browser.forge("/sign-out", fields, headers).await;
        assert_eq!(answer.status, 403, "{what}");
        assert_eq!(browser.get("/").await.status, 200, "{what}: the session has not ended");
    }
    assert_eq!(browser.get(&format!("/sign-out?{csrf}")).await.status, 405, "an address changes nothing");
    let embedded = [("sec-fetch-mode", "no-cors"), ("sec-fetch-site", "same-site")];
    assert_eq!(browser.send("GET", "/", &embedded, "").await.status, 403);

    // Apps have names below `localhost`, so the panel has not.
    let localhost = format!("localhost:{port}");
    let moved = browser.send("GET", "/apps/shop?action=restart", &[("host", &localhost)], "").await;
    assert_eq!(moved.location(), (307, format!("{origin}/apps/shop?action=restart").as_str()));
    let refused = browser.forge("/sign-out", &csrf, &[("host", &localhost), own]).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_do_what_its_token_may_and_ends_with_it() {
    let at = installation().await;
    let created = run_cli(&at, &["tokens", "create", "viewer", "--format", "Token", "--no-header"]).await;
    let token = created.out.trim();
    let mut browser = Browser::of(&at);
    let wrong = browser.post("/sign-in", "token=dob_v1_wrong").await;
    assert!(wrong.status == 401 && wrong.text.contains("does not accept this token"), "{}", wrong.text);
    let signed_in = browser.post("/sign-in", &format!("token={token}&next=%2F%3Fa%3Db")).await;
    assert_eq!(signed_in.location(), (303, "/?a=b"));
    let page = browser.get("/").await;
    assert!(page.text.contains("viewer") && page.text.contains("may read"), "{}", page.text);

    assert_eq!(run_cli(&at, &["tokens", "revoke", "viewer"]).await.code, Some(0));
    assert_eq!(browser.get("/").await.location(), (303, "/sign-in"));
    let script = [("sec-fetch-mode", "cors"), ("sec-fetch-site", "same-origin")];
    assert_eq!(browser.send("GET", "/", &script, "").await.status, 401);
    for _ in 0..9 {
        assert_eq!(browser.post("/sign-in", &format!("token={token}")).await.status, 401);
    }
    let limited = browser.post("/sign-in", &format!("token={token}")).await;
    assert_eq!(limited.status, 429, "{}", limited.text);
    let right = browser.post("/sign-in", &format!("token={}", at.token())).await;
    assert_eq!(right.status, 303, "the right token still signs in after wrong ones: {}", right.text);
}
