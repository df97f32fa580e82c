//! Webhooks and their deliveries.

use rollout::time::Timestamp;

use super::samples::*;
use crate::records::{Change, DELIVERIES, Delivery, DeliveryApp, TokenApp, Webhook};

fn webhook(name: &str) -> Webhook {
    let app = Some(TokenApp { id: "shop".into(), name: "name-of-shop".to_owned() });
    Webhook { name: name.to_owned(), secret: format!("canary-{name}"), app, created: Timestamp(1) }
}

fn delivery(webhook: &str, id: &str, is_open: bool) -> Delivery {
    let app = DeliveryApp {
        id: "shop".into(),
        name: "name-of-shop".to_owned(),
        commits: [("web".into(), "a".repeat(40))].into(),
        result: (!is_open).then(|| "deployed".to_owned()),
        deployment: None,
    };
    Delivery {
        webhook: webhook.to_owned(),
        id: id.to_owned(),
        at: Timestamp(2),
        host: "GitHub".to_owned(),
        event: "push".to_owned(),
        repository: Some("acme/shop".to_owned()),
        refs: vec!["main".to_owned()],
        answer: "looking".to_owned(),
        apps: vec![app],
    }
}

async fn with_webhook() -> TestStore {
    let test = TestStore::new();
    test.store.commit(vec![Change::Webhook(webhook("github"))]).await.unwrap();
    test
}

#[tokio::test]
async fn webhooks_are_read_back_and_their_secrets_are_sealed() {
    let test = with_webhook().await;
    test.store.commit(vec![Change::Webhook(webhook("forge"))]).await.unwrap();
    assert_eq!(test.store.webhooks().await.unwrap(), [webhook("forge"), webhook("github")]);
    let bodies: Vec<Vec<u8>> = test
        .sql()
        .prepare("SELECT body FROM webhooks")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(bodies.iter().all(|it| !String::from_utf8_lossy(it).contains("canary")), "{bodies:?}");
    assert!(!format!("{:?}", webhook("github")).contains("canary"));
}

#[tokio::test]
async fn a_repeated_delivery_is_recognized_also_by_the_next_process() {
    let test = with_webhook().await;
    test.store.commit(vec![Change::Webhook(webhook("forge"))]).await.unwrap();
    assert!(test.store.add_delivery(delivery("github", "1", true)).await.unwrap());
    assert!(!test.store.add_delivery(delivery("github", "1", false)).await.unwrap());
    assert!(test.store.add_delivery(delivery("forge", "1", false)).await.unwrap(), "another webhook");
    let test = test.reopened();
    assert!(!test.store.add_delivery(delivery("github", "1", false)).await.unwrap());
    assert_eq!(test.store.deliveries("github", 10).await.unwrap(), [delivery("github", "1", true)]);
}

#[tokio::test]
async fn a_delivery_is_open_until_the_result_for_each_app_is_known() {
    let test = with_webhook().await;
    test.store.add_delivery(delivery("github", "1", true)).await.unwrap();
    test.store.add_delivery(delivery("github", "2", false)).await.unwrap();
    assert_eq!(test.store.open_deliveries().await.unwrap(), [delivery("github", "1", true)]);
    let known = |it: &mut Delivery| it.apps[0].result = Some("deployed".to_owned());
    test.store.change_delivery("github", "1", known).await.unwrap();
    test.store.change_delivery("github", "unknown", known).await.unwrap();
    assert_eq!(test.store.open_deliveries().await.unwrap(), []);
    let newest = test.store.deliveries("github", 10).await.unwrap();
    assert_eq!(newest, [delivery("github", "2", false), delivery("github", "1", false)]);
    assert_eq!(test.store.deliveries("github", 1).await.unwrap(), [delivery("github", "2", false)]);
}

#[tokio::test]
async fn the_oldest_deliveries_of_a_webhook_are_deleted() {
    let test = with_webhook().await;
    test.store.commit(vec![Change::Webhook(webhook("forge"))]).await.unwrap();
    test.store.add_delivery(delivery("forge", "kept", false)).await.unwrap();
    // Rows as `add_delivery` writes them, in one transaction.
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO webhook_deliveries (webhook, id, open, body) SELECT 'github', i, 0, '{}' FROM n";
    test.sql().execute(sql, [DELIVERIES]).unwrap();
    test.store.add_delivery(delivery("github", "newest", false)).await.unwrap();
    let count =
        "SELECT count(*), min(CAST(id AS INTEGER)) FROM webhook_deliveries WHERE webhook = 'github' AND id <> 'newest'";
    let (count, oldest): (u64, u64) = test.sql().query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!((count, oldest), (DELIVERIES - 1, 2));
    assert_eq!(test.store.deliveries("forge", 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_deliveries_of_a_webhook_are_deleted_with_it() {
    let test = with_webhook().await;
    test.store.add_delivery(delivery("github", "1", true)).await.unwrap();
    test.store.commit(vec![Change::ForgetWebhook("github".to_owned())]).await.unwrap();
    assert_eq!(test.store.webhooks().await.unwrap(), []);
    assert_eq!(test.store.deliveries("github", 10).await.unwrap(), []);
    assert!(test.store.add_delivery(delivery("github", "2", true)).await.is_err(), "nothing is kept without a webhook");
}

#[tokio::test]
async fn a_damaged_delivery_is_reported_until_its_row_is_deleted() {
    let test = with_webhook().await;
    test.store.commit(vec![Change::Webhook(webhook("forge"))]).await.unwrap();
    let damage = "INSERT INTO webhook_deliveries (webhook, id, open, body) VALUES (?1, 'damaged', 0, '{')";
    for name in ["github", "forge"] {
        test.sql().execute(damage, [name]).unwrap();
        assert_eq!(test.store.deliveries(name, 10).await.unwrap(), []);
    }
    assert_eq!(test.store.damaged().len(), 2);
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
        INSERT INTO webhook_deliveries (webhook, id, open, body) SELECT 'github', i, 0, '{}' FROM n";
    test.sql().execute(sql, [DELIVERIES - 1]).unwrap();
    test.store.add_delivery(delivery("github", "newest", false)).await.unwrap();
    let left: Vec<_> = test.store.damaged().into_iter().map(|it| it.key).collect();
    assert!(matches!(&left[..], [key] if key.starts_with("forge/")), "{left:?}");
    test.store.commit(vec![Change::ForgetWebhook("forge".to_owned())]).await.unwrap();
    assert_eq!(test.store.damaged(), []);
}
