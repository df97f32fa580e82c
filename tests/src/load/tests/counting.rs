//! Good traffic counts as good, windows add up, and the load ends in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use super::super::exchange::Connection;
use super::super::report::Sample;
use super::*;

#[tokio::test]
async fn good_answers_are_counted_over_connections_that_stay_open() {
    let server = Server::on_request(|_| answer("200 OK", b"welcome to the harbor")).await;
    let request = Request::get("/").answered(Expected::Containing("harbor".to_owned()));
    let report = report_after(200, plan_for(&server).with(request)).await;
    assert_eq!(report.failed_count, 0, "{report}");
    assert_eq!((server.connections(), server.requests()), (2, report.sent));
}

#[tokio::test]
async fn whole_bodies_are_sent_and_compared() {
    let server = Server::on_request(|request| answer("201 Created", &request.body)).await;
    let large: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let plan = plan_for(&server).with(Request::echo("/notes", large)).with(Request::echo("/notes", "short"));
    let report = report_after(20, plan).await;
    assert_eq!(report.failed_count, 0, "{report}");
}

#[tokio::test]
async fn requests_are_sent_in_turn_with_their_host() {
    let server = Server::on_request(|request| answer("200 OK", request.head.as_bytes())).await;
    let expect = |text: &str| Expected::Containing(text.to_owned());
    let plan = plan_for(&server)
        .with(Request::get("/a?b=c").answered(expect("get /a?b=c http/1.1\r\n")))
        .with(Request::get("/").answered(expect("\r\nhost: shop.localhost\r\n")))
        .with(Request::post("/notes", "x").answered(expect("post /notes http/1.1\r\n")));
    assert_eq!(report_after(9, plan).await.failed_count, 0);
}

#[tokio::test]
async fn a_connection_closed_between_requests_causes_no_failure() {
    let closed = Arc::new(Notify::new());
    let closing = closed.clone();
    let server = Server::on_connection(move |mut stream| {
        let closing = closing.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer("200 OK", b"")).await;
            drop(stream);
            closing.notify_one();
        }
    })
    .await;
    let plan = plan_for(&server);
    let mut connection = Connection::new(&plan);
    for _ in 0..6 {
        connection.exchange(&Request::get("/")).await.unwrap();
        closed.notified().await;
    }
    assert_eq!(server.connections(), 6);
}

#[tokio::test]
async fn a_connection_that_the_server_announced_to_close_causes_no_failure() {
    let server = Server::on_connection(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok").await;
    })
    .await;
    let report = report_after(50, plan_for(&server).with(Request::get("/"))).await;
    assert_eq!(report.failed_count, 0, "{report}");
    assert_eq!(server.connections(), report.sent);
}

#[tokio::test]
async fn a_window_contains_only_the_requests_that_ended_in_it() {
    let broken = Arc::new(AtomicBool::new(false));
    let is_broken = broken.clone();
    let server = Server::on_request(move |_| match is_broken.load(Ordering::SeqCst) {
        false => answer("200 OK", b""),
        true => answer("503 Service Unavailable", b""),
    })
    .await;
    let load = Load::start(plan_for(&server).with(Request::get("/")));
    let before = load.reach(20, SOON).await.unwrap();
    broken.store(true, Ordering::SeqCst);
    let during = load.snapshot();
    load.reach(during.sent + 20, SOON).await.unwrap();
    broken.store(false, Ordering::SeqCst);
    // Up to one answer per connection may still be a failure.
    let after = load.reach(load.snapshot().sent + 5, SOON).await.unwrap();
    load.reach(after.sent + 20, SOON).await.unwrap();

    let bad = load.between(during, after);
    assert!(bad.failed_count >= 18, "{bad}");
    assert!(bad.failed.iter().all(|said| said.contains("answered 503")) && bad.failed.len() >= 18, "{bad}");
    assert_eq!(load.since(after).failed_count, 0);
    let failed_before = load.between(before, during).failed_count;
    let whole = load.stop().await;
    assert_eq!(whole.failed_count, failed_before + bad.failed_count, "{whole}");
}

#[tokio::test]
async fn requests_are_not_sent_before_they_are_due() {
    let server = Server::on_request(|_| answer("200 OK", b"")).await;
    let started = Instant::now();
    let load = Load::start(plan_for(&server).with(Request::get("/")).rate(100.0));
    load.reach(21, SOON).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200), "the 21st is due after 200 ms");
    assert_eq!(load.stop().await.failed_count, 0);
}

#[tokio::test]
async fn the_time_of_a_delayed_request_counts_from_the_moment_it_was_due() {
    let server = Server::on_connection(|mut stream| async move {
        read_request(&mut stream).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        loop {
            let sent = stream.write_all(&answer("200 OK", b"")).await;
            if sent.is_err() || read_request(&mut stream).await.is_none() {
                return;
            }
        }
    })
    .await;
    let load = Load::start(plan_for(&server).connections(1).with(Request::get("/")).rate(50.0));
    let beginning = load.snapshot();
    let tenth = load.reach(10, SOON).await.unwrap();
    // The first request took 200 ms. The second was due 20 ms later and waited for it. A slow machine only delays them
    // more.
    let report = load.between(beginning, tenth);
    assert!(report.p50 >= Duration::from_millis(50), "{report}");
}

#[tokio::test]
async fn stop_waits_for_open_requests() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (server_asked, server_go) = (asked.clone(), go.clone());
    let server = Server::on_connection(move |mut stream| {
        let (asked, go) = (server_asked.clone(), server_go.clone());
        async move {
            read_request(&mut stream).await;
            asked.notify_one();
            go.notified().await;
            let _ = stream.write_all(&answer("200 OK", b"")).await;
        }
    })
    .await;
    let load = Load::start(plan_for(&server).connections(1).with(Request::get("/")));
    asked.notified().await;
    let stopping = tokio::spawn(load.stop());
    tokio::task::yield_now().await;
    go.notify_one();
    let report = stopping.await.unwrap();
    assert_eq!((report.sent, report.failed_count), (1, 0), "{report}");
}

#[tokio::test]
async fn stop_does_not_wait_for_requests_that_are_not_due() {
    let server = Server::on_request(|_| answer("200 OK", b"")).await;
    let load = Load::start(plan_for(&server).with(Request::get("/")).rate(0.01));
    load.reach(1, SOON).await.unwrap();
    let report = tokio::time::timeout(SOON, load.stop()).await.expect("the next is due in 100 s");
    assert_eq!(report.sent, 1);
}

#[tokio::test]
async fn a_wait_for_missing_traffic_ends_with_the_reason() {
    let server = Server::on_request(|_| answer("200 OK", b"")).await;
    let load = Load::start(plan_for(&server).with(Request::get("/")).rate(0.01));
    let error = load.reach(9, Duration::from_millis(100)).await.unwrap_err().to_string();
    assert!(error.contains(" of 9 requests have ended after 100ms"), "{error}");
}

#[tokio::test]
#[should_panic(expected = "at least one request")]
async fn a_plan_without_a_request_is_refused() {
    Load::start(LoadPlan::new("127.0.0.1:1".parse().unwrap(), "nowhere"));
}

fn sample(ms: u64, failed: bool) -> Sample {
    Sample { took: Duration::from_millis(ms), failed }
}

#[test]
fn percentiles_are_exact_and_include_failures() {
    let mut samples: Vec<_> = (1..=99).map(|ms| sample(ms, false)).collect();
    samples.push(sample(5_000, true));
    let report = LoadReport::new(&samples, Vec::new(), Duration::from_secs(10));
    assert_eq!((report.sent, report.failed_count, report.per_second), (100, 1, 10.0));
    let ms = Duration::from_millis;
    assert_eq!((report.p50, report.p99, report.max), (ms(50), ms(99), ms(5_000)));
}

#[test]
fn a_report_shows_the_first_failures_and_counts_the_others() {
    let messages = vec!["GET /: answered 502".to_owned(); 12];
    let text = LoadReport::new(&[sample(3, true); 12], messages, Duration::from_secs(1)).to_string();
    assert!(text.contains("12 requests") && text.contains("12 failed"), "{text}");
    assert_eq!(text.matches("GET /: answered 502").count(), 10, "{text}");
    assert!(text.ends_with("and 2 more"), "{text}");
}

#[test]
fn a_window_without_requests_is_empty() {
    let report = LoadReport::new(&[], Vec::new(), Duration::ZERO);
    assert_eq!((report.sent, report.max, report.per_second), (0, Duration::ZERO, 0.0));
}
