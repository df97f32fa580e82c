//! Every path of the panel with every kind of token. What each token may do is written here once more, independently of the
//! gate.

use controller_fake::{FakeControl, TOKEN};
use web::Needs;

use super::Panel;
use crate::routes::{Route, table};

/// Tokens, whether they may write, and the only app that they may use. The paths of the test name the shop.
const TOKENS: [(&str, bool, Option<&str>); 6] = [
    ("reader", false, None),
    ("writer", true, None),
    ("shop-reader", false, Some("shop")),
    ("shop-writer", true, Some("shop")),
    ("blog-writer", true, Some("blog")),
    (TOKEN, true, None),
];

fn filled(path: &str) -> String {
    let path = path.replace("{app}", "shop").replace("{deployment}", "2");
    path.split('/').map(|it| if it.starts_with('{') { "none" } else { it }).collect::<Vec<_>>().join("/")
}

/// Whether the row is for a form. Some paths have another row for the page with the form.
fn is_form(route: &Route) -> bool {
    let opens_console = route.needs == Needs::Console && route.path.ends_with("/console");
    opens_console || matches!(route.needs, Needs::Write(_) | Needs::AdminWrite(_) | Needs::Own(_))
}

async fn answers_no_get(panel: &Panel, path: &str) -> bool {
    panel.get(path).await.status == 405
}

fn expected(route: &Route, token: &str, may_write: bool, only_app: Option<&str>) -> Option<u16> {
    let is_admin = token == TOKEN;
    match route.needs {
        // A GET is not recorded in the audit trail, so the page itself refuses tokens that may not create apps.
        Needs::ReadLimited if route.path == "/new-app" => return (!may_write || only_app.is_some()).then_some(403),
        Needs::Nothing | Needs::Own(_) | Needs::ReadLimited => return None,
        Needs::AdminRead | Needs::AdminWrite(_) => return (!is_admin).then_some(403),
        Needs::Write(_) | Needs::Console | Needs::Password if !may_write => return Some(403),
        Needs::Read | Needs::Write(_) | Needs::Console | Needs::Password => {}
    }
    match only_app {
        Some(_) if !route.path.contains("{app}") => Some(403),
        Some("blog") => Some(404),
        _ => None,
    }
}

#[tokio::test]
async fn every_path_answers_exactly_the_tokens_that_may_use_it() {
    let mut wrong = Vec::new();
    for route in table() {
        let path = filled(route.path);
        for (token, may_write, only_app) in TOKENS {
            let panel = Panel::with_token(FakeControl::default(), token).await;
            let answer = match is_form(&route) || answers_no_get(&panel, &path).await {
                true => panel.post(&path, "confirm=shop").await,
                false => panel.get(&path).await,
            };
            // A path that looks something up for those who may write.
            let answer = if answer.status == 405 { panel.get(&path).await } else { answer };
            let refused = expected(&route, token, may_write, only_app);
            // A path may not find what the test names, and refuse the test's form.
            let is_right = match refused {
                Some(status) => answer.status == status,
                None => answer.status != 401 && answer.status != 403 && answer.status < 500,
            };
            if !is_right {
                wrong.push(format!("{path} ({:?}) with {token}: {}, not {refused:?}", route.needs, answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn no_path_answers_without_a_session_or_changes_anything_without_the_csrf_token() {
    let panel = Panel::new(FakeControl::default()).await;
    for route in table() {
        let path = filled(route.path);
        let answer = panel.get_signed_out(&path).await;
        assert!(answer.status == 303 && answer.location.starts_with("/sign-in"), "{path}: {}", answer.status);
        let forged = panel.post_without_csrf(&path).await;
        assert_eq!(forged.status, 403, "{path}: {}", forged.body);
    }
    assert_eq!(panel.changes(), [""; 0]);
}
