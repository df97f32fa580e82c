//! Routing rules of an app spec, as a client of the app sees them.

use boatyard_tests::http::Connection;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use serde_json::json;

use crate::support::*;

fn spec(more: &str) -> String {
    format!(
        "
name: shop
domains: [{{domain: api.shop.test}}, {{domain: www.shop.test}}]
services:
- name: web
  image: {TESTAPP}
  envs: [{{key: NAME, value: web}}]
  health_check: {{http_path: /health, period_seconds: 1}}
- name: api
  image: {TESTAPP}
  envs: [{{key: NAME, value: api}}]
  health_check: {{http_path: /health, period_seconds: 1}}
ingress:
  rules:
  - {{match: {{path: {{prefix: /}}}}, component: {{name: web}}}}
  - match: {{authority: {{exact: api.shop.test}}}}
    component: {{name: api}}
    cors: {{allow_origins: [{{regex: 'https://[a-z]+[.]shop[.]test'}}], allow_methods: [PUT], max_age: 1m}}
  - {{match: {{path: {{exact: /old}}}}, redirect: {{uri: /new, redirect_code: 301}}}}
  - {{match: {{authority: {{exact: www.shop.test}}}}, redirect: {{authority: shop.localhost}}}}
{more}
"
    )
}

async fn ask(at: &boatyard_tests::installation::Installation, request: Request<Full<Bytes>>) -> Response<Bytes> {
    Connection::open(at.http()).await.unwrap().exchange(request).await.unwrap()
}

fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8_lossy(response.body()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_by_host_redirects_cors_and_maintenance_work_as_the_spec_says() {
    let at = installation().await;
    at.create(&spec("")).await.unwrap();
    for (host, component) in [("shop.localhost", "web"), ("api.shop.test", "api"), ("API.shop.test", "api")] {
        let answer = ask(&at, get(host, "/")).await;
        assert!(answer.status() == 200 && text(&answer).contains(component), "{host}: {}", text(&answer));
    }
    let port = at.http().port();
    for (host, path, status, location) in [
        ("shop.localhost", "/old?a=b", 301, format!("http://shop.localhost:{port}/new?a=b")),
        ("www.shop.test", "/x?a=b", 302, format!("http://shop.localhost:{port}/x?a=b")),
    ] {
        let answer = ask(&at, get(host, path)).await;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "location")),
            (status, location.as_str()),
            "{host}{path}"
        );
    }
    let preflight = |origin: &str| {
        let request = Request::builder().method("OPTIONS").uri("/").header("host", "api.shop.test");
        let request = request.header("origin", origin).header("access-control-request-method", "PUT");
        request.body(Full::default()).unwrap()
    };
    let answer = ask(&at, preflight("https://www.shop.test")).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), "https://www.shop.test");
    assert_eq!(
        (header(&answer, "access-control-allow-methods"), header(&answer, "access-control-max-age")),
        ("PUT", "60")
    );
    let answer = ask(&at, preflight("https://evil.test")).await;
    assert_eq!(header(&answer, "access-control-allow-origin"), "");

    // Maintenance is a change of the rules only: no container is replaced.
    let id = app_id(&at, "shop").await;
    let before = at.containers(&id).await.unwrap();
    let changed = app_spec::AppSpec::from_yaml(&spec("maintenance: {enabled: true}")).unwrap().spec;
    let deployment = at.update(&id, changed.to_json_value(&|_, _| String::new())).await.unwrap();
    at.wait_active(&id, &deployment).await.unwrap();
    let answer = ask(&at, get("shop.localhost", "/")).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "x-boatyard-error")), (503, "maintenance"));
    assert_eq!(at.containers(&id).await.unwrap(), before);
    let domains = at.ok("GET", "/v2/apps/shop", None).await.unwrap()["app"]["domains"].take();
    assert_eq!(domains[0]["phase"], json!("ACTIVE"), "{domains:#}");
}
