//! Requests that the ingress refuses, and spellings that it recognizes.

use std::sync::atomic::Ordering::SeqCst;

use super::harness::*;
use crate::limits::Limits;
use crate::protocol::{PathMatch, Rewrite, Rule};

#[tokio::test]
async fn malformed_requests_are_refused_and_never_reach_an_application() {
    let (app, seen) = counting_echo().await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let cases = [
        ("no host", "GET / HTTP/1.1\r\n\r\n", 400),
        ("two hosts", "GET / HTTP/1.1\r\nHost: shop\r\nHost: shop\r\n\r\n", 400),
        ("empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("host with a space", "GET / HTTP/1.1\r\nHost: shop other\r\n\r\n", 400),
        ("other authority", "GET http://other/ HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
        ("authority without host", "GET http://shop/ HTTP/1.1\r\n\r\n", 400),
        ("user in authority", "GET http://x@shop/ HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
        ("two lengths", "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        ("a list of lengths", "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 1, 1\r\n\r\na", 400),
        ("signed length", "POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: +1\r\n\r\na", 400),
        ("unknown coding", "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
        ("two codings", "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (
            "coding twice",
            "POST / HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("coding in 1.0", "POST / HTTP/1.0\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("space before colon", "GET / HTTP/1.1\r\nHost : shop\r\n\r\n", 400),
        ("folded header", "GET / HTTP/1.1\r\nHost: shop\r\nX-A: b\r\n c\r\n\r\n", 400),
        ("bare CR", "GET / HTTP/1.1\r\nHost: shop\r\nX-A: b\rc\r\n\r\n", 400),
        ("zero byte", "GET / HTTP/1.1\r\nHost: shop\r\nX-A: b\0c\r\n\r\n", 400),
        ("CONNECT", "CONNECT shop:80 HTTP/1.1\r\nHost: shop:80\r\n\r\n", 405),
        ("TRACE", "TRACE / HTTP/1.1\r\nHost: shop\r\n\r\n", 405),
        ("asterisk", "OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
        ("dots", "GET /a/%2e%2e/b HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
        ("beginning of HTTP/2", "PRI * HTTP/1.1\r\nHost: shop\r\n\r\n", 400),
        ("unknown host", "GET / HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", 404),
        ("1.0 without host", "GET / HTTP/1.0\r\n\r\n", 404),
    ];
    for (what, text, wanted) in cases {
        // `Connection: close` ends connections that would stay open after the response, so that reading ends.
        let answer =
            proxy.raw(&text.replacen("\r\nHost: shop\r\n", "\r\nHost: shop\r\nConnection: close\r\n", 1)).await;
        let got = if answer.is_empty() { 0 } else { status(&answer) };
        assert!(got == wanted || (wanted == 0 && got >= 400), "{what}: {answer}");
    }
    assert_eq!(seen.load(SeqCst), 0);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (app, seen) = counting_echo().await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let large = format!("GET / HTTP/1.1\r\nHost: shop\r\nX-A: {}\r\n\r\n", "a".repeat(600_000));
    let many = format!("GET / HTTP/1.1\r\nHost: shop\r\n{}\r\n", "X-A: b\r\n".repeat(1000));
    for text in [large, many] {
        let answer = proxy.raw(&text).await;
        assert!(answer.is_empty() || status(&answer) == 431, "{answer}");
    }
    assert_eq!(seen.load(SeqCst), 0);
}

#[tokio::test]
async fn a_request_with_two_framings_reaches_the_application_with_one_and_ends_the_connection() {
    let (app, seen) = counting_echo().await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: shop\r\n\r\n";
    for framing in
        ["Content-Length: 99\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5"]
    {
        let before = seen.load(SeqCst);
        let answer =
            proxy.raw(&format!("POST /one HTTP/1.1\r\nHost: shop\r\n{framing}\r\n\r\n0\r\n\r\n{hidden}")).await;
        assert!(answer.contains("POST /one") && !answer.contains("hidden"), "{answer}");
        assert!(!answer.contains("\ncontent-length: 99") && !answer.contains("\ncontent-length: 5\n"), "{answer}");
        assert_eq!(seen.load(SeqCst), before + 1);
    }
}

#[tokio::test]
async fn a_host_is_recognized_in_every_spelling() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    for host in ["shop", "SHOP", "Shop.", "shop:8080", "shop.:80"] {
        let answer = proxy.raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), 200, "{host}");
        assert!(answer.contains(&format!("\nhost: {host}\n")), "the application sees it as it was sent: {answer}");
    }
    let absolute = "GET http://SHOP/x?y HTTP/1.1\r\nHost: shop:80\r\nConnection: close\r\n\r\n";
    assert!(proxy.raw(absolute).await.contains("GET /x?y\n"));
}

#[tokio::test]
async fn one_host_among_ten_thousand_is_found() {
    let proxy = TestProxy::open(Limits::default()).await;
    let app = echo().await;
    let mut wanted = super::harness::table(1, vec![rule("/", Rewrite::Keep, &[("web", app)])]);
    wanted.apps[0].hosts = (0..10_000).map(|number| format!("Host{number}.example")).collect();
    proxy.routing.install(&wanted);
    for (host, code) in [("host0.example", 200), ("HOST9999.EXAMPLE.", 200), ("host10000.example", 404)] {
        let answer = proxy.raw(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), code, "{host}");
    }
}

fn named(component: &str, path: PathMatch, address: std::net::SocketAddr) -> Rule {
    let mut rule = rule("/", Rewrite::Keep, &[(component, address)]);
    (rule.path, rule.component) = (path, component.to_owned());
    rule
}

#[tokio::test]
async fn paths_reach_their_rule_and_ambiguous_ones_are_refused() {
    let named_app = |name: &'static str| {
        application(move |mut stream, _| async move {
            read_head(&mut stream).await;
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}", name.len());
            stream.write_all(text.as_bytes()).await.unwrap();
        })
    };
    use tokio::io::AsyncWriteExt;
    let (admin, api, web) = (named_app("admin").await, named_app("api").await, named_app("web").await);
    let proxy = TestProxy::open(Limits::default()).await;
    let rules = vec![
        named("exact", PathMatch::Exact("/api/health".to_owned()), web),
        named("admin", PathMatch::Prefix("/api/admin".to_owned()), admin),
        named("api", PathMatch::Prefix("/api/".to_owned()), api),
        named("web", PathMatch::Prefix("/".to_owned()), web),
    ];
    proxy.routing.install(&table(1, rules));
    let cases = [
        ("/", "web"),
        ("/apix", "web"),
        ("/api", "api"),
        ("/api/", "api"),
        ("/api/x%2Fy", "api"),
        ("/%61pi/x", "api"),
        ("/api/admin", "admin"),
        ("/api/admin?x=/../", "admin"),
        ("/api/health", "web"),
        ("/api/health/", "api"),
        ("/API", "web"),
        // Another reader would match another rule with these paths.
        ("/api%2Fadmin", "400"),
        ("/api/%2Fadmin", "400"),
        ("//api/admin", "400"),
        ("/api//admin", "400"),
        ("/api\\admin", "400"),
        ("/x/..%2fapi/admin", "400"),
        ("/x%5c..%5capi/admin", "400"),
    ];
    for (path, wanted) in cases {
        let answer = proxy.get(path).await;
        if wanted == "400" {
            assert_eq!(status(&answer), 400, "{path}: {answer}");
        } else {
            assert!(answer.ends_with(wanted), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_path_without_a_rule_is_a_404_and_does_not_count_as_failed() {
    let proxy = TestProxy::open(Limits::default()).await;
    proxy.routing.install(&table(1, vec![rule("/api", Rewrite::Keep, &[("web", echo().await)])]));
    assert_eq!(status(&proxy.get("/x").await), 404);
    assert_eq!((proxy.counters().requests, proxy.counters().failed, proxy.counters().client_gone), (1, 0, 0));
}

/// A mistake of one app must not affect the routes of other apps.
#[tokio::test]
async fn unusable_parts_of_a_table_are_left_out_and_listed_and_the_rest_takes_effect() {
    let proxy = TestProxy::to(&[("web", echo().await)]).await;
    let mut wanted = table(2, vec![rule("/", Rewrite::Keep, &[("web", echo().await)])]);
    let mut other = wanted.apps[0].clone();
    (other.app, other.hosts) = ("blog".to_owned(), ["SHOP.", "blog", "a b"].map(String::from).to_vec());
    other.rules.push(rule("nowhere", Rewrite::Keep, &[]));
    // First in the table, but it does not own the host.
    wanted.apps.insert(0, other);
    proxy.routing.install(&wanted);
    let refused: Vec<_> = proxy.routing.table().refused.iter().map(|it| (it.app.clone(), it.reason.clone())).collect();
    assert!(refused.iter().all(|(app, _)| app == "blog"), "{refused:?}");
    let reasons: Vec<&str> = refused.iter().map(|(_, reason)| reason.as_str()).collect();
    let expected = [
        "route \"nowhere\" does not start with a slash",
        "host shop belongs to app shop; give it to one of the two",
        "\"a b\" is not a host name",
    ];
    assert_eq!(reasons, expected);
    assert_eq!(status(&proxy.get("/").await), 200);
    let blog = "GET / HTTP/1.1\r\nHost: blog\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&proxy.raw(blog).await), 200);
    assert_eq!((proxy.counters().requests, proxy.routing.counters()["blog"]["d1"].requests), (1, 1));
}

#[tokio::test]
async fn a_browser_gets_a_page_and_a_program_gets_text() {
    let proxy = TestProxy::open(Limits::default()).await;
    let ask =
        |accept: &'static str| format!("GET / HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
    assert!(proxy.raw(&ask("text/html,*/*")).await.contains("<!doctype html>"));
    let text = proxy.raw(&ask("*/*")).await;
    assert!(text.contains("x-boatyard-error: no-such-host") && !text.contains('<'), "{text}");
}
