//! A restart makes exact copies, one instance at a time, without losing a request.

use std::time::Duration;

use boatyard_tests::installation::{ENDS_WITHIN, text};
use boatyard_tests::{engine, http};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, StreamBody};
use hyper::Request;
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_full_restarts_in_a_row_lose_no_request() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let load = traffic(&at, 50);
    for _ in 0..20 {
        let deployment = at.restart(&app, &[]).await.unwrap();
        let ended = at.wait_active(&app, &deployment).await.unwrap();
        assert_eq!(failed_in_record(&ended), 0, "by the ingress's own count");
    }
    // With fewer requests the test would prove nothing.
    load.reach(2_000, ENDS_WITHIN).await.unwrap();
    let report = load.stop().await;
    println!("20 full restarts, 50 keep-alive connections: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_replaces_only_the_named_components() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let ids = async |component| at.container_ids(&app, component).await.unwrap();
    let before = (ids("web").await, ids("api").await, ids("mill").await);
    assert_eq!((before.0.len(), before.1.len(), before.2.len()), (2, 1, 1));

    let deployment = at.restart(&app, &["api"]).await.unwrap();
    let ended = at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(ids("web").await, before.0);
    assert_eq!(ids("mill").await, before.2);
    assert_ne!(ids("api").await, before.1);
    let unchanged = ended["boatyard"]["record"]["unchanged"].as_array().unwrap();
    assert_eq!(unchanged.len(), 1, "the record says what stayed the same: {unchanged:?}");
    assert!(unchanged[0]["image"].as_str().unwrap().starts_with("sha256:"));

    // A request without a body restarts everything.
    let answer = at.ok("POST", &format!("/v2/apps/{app}/restart"), None).await.unwrap();
    at.wait_active(&app, &text(&answer, "/deployment/id").unwrap()).await.unwrap();
    let after = (ids("web").await, ids("api").await, ids("mill").await);
    assert!(before.0.iter().all(|id| !after.0.contains(id)), "both instances of web are new");
    assert_ne!(after.2, before.2);
    assert_eq!(at.engine_containers().await.unwrap().len(), 4, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_timeline_of_a_restart_shows_each_instance_from_its_creation_to_its_end() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let deployment = at.restart(&app, &["web", "mill"]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    let path = format!("/v2/boatyard/apps/{app}/deployments/{deployment}/timeline");
    let answer = at.ok("GET", &path, None).await.unwrap();
    let timeline = answer["timeline"].as_array().unwrap();
    let time = |alias: &str, existed: bool, what: &str| {
        let is_it =
            |it: &&Value| it["instance_alias"] == alias && it["existed_before"] == existed && it["transition"] == what;
        let [found] = timeline.iter().filter(is_it).collect::<Vec<_>>()[..] else {
            panic!("{alias} {existed} {what} is there once: {timeline:#?}")
        };
        found["at"].as_str().unwrap().to_owned()
    };
    for alias in ["web-0", "web-1", "mill-0"] {
        let mut new = ["intended", "created", "starting", "ready"].map(|it| time(alias, false, it)).to_vec();
        let old = ["existed", "draining", "stopping", "stopped", "gone"].map(|it| time(alias, true, it));
        if alias != "mill-0" {
            new.push(time(alias, false, "routed"));
        }
        assert!(new.is_sorted() && old.is_sorted(), "{alias}: {new:?} {old:?}");
        assert!(new.last() <= Some(&old[2]), "{alias}: the old one stops after the new one serves: {new:?} {old:?}");
    }
    time("api-0", true, "existed");
    assert_eq!(timeline.len(), 2 * (5 + 5) + (4 + 5) + 1, "nothing else: {timeline:#?}");
}

/// A response that takes 20 s and an upload that takes as long are open while a restart replaces all instances, and
/// fifty other connections keep sending requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_cuts_neither_a_long_stream_nor_a_slow_upload() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let target = at.http();
    let stream = tokio::spawn(async move { http::page(target, "shop.localhost", "/stream?seconds=20").await });
    let upload = tokio::spawn(slow_upload(target, 40, Duration::from_millis(500)));
    let load = traffic(&at, 50);
    some_traffic(&load).await;

    let deployment = at.restart(&app, &[]).await.unwrap();
    let ended = at.wait_active(&app, &deployment).await.unwrap();
    let (status, text) = stream.await.unwrap().unwrap();
    assert_eq!((status, text.lines().last()), (200, Some("end")), "the stream is whole");
    assert_eq!(text.lines().count(), 201);
    let (status, answer) = upload.await.unwrap();
    assert_eq!(status, 200);
    assert!(answer.contains(&(40 * 1024).to_string()), "all bytes of the upload arrived: {answer}");
    let report = load.stop().await;
    println!("restart with a 20 s stream and a slow upload open: {report}");
    assert_eq!((report.failed_count, failed_in_record(&ended)), (0, 0), "{report}");
}

/// Sends `pieces` of 1 KiB with a pause between them. The pause is real, because the test needs a slow upload.
async fn slow_upload(target: std::net::SocketAddr, pieces: usize, pause: Duration) -> (u16, String) {
    let stream = TcpStream::connect(target).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = stream::iter(0..pieces).then(move |_| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'u'; 1024])))
    });
    let request =
        Request::post("/upload").header("host", "shop.localhost").body(StreamBody::new(Box::pin(body))).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// Drift: Boatyard repairs what people change by hand, without a request.
#[tokio::test(flavor = "multi_thread")]
async fn instances_removed_or_stopped_by_hand_are_replaced() {
    let at = installation().await;
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let docker = engine::connect().unwrap();
    let before = at.container_ids(&app, "web").await.unwrap();
    let remove = bollard::query_parameters::RemoveContainerOptionsBuilder::new().force(true).build();
    docker.remove_container(&before[0], Some(remove)).await.unwrap();
    docker.stop_container(&at.container_ids(&app, "api").await.unwrap()[0], None).await.unwrap();

    let deadline = tokio::time::Instant::now() + ENDS_WITHIN;
    loop {
        let all = at.instances(&app).await.unwrap();
        let ready = all.iter().filter(|it| it["phase"] == "ready").count();
        let gone = all.iter().all(|it| it["container_id"] != before[0].as_str());
        if ready == 4 && gone && http::page(at.http(), "shop.localhost", "/api/").await.is_ok_and(|it| it.0 == 200) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "not repaired: {all:#?}\n{}", at.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A response that never ends, an upload that never ends, and a websocket are open when the rollout begins, and still
/// open when the drain time is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_restart_records_the_request_the_upload_and_the_websocket_that_it_cuts() {
    let at = installation().await;
    at.create(ENDLESS).await.unwrap();
    let app = app_id(&at, "endless").await;
    let mut open = Vec::new();
    for head in [
        "POST /upload HTTP/1.1\r\nHost: endless.localhost\r\nContent-Length: 1000\r\n\r\nabc",
        "GET /stream HTTP/1.1\r\nHost: endless.localhost\r\n\r\n",
        "GET /socket HTTP/1.1\r\nHost: endless.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut client = TcpStream::connect(at.http()).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        if !head.starts_with("POST") {
            let mut answer = [0; 12];
            client.read_exact(&mut answer).await.unwrap();
            assert!(answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
        }
        open.push(client);
    }

    let deployment = at.restart(&app, &[]).await.unwrap();
    let ended = at.wait_active(&app, &deployment).await.unwrap();
    let served = &ended["boatyard"]["record"]["served"];
    let counts = ["open_at_start", "requests_cut", "uploads_cut", "upgraded", "upgraded_cut", "failed"];
    assert_eq!(counts.map(|name| served[name].as_u64()), [2, 1, 1, 1, 1, 2].map(Some), "{served}");
    println!("a restart that cuts one of each: {served}");
}

const ENDLESS: &str = r#"
name: endless
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: python, tag: '3'}
  run_command: python3 -c "$PROGRAM"
  health_check: {http_path: /, period_seconds: 1}
  termination: {drain_seconds: 2, grace_period_seconds: 2}
  envs:
  - key: PROGRAM
    value: |
      import socket, threading, time
      def answer(client):
          lines = client.makefile('rb')
          path = lines.readline().decode().split(' ')[1]
          while lines.readline() not in (b'\r\n', b''): pass
          if path == '/upload':
              while lines.read(1): pass
          elif path == '/stream':
              client.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
              while True:
                  client.sendall(b'1\r\nx\r\n')
                  time.sleep(0.05)
          elif path == '/socket':
              client.sendall(b'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
              while lines.read(1): pass
          else:
              client.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok')
          lines.close()
          client.close()
      server = socket.socket()
      server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
      server.bind(('', 8080))
      server.listen(99)
      while True:
          threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()
"#;
