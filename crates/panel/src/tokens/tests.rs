//! Tokens and the host with a fake controller.

use std::time::Duration;

use controller::view::{TokenApp, TokenScope, TokenView};
use controller_fake::FakeControl;
use rollout::time::Timestamp;
use web::Identity;

use super::{is_admin, limited};
use crate::tests::Panel;

#[tokio::test]
async fn a_token_is_shown_once_in_the_answer_to_its_form() {
    let panel = Panel::new(FakeControl::default()).await;
    let created = panel.post("/tokens", "name=ci&scope=write&app=shop&expires=never").await;
    assert_eq!((created.status, created.location.as_str()), (200, ""), "no address of a page contains the token");
    assert!(created.body.contains("dob_v1_new") && created.body.contains("Token ci was created"), "{}", created.body);
    assert_eq!(panel.changes(), ["create_token ci Write Some(\"shop\") Never"]);
    for path in ["/tokens", "/tokens/audit"] {
        let page = panel.get(path).await;
        assert!(page.status == 200 && !page.body.contains("dob_v1_new"), "{path}");
    }
    let refused = panel.post("/tokens", "name=%3Cb%3Eci&scope=write&app=&expires=soon").await;
    assert_eq!(refused.status, 400);
    for text in ["No token was created", "not &quot;soon&quot;", "value=\"&lt;b&gt;ci\"", "value=\"soon\""] {
        assert!(refused.body.contains(text), "{text}: {}", refused.body);
    }
}

#[tokio::test]
async fn a_token_is_revoked_and_a_session_ended_by_a_form() {
    let panel = Panel::new(FakeControl::default()).await;
    let dialogue = panel.get("/tokens?action=revoke&token=id-of-reader").await;
    assert!(dialogue.body.contains("Revoke reader") && dialogue.body.contains("/tokens/id-of-reader/revoke"));
    assert_eq!(panel.get("/tokens?action=revoke&token=unknown").await.status, 404);
    let revoked = panel.post("/tokens/id-of-reader/revoke", "").await;
    assert_eq!((revoked.status, revoked.location.as_str()), (303, "/tokens"));
    assert!(!panel.get("/tokens").await.body.contains("id-of-reader"));

    let own = panel.control.sessions.borrow().values().map(|it| it.id.clone()).collect::<Vec<_>>();
    let ended = panel.post(&format!("/sessions/{}/end", own[0]), "").await;
    assert_eq!((ended.status, ended.location.as_str()), (303, "/tokens"));
    assert_eq!(panel.get("/tokens").await.location, "/sign-in?next=%2Ftokens");
}

#[tokio::test]
async fn other_tokens_than_the_admin_token_see_only_what_they_are() {
    for token in ["reader", "writer", "shop-writer"] {
        let panel = Panel::with_token(FakeControl::default(), token).await;
        for path in ["/tokens", "/host", "/tokens?action=revoke&token=id-of-obsolete"] {
            let page = panel.get(path).await;
            assert!(page.status == 200 && page.body.contains("only the admin token may"), "{path}");
            assert!(!page.body.contains("obsolete") && !page.body.contains("Installation"), "{path} {}", page.body);
        }
        assert_eq!(panel.get("/tokens/audit").await.status, 403);
        for path in ["/tokens", "/tokens/id-of-obsolete/revoke", "/sessions/any/end"] {
            assert_eq!(panel.post(path, "name=ci&scope=write&expires=never").await.status, 403, "{path}");
        }
        assert_eq!(panel.changes(), [""; 0]);
    }
}

#[tokio::test]
async fn the_host_page_shows_the_engine_the_disk_and_the_images() {
    let panel = Panel::new(FakeControl::default()).await;
    let page = panel.get("/host").await;
    assert_eq!(page.status, 200);
    for text in ["Installation", "Disk", "Images", "ssh -L 7080:127.0.0.1:7080 HOST"] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
}

#[test]
fn another_token_than_the_admin_token_sees_only_itself() {
    let app = Some(TokenApp { id: "id-of-shop".into(), name: "shop".into() });
    let (id, name) = ("id".to_owned(), "<b>ci</b>".to_owned());
    let (expires, remaining) = (Some(Timestamp(1_900_000_000_000)), Some(Duration::from_secs(9)));
    let token = TokenView { id, name, scope: TokenScope::Read, app, created: Timestamp(0), expires, remaining };
    let html = limited("Tokens", &Identity::Token(token.clone())).into_string();
    for text in ["only the admin token", "&lt;b&gt;ci", "Read", "/apps/id-of-shop", "2030-03-17 17:46 UTC"] {
        assert!(html.contains(text), "{text}: {html}");
    }
    assert!(!html.contains("<b>") && !html.contains("<form"), "{html}");
    assert!(!is_admin(&Identity::Token(token)) && is_admin(&Identity::Admin));
}
