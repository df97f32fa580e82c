//! Table swaps under load: no request is lost, drained upstreams get no new requests, and the end of each drain is
//! reported.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use tokio::io::AsyncWriteExt;

use super::harness::*;
use crate::limits::Limits;
use crate::protocol::{Message, Open};

async fn drained(events: &mut tokio::sync::broadcast::Receiver<Message>, wanted: &str) {
    loop {
        match soon(events.recv()).await.unwrap() {
            Message::Draining { upstream, open } if upstream == wanted && open == Open::default() => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_idle_upstream_is_reported_as_drained_at_once() {
    let proxy = TestProxy::to(&[("old", echo().await)]).await;
    let mut events = proxy.routing.events();
    proxy.route(2, &[("new", echo().await)]);
    drained(&mut events, "old").await;
    assert_eq!(proxy.routing.open().len(), 0);
}

#[tokio::test]
async fn a_drain_waits_for_the_last_byte_of_an_open_response() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let old = application(move |mut stream, _| {
        let mut gate = gate.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab").await.unwrap();
            gate.wait_for(|go| *go).await.unwrap();
            stream.write_all(b"cd").await.unwrap();
        }
    })
    .await;
    let proxy = TestProxy::to(&[("old", old)]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await.unwrap();
    soon(read_head(&mut client)).await.unwrap();

    let mut events = proxy.routing.events();
    proxy.route(2, &[("new", echo().await)]);
    let first = soon(events.recv()).await.unwrap();
    assert_eq!(first, Message::Draining { upstream: "old".to_owned(), open: Open { requests: 1, upgraded: 0 } });
    assert!(proxy.get("/").await.starts_with("HTTP/1.1 200"), "new requests go to the new one");
    assert_eq!(proxy.routing.open()["old"].requests, 1);

    go.send(true).unwrap();
    assert_eq!(read_all(&mut client).await, "abcd");
    drained(&mut events, "old").await;
    assert_eq!((proxy.counters().failed, proxy.counters().client_gone), (0, 0));
}

#[tokio::test]
async fn a_drain_waits_for_the_response_to_an_upload() {
    let old = echo().await;
    let proxy = TestProxy::to(&[("old", old)]).await;
    let mut client = proxy.connect().await;
    client.write_all(b"POST / HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\nab").await.unwrap();
    until(|| proxy.routing.open().contains_key("old")).await;
    let mut events = proxy.routing.events();
    proxy.route(2, &[]);
    assert!(matches!(soon(events.recv()).await.unwrap(), Message::Draining { open: Open { requests: 1, .. }, .. }));
    client.write_all(b"cd").await.unwrap();
    let (head, body) = read_answer(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 200") && body.ends_with("abcd"), "{head}{body}");
    drained(&mut events, "old").await;
}

#[tokio::test]
async fn an_upstream_that_is_routed_again_while_it_drains_serves_again() {
    let app = echo().await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    proxy.route(2, &[]);
    proxy.route(3, &[("web", app)]);
    for _ in 0..3 {
        assert!(proxy.get("/").await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn every_drain_of_the_same_upstream_is_reported() {
    let app = echo().await;
    let proxy = TestProxy::to(&[("web", app)]).await;
    let mut events = proxy.routing.events();
    for round in 1..4 {
        proxy.route(2 * round, &[]);
        drained(&mut events, "web").await;
        proxy.route(2 * round + 1, &[("web", app)]);
    }
}

#[tokio::test]
async fn requests_wait_for_a_first_instance() {
    let proxy = TestProxy::open(Limits { first_upstream: PATIENCE, ..Limits::default() }).await;
    proxy.route(1, &[]);
    let waiting = proxy.get("/");
    let routed = async {
        until(|| proxy.counters().requests == 1).await;
        proxy.route(2, &[("web", echo().await)]);
    };
    let (answer, ()) = tokio::join!(waiting, routed);
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (1, 0));
}

#[tokio::test]
async fn requests_without_a_ready_instance_get_a_503_and_count_as_failed() {
    let proxy = TestProxy::to(&[]).await;
    let answer = proxy.get("/").await;
    assert_eq!(status(&answer), 503);
    assert!(answer.contains("x-boatyard-error: no-instance") && answer.contains("Component web"), "{answer}");
    assert_eq!((proxy.counters().requests, proxy.counters().failed), (1, 1));
}

/// An application that counts requests that arrive after its drain was reported as complete.
struct Instance {
    id: String,
    gone: std::sync::Arc<AtomicBool>,
    address: std::net::SocketAddr,
}

async fn instance(number: usize, violations: &std::sync::Arc<AtomicU64>) -> Instance {
    let gone = std::sync::Arc::new(AtomicBool::new(false));
    let (is_drained, violations) = (std::sync::Arc::clone(&gone), std::sync::Arc::clone(violations));
    let address = application(move |mut stream, _| {
        let (is_drained, violations) = (std::sync::Arc::clone(&is_drained), std::sync::Arc::clone(&violations));
        async move {
            while read_head(&mut stream).await.is_some() {
                violations.fetch_add(u64::from(is_drained.load(SeqCst)), SeqCst);
                if stream.write_all(OK.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    Instance { id: format!("web.{number}"), gone, address }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_table_swaps_under_load_lose_no_request_and_send_none_to_a_drained_upstream() {
    let violations = std::sync::Arc::new(AtomicU64::new(0));
    let (mut now, mut next) = (instance(0, &violations).await, instance(1, &violations).await);
    let proxy = std::sync::Arc::new(TestProxy::to(&[(&now.id, now.address)]).await);
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let (proxy, stop) = (std::sync::Arc::clone(&proxy), std::sync::Arc::clone(&stop));
            tokio::spawn(async move {
                let (mut sent, mut stream) = (0_u64, proxy.connect().await);
                while !stop.load(SeqCst) {
                    stream.write_all(b"GET /x HTTP/1.1\r\nHost: shop\r\n\r\n").await.unwrap();
                    let (head, body) = read_answer(&mut stream).await;
                    assert!(head.starts_with("HTTP/1.1 200") && body == "ok", "{head}{body}");
                    sent += 1;
                }
                sent
            })
        })
        .collect();

    let mut events = proxy.routing.events();
    let mut last_reports: HashMap<String, Open> = HashMap::new();
    for version in 2..202 {
        proxy.route(version, &[(&next.id, next.address)]);
        while last_reports.get(&now.id) != Some(&Open::default()) {
            if let Message::Draining { upstream, open } = soon(events.recv()).await.unwrap() {
                last_reports.insert(upstream, open);
            }
        }
        now.gone.store(true, SeqCst);
        now = next;
        next = instance(usize::try_from(version).unwrap(), &violations).await;
    }
    stop.store(true, SeqCst);
    let mut sent = 0;
    for client in clients {
        sent += client.await.unwrap();
    }
    let counters = proxy.counters();
    assert_eq!(violations.load(SeqCst), 0);
    assert_eq!((counters.requests, counters.failed, counters.client_gone), (sent, 0, 0));
    assert!(sent > 200, "the load was real: {sent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_drained_upstream_admits_no_request_in_any_interleaving_of_threads() {
    const INSTANCES: usize = 8;
    let routing = crate::routing_state::RoutingState::start();
    let named = |number: usize| (format!("web.{number}"), ([127, 0, 0, 1], 1).into());
    let install = |version: u64, number: usize| {
        let (id, address) = named(number);
        let rules = vec![rule("/", crate::protocol::Rewrite::Keep, &[(&id, address)])];
        routing.install(&table(version, rules));
    };
    install(1, 0);
    let drained: std::sync::Arc<[AtomicBool; INSTANCES]> = std::sync::Arc::default();
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let begun = std::sync::Arc::new(AtomicUsize::new(0));
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (routing, drained) = (std::sync::Arc::clone(&routing), std::sync::Arc::clone(&drained));
            let (stop, begun) = (std::sync::Arc::clone(&stop), std::sync::Arc::clone(&begun));
            tokio::task::spawn_blocking(move || {
                let (mut admitted, mut violations) = (0_u64, 0_u64);
                while !stop.load(SeqCst) {
                    let table = routing.table();
                    let upstream = table.app("shop").unwrap().rules[0].pick(&[]).unwrap();
                    // A drain may begin between choosing the upstream and admitting the request.
                    std::thread::yield_now();
                    if let Some(admission) = upstream.admit() {
                        let number: usize = upstream.id.strip_prefix("web.").unwrap().parse().unwrap();
                        admitted += 1;
                        violations += u64::from(drained[number].load(SeqCst));
                        drop(admission);
                        begun.fetch_add(usize::from(admitted == 1), SeqCst);
                    }
                }
                violations
            })
        })
        .collect();
    until(|| begun.load(SeqCst) == asking.len()).await;
    for version in 2..5_000_u64 {
        let old = usize::try_from(version - 2).unwrap() % INSTANCES;
        let new = (old + 1) % INSTANCES;
        drained[new].store(false, SeqCst);
        install(version, new);
        while routing.open().contains_key(&named(old).0) {
            tokio::task::yield_now().await;
        }
        drained[old].store(true, SeqCst);
    }
    stop.store(true, SeqCst);
    for thread in asking {
        assert_eq!(thread.await.unwrap(), 0);
    }
}
