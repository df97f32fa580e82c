//! Tokens, sessions and the audit trail.

use rollout::deployment::Stage;
use rollout::time::Timestamp;

use super::samples::*;
use crate::records::{AUDIT_ROWS, Actor, AuditEntry, Change, Deployment, Session, Token, TokenApp, TokenScope};

fn token(name: &str) -> Token {
    Token {
        id: format!("id-of-{name}"),
        name: name.to_owned(),
        hash: format!("hash-of-{name}"),
        scope: TokenScope::Write,
        app: Some(TokenApp { id: "shop".into(), name: "name-of-shop".to_owned() }),
        created: Timestamp(1),
        expires: Some(Timestamp(2)),
    }
}

fn request(at: u64, app: Option<&str>, status: Option<u16>) -> AuditEntry {
    AuditEntry {
        at: Timestamp(at),
        actor: Actor { token: Some("id-of-ci".to_owned()), name: "ci".to_owned() },
        action: "restart".to_owned(),
        app: app.map(Into::into),
        app_name: app.map(|app| format!("name-of-{app}")),
        deployment: app.map(|app| deployment_id(app, at)),
        subject: None,
        status,
        source: Some([127, 0, 0, 1].into()),
    }
}

fn row(entry: AuditEntry) -> Change {
    Change::Audit(Box::new(entry))
}

#[tokio::test]
async fn tokens_are_listed_by_name_until_they_are_revoked() {
    let test = TestStore::new();
    test.store.commit(vec![Change::Token(token("deploy")), Change::Token(token("ci"))]).await.unwrap();
    assert_eq!(test.store.tokens().await.unwrap(), [token("ci"), token("deploy")]);
    test.store.commit(vec![Change::ForgetToken("id-of-ci".to_owned())]).await.unwrap();
    assert_eq!(test.reopened().store.tokens().await.unwrap(), [token("deploy")]);
}

#[tokio::test]
async fn two_tokens_never_share_a_name_or_a_hash() {
    let test = TestStore::new();
    test.store.commit(vec![Change::Token(token("ci"))]).await.unwrap();
    for twin in
        [Token { name: "ci".to_owned(), ..token("other") }, Token { hash: "hash-of-ci".to_owned(), ..token("other") }]
    {
        assert!(test.store.commit(vec![Change::Token(twin)]).await.is_err());
    }
    assert_eq!(test.store.tokens().await.unwrap(), [token("ci")]);
}

#[tokio::test]
async fn sessions_are_kept_until_they_are_deleted_and_never_share_a_hash() {
    let session = |id: &str, used| Session {
        id: id.to_owned(),
        hash: format!("hash-of-{id}"),
        token_hash: "hash-of-ci".to_owned(),
        source: Some([127, 0, 0, 1].into()),
        created: Timestamp(1),
        used: Timestamp(used),
    };
    let test = TestStore::new();
    test.store.commit(vec![Change::Session(session("a", 1)), Change::Session(session("b", 1))]).await.unwrap();
    test.store.commit(vec![Change::Session(session("b", 2))]).await.unwrap();
    let twin = Session { hash: "hash-of-a".to_owned(), ..session("c", 1) };
    assert!(test.store.commit(vec![Change::Session(twin)]).await.is_err());
    let test = test.reopened();
    assert_eq!(test.store.sessions().await.unwrap(), [session("a", 1), session("b", 2)]);
    test.store.commit(vec![Change::ForgetSession("a".to_owned())]).await.unwrap();
    assert_eq!(test.store.sessions().await.unwrap(), [session("b", 2)]);
}

#[tokio::test]
async fn the_audit_trail_is_read_newest_first_in_pages_and_by_app() {
    let test = TestStore::new();
    let rows = [
        request(1, Some("shop"), Some(200)),
        request(2, Some("blog"), Some(403)),
        request(3, None, None),
        AuditEntry { app: None, ..request(4, Some("shop"), Some(404)) },
    ];
    test.store.commit(rows.iter().cloned().map(row).collect()).await.unwrap();
    let [first, second, third, fourth] = rows;
    let read = |app: Option<&'static str>, offset, limit| test.store.audit(app, offset, limit);
    assert_eq!(read(None, 0, 2).await.unwrap(), (vec![fourth.clone(), third.clone()], 4));
    assert_eq!(read(None, 2, 9).await.unwrap(), (vec![second, first.clone()], 4));
    assert_eq!(read(Some("shop"), 0, 9).await.unwrap(), (vec![first.clone()], 1));
    assert_eq!(read(Some("name-of-shop"), 0, 9).await.unwrap(), (vec![fourth, first], 2));
    assert_eq!(read(Some("wiki"), 0, 9).await.unwrap(), (vec![], 0));
    assert_eq!(read(None, u64::MAX, u64::MAX).await.unwrap(), (vec![], 4));
}

#[tokio::test]
async fn the_oldest_rows_are_deleted_and_refused_requests_push_out_no_accepted_ones() {
    let test = TestStore::new();
    test.store.commit(vec![row(request(0, None, Some(200)))]).await.unwrap();
    let refused = |at| row(request(at, None, Some(403)));
    test.store.commit((1..=AUDIT_ROWS + 5).map(refused).collect()).await.unwrap();
    let (newest, total) = test.store.audit(None, 0, 1).await.unwrap();
    assert_eq!((newest[0].at, total), (Timestamp(AUDIT_ROWS + 5), AUDIT_ROWS + 1));
    let (oldest, _) = test.store.audit(None, AUDIT_ROWS - 1, 2).await.unwrap();
    assert_eq!(oldest.iter().map(|it| it.at.0).collect::<Vec<_>>(), [6, 0]);
    // The numbers continue after the oldest rows are gone.
    test.store.commit(vec![row(request(7, None, None)), refused(8)]).await.unwrap();
    let (newest, total) = test.store.audit(None, 0, 2).await.unwrap();
    assert_eq!((newest[0].at.0, newest[1].at.0, total), (8, 7, AUDIT_ROWS + 2));
}

#[test]
fn a_redirect_after_a_form_counts_as_accepted() {
    for (status, is_accepted) in
        [(Some(200), true), (Some(303), true), (Some(403), false), (Some(409), false), (Some(500), false), (None, true)]
    {
        assert_eq!(request(1, None, status).is_accepted(), is_accepted, "{status:?}");
    }
}

#[tokio::test]
async fn a_token_pushes_out_no_rows_of_other_tokens() {
    let test = TestStore::new();
    let by = |token: Option<&str>, at, status| {
        let actor = Actor { token: token.map(str::to_owned), name: "ci".to_owned() };
        row(AuditEntry { actor, ..request(at, None, Some(status)) })
    };
    test.store.commit(vec![by(None, 1, 200), by(Some("b"), 2, 200), by(Some("b"), 3, 403)]).await.unwrap();
    for status in [200, 403] {
        test.store.commit((4..=AUDIT_ROWS + 5).map(|at| by(Some("a"), at, status)).collect()).await.unwrap();
    }
    let (oldest, total) = test.store.audit(None, 2 * AUDIT_ROWS, 9).await.unwrap();
    assert_eq!((oldest.iter().map(|it| it.at.0).collect::<Vec<_>>(), total), (vec![3, 2, 1], 2 * AUDIT_ROWS + 3));
}

#[tokio::test]
async fn a_row_of_the_audit_trail_is_undone_with_its_commit() {
    let test = TestStore::with_app("shop").await;
    let orphan = put(deployment("other", 1, Stage::Active));
    assert!(test.store.commit(vec![row(request(1, Some("shop"), Some(200))), orphan]).await.is_err());
    assert_eq!(test.store.audit(None, 0, 9).await.unwrap(), (vec![], 0));
}

#[tokio::test]
async fn a_damaged_row_of_the_audit_trail_is_skipped_and_reported() {
    let test = TestStore::new();
    test.store.commit(vec![row(request(1, None, Some(200))), row(request(2, None, Some(200)))]).await.unwrap();
    test.sql().execute("UPDATE audit SET body = '{' WHERE number = 1", []).unwrap();
    let (rows, _) = test.store.audit(None, 0, 9).await.unwrap();
    assert_eq!(rows, [request(2, None, Some(200))]);
    assert_eq!(test.store.damaged()[0].table, "audit");
}

/// Rows of older versions.
#[test]
fn a_deployment_without_a_token_is_read() {
    let mut row = serde_json::to_value(deployment("shop", 1, Stage::Active)).unwrap();
    row.as_object_mut().unwrap().remove("actor").expect("it is stored");
    assert_eq!(serde_json::from_value::<Deployment>(row).unwrap().actor, None);
}
