//! Rules by host name, redirects, CORS, and what holds for all requests to an app.

use std::net::SocketAddr;

use super::harness::*;
use crate::limits::Limits;
use crate::protocol::{
    AppPolicy, CorsPolicy, HostMatch, Maintenance, OriginMatch, PathMatch, Redirect, RequestHeader, Rewrite, Rule,
    Target,
};

fn redirect(path: &str) -> Rule {
    let redirect = Redirect {
        scheme: "https".to_owned(),
        host: None,
        port: Some(8443),
        path: Some("/new".to_owned()),
        status: 308,
    };
    Rule {
        path: PathMatch::Exact(path.to_owned()),
        target: Target::Redirect { redirect },
        component: String::new(),
        ..rule("/", Rewrite::Keep, &[])
    }
}

fn policy() -> CorsPolicy {
    CorsPolicy {
        allow_origins: vec![OriginMatch::Exact("https://a.example".to_owned())],
        allow_methods: vec!["PUT".to_owned()],
        allow_headers: vec!["x-token".to_owned()],
        expose_headers: vec!["x-total".to_owned()],
        max_age_seconds: Some(60),
        allow_credentials: true,
    }
}

async fn proxy(rules: Vec<Rule>, app_policy: AppPolicy) -> TestProxy {
    let proxy = TestProxy::open(Limits::default()).await;
    let mut wanted = table(1, rules);
    wanted.apps[0].hosts = ["shop", "www.example", "www2.example", "api.example"].map(str::to_owned).into();
    wanted.apps[0].policy = app_policy;
    proxy.routing.install(&wanted);
    proxy
}

async fn sent(proxy: &TestProxy, line: &str, headers: &str) -> String {
    proxy.raw(&format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await
}

#[tokio::test]
async fn a_rule_for_a_host_name_gets_the_requests_of_that_host_only() {
    let named = |name: &'static str| {
        application(move |mut stream, _| async move {
            use tokio::io::AsyncWriteExt;
            read_head(&mut stream).await;
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}", name.len());
            stream.write_all(text.as_bytes()).await.unwrap();
        })
    };
    let to =
        |id: &str, address: SocketAddr, authority| Rule { authority, ..rule("/", Rewrite::Keep, &[(id, address)]) };
    let rules = vec![
        to("exact", named("exact").await, Some(HostMatch::Exact("www.example".to_owned()))),
        to("prefix", named("prefix").await, Some(HostMatch::Prefix("www".to_owned()))),
        to("any", named("any").await, None),
    ];
    let proxy = proxy(rules, AppPolicy::default()).await;
    for (host, wanted) in [
        ("www.example", "exact"),
        ("WWW.Example.:8080", "exact"),
        ("www2.example", "prefix"),
        ("api.example", "any"),
        ("shop", "any"),
    ] {
        let answer = sent(&proxy, "GET /", &format!("Host: {host}\r\n")).await;
        assert!(answer.ends_with(wanted), "{host}: {answer}");
    }
}

#[tokio::test]
async fn a_redirect_keeps_the_query_and_is_counted_as_a_request_that_did_not_fail() {
    let proxy = proxy(vec![redirect("/old")], AppPolicy::default()).await;
    let answer = sent(&proxy, "GET /old?a=b", "Host: shop:8080\r\n").await;
    assert_eq!(status(&answer), 308);
    assert!(answer.contains("\r\nlocation: https://shop:8443/new?a=b\r\n"), "{answer}");
    assert_eq!(status(&sent(&proxy, "GET /older", "Host: shop\r\n").await), 404);
    let counters = proxy.counters();
    assert_eq!((counters.requests, counters.failed, counters.client_gone), (2, 0, 0));
}

#[tokio::test]
async fn the_ingress_answers_preflights_of_allowed_origins_and_forwards_the_others() {
    let rule = Rule { cors: Some(policy()), ..rule("/", Rewrite::Keep, &[("web", echo().await)]) };
    let proxy = proxy(vec![rule], AppPolicy::default()).await;
    let allowed = "Host: shop\r\nOrigin: https://a.example\r\n";
    let preflight = sent(&proxy, "OPTIONS /x", &format!("{allowed}Access-Control-Request-Method: PUT\r\n")).await;
    assert_eq!(status(&preflight), 200);
    assert!(!preflight.contains("OPTIONS /x"), "{preflight}");
    for header in [
        "access-control-allow-origin: https://a.example",
        "access-control-allow-methods: PUT",
        "access-control-allow-headers: x-token",
        "access-control-allow-credentials: true",
        "access-control-max-age: 60",
        "vary: origin",
    ] {
        assert!(preflight.contains(header), "{header}: {preflight}");
    }
    let answer = sent(&proxy, "OPTIONS /x", allowed).await;
    assert!(answer.contains("OPTIONS /x"), "not a preflight: {answer}");
    assert!(answer.contains("access-control-expose-headers: x-total"), "{answer}");

    let other = "Host: shop\r\nOrigin: https://b.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = sent(&proxy, "OPTIONS /x", other).await;
    assert!(answer.contains("OPTIONS /x") && !answer.contains("access-control-allow-origin:"), "{answer}");
}

#[tokio::test]
async fn an_app_in_maintenance_gets_no_request_and_none_counts_as_failed() {
    let (app, seen) = counting_echo().await;
    let maintenance = Maintenance { page: Some("https://status.example/".to_owned()) };
    let policy = AppPolicy { maintenance: Some(maintenance), ..AppPolicy::default() };
    let proxy = proxy(vec![rule("/", Rewrite::Keep, &[("web", app)])], policy).await;
    let answer = sent(&proxy, "GET /", "Host: shop\r\n").await;
    assert!(answer.contains("x-boatyard-error: maintenance"), "{answer}");
    assert_eq!(status(&answer), 503);
    let page = sent(&proxy, "GET /", "Host: shop\r\nAccept: text/html\r\n").await;
    assert!(page.contains("<iframe src=\"https://status.example/\""), "{page}");
    let counters = proxy.counters();
    assert_eq!((counters.requests, counters.failed), (2, 0));
    assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_apps_header_replaces_a_clients_value() {
    let request_header = Some(RequestHeader { name: "X-Origin".to_owned(), value: "secret".to_owned() });
    let policy = AppPolicy { request_header, ..AppPolicy::default() };
    let proxy = proxy(vec![rule("/", Rewrite::Keep, &[("web", echo().await)])], policy).await;
    let answer = sent(&proxy, "GET /", "Host: shop\r\nX-Origin: guess\r\nx-origin: guess2\r\n").await;
    assert!(answer.contains("x-origin: secret\n") && !answer.contains("guess"), "{answer}");
}

#[tokio::test]
async fn an_applications_own_empty_400_stays_as_it_is() {
    let app = application(|mut stream, _| async move {
        use tokio::io::AsyncWriteExt;
        while read_head(&mut stream).await.is_some() {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let proxy = proxy(vec![rule("/", Rewrite::Keep, &[("web", app)])], AppPolicy::default()).await;
    let mut stream = proxy.connect().await;
    for _ in 0..2 {
        use tokio::io::AsyncWriteExt;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
        let (head, body) = read_answer(&mut stream).await;
        assert!(status(&head) == 400 && body.is_empty() && !head.contains("x-boatyard-error"), "{head}");
    }
}

#[tokio::test]
async fn a_rule_that_cannot_be_used_is_left_out_and_named() {
    let bad_regex = CorsPolicy { allow_origins: vec![OriginMatch::Regex("(".to_owned())], ..policy() };
    let unusable = Rule { cors: Some(bad_regex), ..rule("/api", Rewrite::Keep, &[]) };
    let proxy = proxy(vec![unusable, redirect("/old")], AppPolicy::default()).await;
    let refused = proxy.routing.table().refused.clone();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].reason.contains("route \"/api\"") && refused[0].reason.contains("regular expression"));
    assert_eq!(status(&sent(&proxy, "GET /old", "Host: shop\r\n").await), 308);
}

#[tokio::test]
async fn requests_that_no_app_gets_are_counted_by_reason() {
    let proxy = proxy(Vec::new(), AppPolicy::default()).await;
    for (line, headers) in [("GET /", "Host: other\r\n"), ("GET /", "Host: other\r\n"), ("GET /../x", "Host: shop\r\n")]
    {
        sent(&proxy, line, headers).await;
    }
    for line in ["G@T /", "GET /a b", "GET /\u{1}"] {
        let answer = sent(&proxy, line, "Host: shop\r\n").await;
        assert!(status(&answer) == 400 && answer.contains("x-boatyard-error: malformed-request"), "{line}: {answer}");
        assert!(answer.contains("cannot be read"), "{line}: {answer}");
    }
    until(|| proxy.proxy.refusals.read().get("malformed-request") == Some(&3)).await;
    let counted = proxy.proxy.refusals.read();
    let wanted = [("bad-request", 1), ("malformed-request", 3), ("no-such-host", 2)];
    let wanted = wanted.map(|(code, count)| (code.to_owned(), count));
    assert_eq!(counted, wanted.into_iter().collect());
}
