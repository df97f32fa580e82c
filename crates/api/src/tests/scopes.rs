//! Every route with every kind of token. What each token may do is written here once more, independently of the gate.

use web::Needs;

use super::access::filled;
use super::client::Server;
use super::fake_control::TOKEN;
use crate::routes::{METRICS, PANEL_LINKS, Route, table};

/// A kind of token.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Unaccepted,
    Admin,
    Reader(Apps),
    Writer(Apps),
}

/// The apps that a token may use. The paths of the test name the shop.
#[derive(Clone, Copy, PartialEq)]
enum Apps {
    All,
    Shop,
    Blog,
}

/// The admin token comes last, because `down` stops the server.
const IDENTITIES: [(&str, Option<&str>, Kind); 11] = [
    ("none", None, Kind::Unaccepted),
    ("wrong", Some("wrong"), Kind::Unaccepted),
    ("expired", Some("expired"), Kind::Unaccepted),
    ("revoked", Some("revoked"), Kind::Unaccepted),
    ("read", Some("reader"), Kind::Reader(Apps::All)),
    ("write", Some("writer"), Kind::Writer(Apps::All)),
    ("read shop", Some("shop-reader"), Kind::Reader(Apps::Shop)),
    ("write shop", Some("shop-writer"), Kind::Writer(Apps::Shop)),
    ("read blog", Some("blog-reader"), Kind::Reader(Apps::Blog)),
    ("write blog", Some("blog-writer"), Kind::Writer(Apps::Blog)),
    ("admin", Some(TOKEN), Kind::Admin),
];

fn expected(route: &Route, kind: Kind) -> &'static str {
    let (may_write, apps) = match kind {
        Kind::Unaccepted => return "401",
        Kind::Admin => return "yes",
        Kind::Reader(apps) => (false, apps),
        Kind::Writer(apps) => (true, apps),
    };
    match route.needs {
        Needs::Nothing | Needs::Own(_) | Needs::ReadLimited => return "yes",
        Needs::AdminRead | Needs::AdminWrite(_) => return "403",
        Needs::Read => {}
        Needs::Write(_) | Needs::Console | Needs::Password if may_write => {}
        Needs::Write(_) | Needs::Console | Needs::Password => return "403",
    }
    match apps {
        Apps::All => "yes",
        Apps::Shop | Apps::Blog if !route.path.contains("{app}") => "403",
        Apps::Shop => "yes",
        Apps::Blog => "404",
    }
}

/// Paths of App Platform that every accepted token finds, and that do nothing.
fn is_not_implemented(path: &str) -> bool {
    ["/reset_password", "/trusted_sources"].iter().any(|end| path.ends_with(end))
}

/// Run with `--nocapture` to see the table.
#[tokio::test]
async fn every_route_answers_exactly_the_tokens_that_may_use_it() {
    let columns = IDENTITIES.map(|(name, ..)| format!("{name:>12}")).concat();
    println!("{:<90}{:<34}{columns}", "route", "needs");
    let mut wrong = Vec::new();
    for route in table() {
        let server = Server::start().await;
        let mut cells = String::new();
        for (name, token, kind) in IDENTITIES {
            let path = filled(route.path);
            let answer = match token {
                Some(token) => server.send_as(token, route.method, &path, "").await,
                None => server.send_with(route.method, &path, "", &[]).await,
            };
            let class = match answer.status.as_u16() {
                401 => "401",
                403 => "403",
                404 => "404",
                501 if is_not_implemented(route.path) => "yes",
                500.. => "5xx",
                _ => "yes",
            };
            cells.push_str(&format!("{class:>12}"));
            if class != expected(&route, kind) {
                wrong.push(format!("{} {} with {name}: {class}: {}", route.method, route.path, answer.text));
            }
        }
        let (method, path, needs) = (route.method, route.path, format!("{:?}", route.needs));
        println!("{:<90}{needs:<34}{cells}", format!("{method} {path}"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Catches a wrong decision in the table.
#[test]
fn the_needs_of_a_route_fit_its_method_and_path() {
    let harmless_posts = ["/v2/apps/propose", "/v2/apps/metrics/bandwidth_daily", "/v2/apps/{app}/rollback/validate"];
    for Route { method, path, needs, .. } in table() {
        let is_read = method == "GET";
        let fits = match needs {
            Needs::Read => (path.contains("{app}") || path == METRICS) && (is_read || harmless_posts.contains(&path)),
            Needs::Nothing | Needs::ReadLimited => {
                !path.contains("{app}") && (is_read || harmless_posts.contains(&path))
            }
            Needs::Own(action) => path == PANEL_LINKS && !action.is_empty(),
            Needs::Write(action) | Needs::AdminWrite(action) => !is_read && !action.is_empty(),
            Needs::Console => is_read && path.ends_with("/exec"),
            Needs::Password => is_read && path.ends_with("/database_connection_details"),
            Needs::AdminRead => is_read,
        };
        assert!(fits, "{method} {path} {needs:?}");
        let is_admin = matches!(needs, Needs::AdminRead | Needs::AdminWrite(_));
        let is_ours =
            path.starts_with("/v2/boatyard/") && !path.starts_with("/v2/boatyard/apps/") && path != PANEL_LINKS;
        assert_eq!(is_admin, is_ours, "{method} {path}: paths of the installation need the admin token");
        assert_eq!(needs == Needs::Console, path.ends_with("/exec"), "{path}");
        let shows_password = path.contains("connection_details") || (is_read && path.contains("password"));
        assert_eq!(needs == Needs::Password, shows_password, "{path}");
    }
}

const SPEC: &str = r#"{"name":"NAME","services":[{"name":"web","image":{"registry_type":"DOCKER_HUB","registry":"library","repository":"nginx"}}]}"#;

fn proposal(name: &str, more: &str) -> String {
    format!("{{\"spec\":{}{more}}}", SPEC.replace("NAME", name))
}

#[tokio::test]
async fn a_token_for_one_app_sees_no_other_app_in_lists() {
    let server = Server::start().await;
    for (token, listed) in [("reader", "shop"), ("shop-reader", "shop"), ("blog-writer", "blog")] {
        let apps = server.send_as(token, "GET", "/v2/apps", "").await.json();
        assert_eq!((&apps["apps"][0]["id"], &apps["meta"]["total"]), (&id_of(listed).into(), &1.into()), "{token}");
        let resources = server.send_as(token, "GET", "/v2/projects/default/resources", "").await.json();
        let urn = resources["resources"][0]["urn"].as_str().expect("a resource").to_owned();
        assert!(urn.ends_with(id_of(listed)), "{token}: {urn}");
    }
    let named = |name| server.send_as("blog-reader", "GET", name, "");
    assert_eq!(named("/v2/apps?name=blog").await.json()["meta"]["total"], 1);
    assert_eq!(named("/v2/apps?name=shop").await.json()["meta"]["total"], 0);
    assert_eq!(named("/v2/apps?page=2").await.json()["apps"], serde_json::json!([]));
}

fn id_of(app: &str) -> &'static str {
    if app == "shop" { super::samples::APP } else { super::samples::OTHER_APP }
}

#[tokio::test]
async fn another_app_looks_like_one_that_does_not_exist() {
    let server = Server::start().await;
    let mut messages = Vec::new();
    for name in ["shop", "nothing"] {
        let answer = server.send_as("blog-writer", "DELETE", &format!("/v2/apps/{name}"), "").await;
        assert_eq!(answer.status.as_u16(), 404);
        messages.push(answer.message().replace(name, "APP"));
    }
    assert_eq!(messages[0], messages[1]);
    assert!(messages[0].contains("token \"blog-writer\"") && messages[0].contains("only use app blog"), "{messages:?}");
    assert!(server.control.calls().is_empty(), "nothing was deleted");
    let own = server.send_as("blog-writer", "DELETE", &format!("/v2/apps/{}", id_of("blog")), "").await;
    assert_eq!(own.status.as_u16(), 200, "{}", own.text);
    let status = server.send_as("blog-reader", "GET", "/v2/boatyard/apps/nothing/status", "").await;
    assert!(!status.message().contains("shop"), "no names of other apps: {}", status.text);
}

#[tokio::test]
async fn a_token_for_one_app_proposes_specs_of_that_app_only() {
    let server = Server::start().await;
    let propose = async |body: String| server.send_as("shop-reader", "POST", "/v2/apps/propose", &body).await;
    let own = propose(proposal("shop", "")).await;
    assert_eq!((own.status.as_u16(), &own.json()["app_name_available"]), (200, &true.into()), "{}", own.text);
    assert_eq!(server.control.calls(), ["preview_update true shop"], "an update of the app");
    let other = [propose(proposal("blog", "")).await, propose(proposal("new", "")).await];
    for answer in other {
        assert_eq!(answer.status.as_u16(), 403, "{}", answer.text);
        assert!(answer.message().contains("may only use app shop"), "{}", answer.text);
    }
    assert_eq!(propose(proposal("shop", r#","app_id":"blog""#)).await.status.as_u16(), 404);
    let reader = server.send_as("reader", "POST", "/v2/apps/propose", &proposal("new", "")).await;
    assert_eq!(reader.status.as_u16(), 200, "{}", reader.text);
}

#[tokio::test]
async fn a_token_that_may_not_write_does_not_learn_whether_a_secret_is_right() {
    let server = Server::start().await;
    let image = r#""image":{"registry_type":"DOCKER_HUB","registry":"test","repository":"web"}"#;
    let envs = r#""envs":[{"key":"KEY","type":"SECRET","value":"guess"},{"key":"A","value":"shown"}]"#;
    let spec = format!(r#"{{"name":"shop",{envs},"services":[{{"name":"web",{image},{envs}}}]}}"#);
    let body = format!(r#"{{"app_id":"{}","spec":{spec}}}"#, id_of("shop"));
    for path in ["/v2/apps/propose", "/v2/apps/propose?report_only=true"] {
        for (token, compared) in [("reader", 0), ("shop-reader", 0), ("writer", 2)] {
            let answer = server.send_as(token, "POST", path, &body).await;
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
            assert!(answer.text.contains("guess"), "the answer has the spec of the request: {}", answer.text);
            let proposed = server.control.proposals.lock().expect("no panic").pop().expect("a preview");
            let written = proposed.to_json_value(&|_, secret| secret.expose().to_owned()).to_string();
            let found = (written.matches("guess").count(), written.matches("shown").count());
            assert_eq!(found, (compared, 2), "{path} {token}: {written}");
        }
    }
}

#[tokio::test]
async fn a_refusal_has_the_form_of_app_platforms_errors() {
    let server = Server::start().await;
    let answer = server.send_as("reader", "POST", "/v2/apps/shop/restart", "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["id"]), (403, &"forbidden".into()));
    assert!(answer.json()["request_id"].is_string());
    assert!(answer.message().contains("\"reader\" has scope read") && answer.message().contains("--scope write"));
    assert!(server.control.calls().is_empty());

    let expired = server.send_as("expired", "GET", "/v2/apps", "").await;
    assert_eq!((expired.status.as_u16(), &expired.json()["id"]), (401, &"unauthorized".into()));
    assert!(expired.message().contains("\"expired\" has expired"), "{}", expired.text);
    let path = server.send_as("expired", "GET", "/v2/nothing", "").await;
    assert_eq!(path.status.as_u16(), 401);
    assert_eq!(server.send_as("reader", "GET", "/v2/nothing", "").await.status.as_u16(), 404);
    assert_eq!(server.send_as("reader", "PATCH", "/v2/apps", "").await.status.as_u16(), 405);
}
