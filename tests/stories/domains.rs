//! Domains and certificates: from an authority that speaks ACME, from files, and from the local authority.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use boatyard_tests::browser::{Browser, css};
use boatyard_tests::https;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use boatyard_tests::pebble::Pebble;
use serde_json::{Value, json};

use crate::support::*;

/// An installation that listens for HTTPS.
async fn with_https(more: &[&str]) -> (Installation, SocketAddr) {
    let address = https::free_address().unwrap();
    let listen = address.to_string();
    let arguments = [&["--https", &listen][..], more].concat();
    (Installation::start_with(PROGRAM, &arguments).await.unwrap(), address)
}

fn app(name: &str, domains: &str) -> String {
    format!(
        "
name: {name}
domains: [{domains}]
services:
- name: web
  image: {TESTAPP}
  envs: [{{key: NAME, value: page-of-{name}}}, {{key: PRINT, value: 'url=${{APP_URL}} domain=${{APP_DOMAIN}}'}}]
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

async fn certificate(at: &Installation, name: &str) -> Value {
    let answer = at.ok("GET", "/v2/boatyard/certificates", None).await.unwrap();
    let all = answer["certificates"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|it| it["name"] == name).unwrap_or_default()
}

/// Waits until the certificate of a name is as wanted.
async fn until_certificate(at: &Installation, name: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let found = certificate(at, name).await;
        if is_wanted(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{name}: {found:#}\n{}", at.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_valid(it: &Value) -> bool {
    it["state"] == "valid"
}

/// Requests a page by HTTPS again and again, until it is stopped.
struct SecureLoad {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<usize>,
}

impl SecureLoad {
    fn start(address: SocketAddr, host: &'static str) -> Self {
        let (stop, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ends, failures) = (stop.clone(), failed.clone());
        let task = tokio::spawn(async move {
            let mut sent = 0;
            while !ends.load(Ordering::Relaxed) {
                sent += 1;
                if !https::get(address, host, "/").await.is_ok_and(|it| it.status == 200) {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }
            sent
        });
        Self { stop, failed, task }
    }

    /// How many requests were sent, and how many failed.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        (self.task.await.unwrap(), self.failed.load(Ordering::Relaxed))
    }
}

/// A domain gets a certificate by this challenge, which is renewed under load. Then the authority is down.
async fn ordered_by(challenge: &str) {
    let files = tempfile::tempdir().unwrap();
    let Some(mut pebble) = Pebble::prepare(files.path()) else { return };
    let (directory, ca) = (pebble.directory(), pebble.certificate().display().to_string());
    let acme = ["--acme-directory", &directory, "--acme-ca", &ca, "--acme-challenge", challenge];
    let (at, address) = with_https(&acme).await;
    pebble.start(at.http(), address, 30);
    at.create(&app("shop", "{domain: shop.test, type: PRIMARY}")).await.unwrap();

    let first = until_certificate(&at, "shop.test", is_valid).await;
    assert_eq!((&first["source"], &first["app"]), (&json!("acme"), &json!("shop")), "{first}");
    let answer = https::get(address, "shop.test", "/").await.unwrap();
    assert!(answer.status == 200 && answer.certificate_names("Pebble"), "{}", answer.text);
    let shown = at.ok("GET", "/v2/apps/shop", None).await.unwrap()["app"].take();
    assert_eq!(shown["live_url"], format!("https://shop.test:{}", address.port()), "{shown:#}");
    assert_eq!((&shown["live_domain"], &shown["domains"][0]["phase"]), (&json!("shop.test"), &json!("ACTIVE")));

    // HTTP leads to HTTPS, on the domain only.
    let (status, _) = boatyard_tests::http::page(at.http(), "shop.test", "/").await.unwrap();
    assert_eq!(status, 301);
    let (status, _) = boatyard_tests::http::page(at.http(), "shop.localhost", "/").await.unwrap();
    assert_eq!(status, 200);

    let load = SecureLoad::start(address, "shop.test");
    until_certificate(&at, "shop.test", |it| is_valid(it) && it["expires_at"] != first["expires_at"]).await;
    let (sent, failed) = load.end().await;
    eprintln!("{challenge}: {sent} requests during a renewal, {failed} failed");
    assert!(sent > 0 && failed == 0, "{failed} of {sent} failed");

    pebble.stop();
    let late =
        until_certificate(&at, "shop.test", |it| it["state"] == "renewal failed" || it["state"] == "failed").await;
    assert!(late["reason"].as_str().is_some_and(|it| it.contains(&directory)), "{late}");
    // The old certificate is still shown, and other names and apps do not notice.
    let answer = https::get(address, "shop.test", "/").await.unwrap();
    assert!(answer.status == 200 && answer.certificate_names("Pebble"), "{}", answer.text);
    assert_eq!(https::get(address, "shop.localhost", "/").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_gets_a_certificate_by_http_01_and_keeps_it_while_the_authority_is_down() {
    ordered_by("http-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_gets_a_certificate_by_tls_alpn_01_and_keeps_it_while_the_authority_is_down() {
    ordered_by("tls-alpn-01").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_process_that_was_killed_is_continued_by_the_next_one() {
    let files = tempfile::tempdir().unwrap();
    let Some(mut pebble) = Pebble::prepare(files.path()) else { return };
    pebble.check_slowly();
    let (directory, ca) = (pebble.directory(), pebble.certificate().display().to_string());
    let (mut at, address) = with_https(&["--acme-directory", &directory, "--acme-ca", &ca]).await;
    pebble.start(at.http(), address, 3600);
    at.create(&app("shop", "{domain: shop.test}")).await.unwrap();
    let deadline = Instant::now() + ENDS_WITHIN;
    while !pebble.log().contains("POST /chalZ/") {
        assert!(Instant::now() < deadline, "{}\n{}", pebble.log(), at.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    at.kill_serve();
    at.serve().await.unwrap();
    let found = until_certificate(&at, "shop.test", is_valid).await;
    assert_eq!(found["source"], "acme", "{found}");
    assert_eq!(pebble.log().matches("POST /order-plz").count(), 1, "{}", pebble.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_a_local_authority_that_was_lost_are_replaced() {
    let (mut at, address) = with_https(&[]).await;
    at.create(&app("shop", "{domain: shop.test}")).await.unwrap();
    until_certificate(&at, "shop.test", is_valid).await;
    let before = https::get(address, "shop.test", "/").await.unwrap().certificate;
    at.kill_serve();
    std::fs::remove_dir_all(at.data().join("tls")).unwrap();
    at.serve().await.unwrap();
    let deadline = Instant::now() + ENDS_WITHIN;
    while https::get(address, "shop.test", "/").await.is_ok_and(|it| it.certificate == before) {
        assert!(Instant::now() < deadline, "{}", at.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(https::get(address, "shop.test", "/").await.unwrap().status, 200);
    assert!(at.data().join("tls/authority.pem").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_belongs_to_one_app() {
    let (at, address) = with_https(&[]).await;
    at.create(&app("shop", "{domain: one.test, wildcard: true}, {domain: two.test}")).await.unwrap();
    until_certificate(&at, "two.test", is_valid).await;
    for domain in ["two.test", "TWO.test.", "below.one.test", "shop.localhost"] {
        let spec = app("thief", &format!("{{domain: {domain}}}"));
        let (status, answer) = at.call("POST", "/v2/apps", Some(&json!({ "spec": spec_json(&spec) }))).await.unwrap();
        assert_eq!(status, 409, "{domain}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|it| it.contains("belongs to app shop")), "{answer}");
    }
    for host in ["two.test", "one.test", "any.one.test"] {
        let answer = https::get(address, host, "/").await.unwrap();
        assert!(answer.status == 200 && answer.text.contains("page-of-shop"), "{host}: {}", answer.text);
    }
    let (status, _) = boatyard_tests::http::page(at.http(), "three.test", "/").await.unwrap();
    assert_eq!(status, 404);

    // A domain that an app gives up is free as soon as the app's new rules are in force.
    let id = app_id(&at, "shop").await;
    let without = spec_json(&app("shop", "{domain: one.test}"));
    let deployment = at.update(&id, without).await.unwrap();
    at.wait_active(&id, &deployment).await.unwrap();
    at.create(&app("heir", "{domain: two.test}")).await.unwrap();
    until_certificate(&at, "two.test", |it| is_valid(it) && it["app"] == "heir").await;
    let answer = https::get(address, "two.test", "/").await.unwrap();
    assert!(answer.status == 200 && answer.text.contains("page-of-heir"), "{}", answer.text);
}

fn spec_json(spec: &str) -> Value {
    app_spec::AppSpec::from_yaml(spec).unwrap().spec.to_json_value(&|_, secret| secret.expose().to_owned())
}

/// Writes a self-signed certificate for a name, and its key.
fn write_certificate(directory: &Path, name: &str) -> [String; 2] {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let files = ["cert.pem", "key.pem"].map(|it| directory.join(it));
    std::fs::write(&files[0], made.cert.pem()).unwrap();
    std::fs::write(&files[1], made.signing_key.serialize_pem()).unwrap();
    files.map(|it| it.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_before_other_sources_and_a_restarted_ingress_has_them_without_serve() {
    let (mut at, address) = with_https(&[]).await;
    at.create(&app("shop", "{domain: shop.test}, {domain: shop.example.com}")).await.unwrap();
    until_certificate(&at, "shop.test", |it| is_valid(it) && it["source"] == "local authority").await;
    let without = certificate(&at, "shop.example.com").await;
    assert!(without["reason"].as_str().is_some_and(|it| it.contains("boatyard certificates add")), "{without}");

    let files = tempfile::tempdir().unwrap();
    let [cert, key] = write_certificate(files.path(), "shop.example.com");
    let wrong = run_cli(&at, &["certificates", "add", "shop.test", "--cert", &cert, "--key", &key]).await;
    assert!(wrong.code == Some(1) && wrong.err.contains("not valid for shop.test"), "{}", wrong.err);
    let added = run_cli(&at, &["certificates", "add", "shop.example.com", "--cert", &cert, "--key", &key]).await;
    assert_eq!(added.code, Some(0), "{}", added.err);
    until_certificate(&at, "shop.example.com", |it| is_valid(it) && it["source"] == "files").await;
    let shown = https::get(address, "shop.example.com", "/").await.unwrap();
    assert_eq!(shown.status, 200);
    let (status, _) = boatyard_tests::http::page(at.http(), "shop.example.com", "/").await.unwrap();
    assert_eq!(status, 301);

    at.kill_serve();
    at.kill_ingress().unwrap();
    let ingress = at.command(&["ingress"]).spawn();
    let mut ingress = ingress.unwrap();
    let deadline = Instant::now() + ENDS_WITHIN;
    let again = loop {
        match https::get(address, "shop.example.com", "/").await {
            Ok(answer) => break answer,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!((again.status, again.certificate), (200, shown.certificate));
    at.serve().await.unwrap();
    let removed = run_cli(&at, &["certificates", "remove", "shop.example.com"]).await;
    assert_eq!(removed.code, Some(0), "{}", removed.err);
    until_certificate(&at, "shop.example.com", |it| it["state"] == "failed").await;
    drop(at);
    ingress.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_trusts_the_local_authority_opens_an_app_by_https() {
    if Command::new("certutil").arg("-H").output().is_err() {
        eprintln!("skipped: this test needs certutil (in Debian: libnss3-tools)");
        return;
    }
    let Some(mut browser) = Browser::start().await.unwrap() else { return };
    let (at, address) = with_https(&[]).await;
    at.create(&app("shop", "")).await.unwrap();
    until_certificate(&at, "shop.localhost", is_valid).await;
    let url = format!("https://shop.localhost:{}/", address.port());
    let refused = match browser.go(&url).await {
        Ok(()) => browser.title().await.unwrap(),
        Err(error) => error.to_string(),
    };
    assert!(refused.contains("Privacy error") || refused.contains("certificate"), "{refused}");

    let home = browser.home().to_owned();
    let trust = |more: &[&str]| {
        let arguments = [&["trust", "--only", "browsers"], more].concat();
        let output = at.command(&arguments).env("HOME", &home).output().unwrap();
        (output.status.success(), format!("{output:?}"))
    };
    let (done, text) = trust(&[]);
    assert!(done, "{text}");
    browser.restart().await.unwrap();
    browser.go(&url).await.unwrap();
    let shown = browser.text(css("body")).await.unwrap();
    assert!(shown.contains("page-of-shop"), "{shown}");
    let (done, text) = trust(&["--remove"]);
    assert!(done, "{text}");
}
