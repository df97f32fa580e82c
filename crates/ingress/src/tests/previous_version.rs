//! The ingress of the previous version keeps running during an upgrade, so the two versions must understand each other.
//! The files in `tests/upgrade` contain what the previous version's ingress wrote.

use serde_json::{Value, json};

use crate::features::understands;
use crate::protocol::{
    HostMatch, Listener, ListenerKind, Message, PROTOCOL_VERSION, Request, RouteTable, TrustedProxies,
};
use crate::snapshot::{self, LoadOutcome};

const MESSAGES: &str = include_str!("../../../../tests/upgrade/ingress-messages.jsonl");
const ROUTES: &str = include_str!("../../../../tests/upgrade/ingress-routes.json");

fn message(kind: &str) -> Message {
    let line = MESSAGES.lines().find(|line| line.contains(&format!(r#"{{"type":"{kind}""#)));
    serde_json::from_str(line.unwrap()).unwrap_or_else(|error| panic!("{kind}: {error}"))
}

/// With another protocol number the controller would replace the running ingress, and requests would fail meanwhile.
#[test]
fn the_running_ingress_of_the_previous_version_is_kept() {
    let Message::Welcome { protocol, status, table, .. } = message("welcome") else { panic!("no welcome") };
    assert_eq!(protocol, PROTOCOL_VERSION);
    assert_eq!((status.version, table.version, table.apps[0].rules.len()), (7, 7, 3));
    assert!(understands(status.features, &table));
}

/// Its `Rule` has no host names, so it would apply the rule to all of them.
#[test]
fn the_previous_version_does_not_understand_a_rule_for_one_host_name() {
    let Message::Welcome { status, mut table, .. } = message("welcome") else { panic!("no welcome") };
    table.apps[0].rules[0].authority = Some(HostMatch::Exact("shop.example".to_owned()));
    assert!(!understands(status.features, &table));
}

#[test]
fn its_answers_and_events_can_be_read() {
    assert_eq!(message("acknowledged"), Message::Acknowledged { version: 7 });
    assert!(matches!(message("refused"), Message::Refused { reason } if reason.starts_with("table 3 is older")));
    let Message::Status { status } = message("status") else { panic!("no status") };
    assert_eq!((status.version, status.counters["6f1c"]["d1"].requests), (7, 9));
    assert_eq!(status.open["by-1-shop-web-0-2"].requests, 2);
    let Message::Draining { upstream, open } = message("draining") else { panic!("no draining") };
    assert_eq!((upstream.as_str(), open.requests, open.upgraded), ("by-1-shop-web-0-2", 0, 1));
}

/// The previous version ignores unknown fields and needs those that it knows.
#[test]
fn requests_contain_every_field_that_it_needs() {
    let welcome: Value = serde_json::from_str(MESSAGES.lines().next().unwrap()).unwrap();
    let table: RouteTable = serde_json::from_value(welcome["table"].clone()).unwrap();
    let listeners = vec![Listener { address: ([127, 0, 0, 1], 8080).into(), kind: ListenerKind::Http }];
    for (request, needed) in [
        (
            Request::Hello { protocol: 2, listeners, proxies: TrustedProxies::default() },
            json!({"type": "hello", "protocol": 2, "listeners": [{"address": "127.0.0.1:8080", "kind": "http"}]}),
        ),
        (Request::SetTable { table }, json!({"type": "set_table", "table": welcome["table"]})),
        (Request::Status, json!({"type": "status"})),
        (Request::Shutdown { drain_seconds: 10 }, json!({"type": "shutdown", "drain_seconds": 10})),
    ] {
        assert_holds(&serde_json::to_value(request).unwrap(), &needed);
    }
}

fn assert_holds(whole: &Value, needed: &Value) {
    match (whole, needed) {
        (Value::Object(whole), Value::Object(needed)) => {
            for (key, value) in needed {
                assert_holds(whole.get(key).unwrap_or_else(|| panic!("no {key}")), value);
            }
        }
        (Value::Array(whole), Value::Array(needed)) => {
            assert_eq!(whole.len(), needed.len());
            whole.iter().zip(needed).for_each(|(whole, needed)| assert_holds(whole, needed));
        }
        (whole, needed) => assert_eq!(whole, needed),
    }
}

/// After a restart of the host only the file is left.
#[test]
fn its_snapshot_can_be_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("routes.json");
    std::fs::write(&path, ROUTES).unwrap();
    let LoadOutcome::Snapshot(snapshot) = snapshot::load(&path).unwrap() else { panic!("not usable") };
    assert_eq!((snapshot.table.version, snapshot.listeners.len(), snapshot.table.apps[0].rules.len()), (7, 1, 3));
}
