//! Bytes sent are kept by day, and no byte counts twice.

use std::collections::BTreeMap;

use rollout::ids::AppId;

use super::samples::TestStore;
use crate::bandwidth::BANDWIDTH_DAYS;
use crate::records::Change;

const TODAY: u64 = 20_000;

fn sent(bytes: u64) -> BTreeMap<AppId, u64> {
    BTreeMap::from([(AppId::from("shop"), bytes), (AppId::from("without a row"), bytes)])
}

#[tokio::test]
async fn each_day_has_what_was_sent_since_the_last_reading() {
    let (test, app) = (TestStore::with_app("shop").await, AppId::from("shop"));
    let store = &test.store;
    let readings = [
        (TODAY, "first process", 100),
        (TODAY, "first process", 250),
        // After a crash the controller may record a reading again.
        (TODAY, "first process", 250),
        (TODAY + 1, "first process", 300),
        // The ingress started again and counts from zero.
        (TODAY + 1, "second process", 7),
        (TODAY + 3, "second process", 9),
        // Somebody set the clock back.
        (TODAY + 2, "second process", 10),
    ];
    for (day, ingress, bytes) in readings {
        store.record_sent(day, ingress.to_owned(), sent(bytes)).await.unwrap();
    }
    let mut days = Vec::new();
    for day in TODAY - 1..TODAY + 4 {
        days.push(store.sent_bytes(&app, day).await.unwrap());
    }
    assert_eq!(days, [0, 250, 50 + 7, 1, 2]);
    assert_eq!(store.sent_bytes(&AppId::from("without a row"), TODAY).await.unwrap(), 0);
}

#[tokio::test]
async fn old_counts_are_deleted_and_those_of_a_deleted_app_too() {
    let (test, app) = (TestStore::with_app("shop").await, AppId::from("shop"));
    let store = &test.store;
    store.record_sent(TODAY, "old".into(), sent(5)).await.unwrap();
    store.record_sent(TODAY + BANDWIDTH_DAYS, "new".into(), sent(6)).await.unwrap();
    assert_eq!(store.sent_bytes(&app, TODAY).await.unwrap(), 5);
    store.record_sent(TODAY + BANDWIDTH_DAYS + 1, "new".into(), sent(8)).await.unwrap();
    assert_eq!(store.sent_bytes(&app, TODAY).await.unwrap(), 0);
    let later = TODAY + 3 * BANDWIDTH_DAYS;
    store.record_sent(later, "new".into(), sent(10)).await.unwrap();
    assert_eq!(store.sent_bytes(&app, later).await.unwrap(), 2);
    assert_eq!(store.sent_bytes(&app, TODAY + BANDWIDTH_DAYS).await.unwrap(), 0, "a newer row of this process exists");
    store.commit(vec![Change::ForgetApp(app.clone())]).await.unwrap();
    assert_eq!(store.sent_bytes(&app, later).await.unwrap(), 0);
}
