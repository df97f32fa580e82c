//! A service with `protocol: HTTP2`: traffic, restarts and a change of the protocol lose no request.

use boatyard_tests::installation::ENDS_WITHIN;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::support::*;

/// An app whose instances speak HTTP/2 or HTTP/1.1.
fn spec(http2: bool) -> String {
    let (protocol, variable) = if http2 { ("HTTP2", "1") } else { ("HTTP", "0") };
    format!(
        "
name: shop
services:
- name: web
  image: {TESTAPP}
  instance_count: 2
  protocol: {protocol}
  envs: [{{key: HTTP2, value: '{variable}'}}]
  health_check: {{http_path: /health, period_seconds: 1}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_speak_http2_are_restarted_and_change_their_protocol_without_a_lost_request() {
    let at = installation().await;
    at.create(&spec(true)).await.unwrap();
    let app = app_id(&at, "shop").await;
    // A gRPC client would begin with HTTP/2 in the same way.
    let stream = TcpStream::connect(at.http()).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = || {
        let host = format!("http://shop.localhost:{}/echo", at.http().port());
        Request::post(host).body(Full::new(Bytes::from("a message"))).unwrap()
    };
    let load = web_traffic(&at, 20);
    let mut http2 = true;
    for turn in 0..4 {
        some_traffic(&load).await;
        let answer = client.send_request(request()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "a message");
        let deployment = if turn % 2 == 0 {
            at.restart(&app, &[]).await.unwrap()
        } else {
            http2 = !http2;
            let changed = app_spec::AppSpec::from_yaml(&spec(http2)).unwrap().spec;
            at.update(&app, changed.to_json_value(&|_, _| String::new())).await.unwrap()
        };
        let ended = at.wait_active(&app, &deployment).await.unwrap();
        assert_eq!(failed_in_record(&ended), 0, "by the ingress's own count");
    }
    load.reach(1_000, ENDS_WITHIN).await.unwrap();
    let report = load.stop().await;
    println!("two restarts and two changes of the protocol: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
}
