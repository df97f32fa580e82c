//! Calls between the components of an app.

use std::net::{IpAddr, SocketAddr};

use boatyard_tests::http;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::*;

/// Calls `http://api:8080` all the time, on kept and on new connections. Answers with what it counted, and calls an address
/// when asked to.
const CALLER: &str = r#"
import http.client, http.server, json, socket, struct, threading, time, urllib.parse
counts = {"sent": 0, "failures": []}
lock = threading.Lock()

def call(connection, body):
    connection.request("POST" if body else "GET", "/", body=body)
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200 or text != "api":
        raise Exception("%d %s" % (answer.status, text))

def calls(keep, body):
    connection = None
    while True:
        began, failure = time.time(), None
        try:
            connection = connection or http.client.HTTPConnection("api", 8080, timeout=60)
            call(connection, body)
        except Exception as error:
            failure = "%s, %r after %.2f s" % ("kept" if keep else "new", error, time.time() - began)
            connection.close()
        with lock:
            counts["sent"] += 1
            if failure:
                counts["failures"].append(failure)
        if not keep or failure:
            connection.close()
            connection = None
        time.sleep(0.02)

def exactly(stream, count):
    got = b""
    while len(got) < count:
        part = stream.recv(count - len(got))
        if not part:
            raise Exception("closed")
        got += part
    return got

def by_http2(name, port):
    frame = lambda kind, flags, stream, text: struct.pack(">IBI", len(text) << 8 | kind, flags, stream) + text
    fields = [(":method", "GET"), (":scheme", "http"), (":path", "/env?key=NAME"), (":authority", "%s:%d" % (name, port))]
    block = b"".join(b"\0" + b"".join(bytes([len(it)]) + it.encode() for it in field) for field in fields)
    stream = socket.create_connection((name, port), timeout=60)
    stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, block))
    body = b""
    while True:
        first, flags, number = struct.unpack(">IBI", exactly(stream, 9))
        text = exactly(stream, first >> 8)
        body += text if first & 255 == 0 else b""
        if number == 1 and flags & 1:
            return body.decode()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        asked = dict(urllib.parse.parse_qsl(url.query))
        try:
            if url.path == "/ask":
                time.sleep(float(asked.get("after", 0)))
                connection = http.client.HTTPConnection(asked["name"], int(asked["port"]), timeout=60)
                connection.request("GET", "/", headers={"Host": asked.get("host", asked["name"])})
                answer = connection.getresponse()
                text = "%d %s" % (answer.status, answer.read().decode())
            elif url.path == "/http2":
                text = by_http2(asked["name"], int(asked["port"]))
            elif url.path == "/resolve":
                text = socket.gethostbyname(asked["name"])
            else:
                with lock:
                    text = json.dumps(counts)
        except Exception as error:
            text = "failed: %r" % error
        self.send_response(200)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

if CALLS:
    for keep in (True, False):
        for body in (None, b"some text"):
            threading.Thread(target=calls, args=(keep, body), daemon=True).start()
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"#;

/// Closes its listener at SIGTERM, as most servers do, and ends a second later.
const CALLED: &str = r#"
import http.server, os, signal, threading, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"api")
    do_POST = do_GET
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("", 8080), Handler)
def end(*args):
    server.socket.close()
    threading.Thread(target=lambda: (time.sleep(1), os._exit(0))).start()
signal.signal(signal.SIGTERM, end)
try:
    server.serve_forever()
except Exception:
    pass
while True:
    time.sleep(1)
"#;

const PYTHON: &str = "{registry_type: DOCKER_HUB, registry: boatyard-local, repository: python, tag: '3'}";

/// A service that runs this program.
fn service(name: &str, program: &str, instances: u32) -> String {
    let program = serde_json::to_string(program).unwrap();
    format!(
        "- name: {name}
  image: {PYTHON}
  instance_count: {instances}
  run_command: exec python3 -c \"$PROGRAM\"
  envs: [{{key: PROGRAM, value: {program}}}]
"
    )
}

fn caller(calls: bool) -> String {
    CALLER.replace("CALLS", if calls { "True" } else { "False" })
}

fn spec() -> String {
    format!(
        "name: shop\nservices:\n{}{}ingress: {{rules: [{{match: {{path: {{prefix: /}}}}, component: {{name: web}}}}]}}\n",
        service("web", &caller(true), 1),
        service("api", CALLED, 2)
    )
}

async fn ask(at: &Installation, app: &str, path: &str) -> String {
    let (status, text) = http::page(at.http(), &format!("{app}.localhost"), path).await.unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

/// How many calls were made, and which failed.
async fn counts(at: &Installation) -> (u64, Vec<Value>) {
    let counts: Value = serde_json::from_str(&ask(at, "shop", "/").await).unwrap();
    (counts["sent"].as_u64().unwrap(), counts["failures"].as_array().unwrap().clone())
}

/// Waits until this many more calls were made.
async fn more_calls(at: &Installation, more: u64) {
    let enough = counts(at).await.0 + more;
    let deadline = Instant::now() + ENDS_WITHIN;
    while counts(at).await.0 < enough {
        assert!(Instant::now() < deadline, "{:?}", counts(at).await);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Whether calls pass the ingress. Says that the test is skipped if not.
fn containers_reach_the_ingress(at: &Installation) -> bool {
    let direct = at.reaches_directly();
    if !direct {
        eprintln!("skipped: with published ports, containers do not reach the ingress");
    }
    direct
}

/// Restarts `api` under calls of `web`. Returns how many calls were made meanwhile, and which failed.
async fn restarts(at: &Installation, app: &str, times: usize) -> (u64, Vec<Value>) {
    // The first ones failed, because `api` started after `web`.
    let (sent_before, failed_before) = counts(at).await;
    more_calls(at, 50).await;
    for _ in 0..times {
        let deployment = at.restart(app, &["api"]).await.unwrap();
        at.wait_active(app, &deployment).await.unwrap();
    }
    more_calls(at, 50).await;
    let (sent, mut failures) = counts(at).await;
    (sent - sent_before, failures.split_off(failed_before.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn components_call_each_other_however_this_host_reaches_instances() {
    let at = installation().await;
    let created = at.create(&spec().replace("True", "False")).await.unwrap();
    assert_eq!(ask(&at, "shop", "/ask?name=api&port=8080").await, "200 api");
    let is_noted = created.to_string().contains("components call services directly");
    assert_eq!(is_noted, !at.reaches_directly(), "{created:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_between_components_are_not_lost_while_the_called_service_restarts() {
    let at = installation().await;
    if !containers_reach_the_ingress(&at) {
        return;
    }
    let created = at.create(&spec()).await.unwrap();
    let app = app_id(&at, "shop").await;
    assert!(!created.to_string().contains("directly"), "no note says that calls go past the ingress: {created:#}");
    let (sent, failures) = restarts(&at, &app, 3).await;
    println!("3 restarts: {sent} calls, {} failed", failures.len());
    assert_eq!(failures, Vec::<Value>::new(), "of {sent}");
    assert!(sent > 200, "{sent} calls prove little");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_speaks_http2_is_called_by_way_of_the_ingress_in_both_protocols() {
    let at = installation().await;
    if !containers_reach_the_ingress(&at) {
        return;
    }
    let spec = format!(
        "
name: shop
services:
{}
- name: api
  image: {TESTAPP}
  protocol: HTTP2
  envs: [{{key: HTTP2, value: '1'}}, {{key: NAME, value: api}}]
ingress: {{rules: [{{match: {{path: {{prefix: /}}}}, component: {{name: web}}}}]}}
",
        service("web", &caller(false), 1)
    );
    at.create(&spec).await.unwrap();
    assert_eq!(ask(&at, "shop", "/resolve?name=api").await, ask(&at, "shop", "/resolve?name=web").await);
    assert_eq!(ask(&at, "shop", "/http2?name=api&port=8080").await, "api");
    let answer = ask(&at, "shop", "/ask?name=api&port=8080").await;
    assert!(answer.starts_with("200 api "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_containers_of_the_app_may_call_its_services() {
    let at = installation().await;
    if !containers_reach_the_ingress(&at) {
        return;
    }
    at.create(&spec().replace("True", "False")).await.unwrap();
    let spy = format!("name: spy\nservices:\n{}", service("web", &caller(false), 1));
    at.create(&spy).await.unwrap();

    assert_eq!(ask(&at, "shop", "/ask?name=api&port=8080").await, "200 api");
    let gateway: IpAddr = ask(&at, "shop", "/resolve?name=api").await.parse().unwrap();
    assert_eq!(ask(&at, "shop", "/resolve?name=web").await, gateway.to_string());
    // `web` passes on the host of its own client.
    assert_eq!(ask(&at, "shop", "/ask?name=api&port=8080&host=shop.localhost").await, "200 api");

    let of_spy = ask(&at, "spy", &format!("/ask?name={gateway}&port=8080&host=api")).await;
    assert!(of_spy.starts_with("failed: ") && !of_spy.contains("imed out"), "{of_spy}");
    let mut of_host = TcpStream::connect(SocketAddr::from((gateway, 8080))).await.unwrap();
    // The ingress may have closed the connection already.
    let _ = of_host.write_all(b"GET / HTTP/1.1\r\nHost: api\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(ENDS_WITHIN, of_host.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_restarts_passes_the_requests_of_its_clients_on() {
    let at = installation().await;
    if !containers_reach_the_ingress(&at) {
        return;
    }
    at.create(&spec().replace("True", "False")).await.unwrap();
    let app = app_id(&at, "shop").await;
    let deployment = at.restart(&app, &["web"]).await.unwrap();
    // `web` holds each request for a while and passes it on with the host of its client. So some are passed on while their
    // instance drains.
    let clients = join_all((1..8).map(async |tenths| {
        loop {
            let path = format!("/ask?name=api&port=8080&host=shop.localhost&after=0.{tenths}");
            assert_eq!(ask(&at, "shop", &path).await, "200 api");
        }
    }));
    tokio::select! {
        active = at.wait_active(&app, &deployment) => drop(active.unwrap()),
        never = clients => drop::<Vec<()>>(never),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_reaches_its_own_public_address() {
    let at = installation().await;
    if !containers_reach_the_ingress(&at) {
        return;
    }
    at.create(&format!("name: shop\nservices:\n{}", service("web", &caller(false), 1))).await.unwrap();
    let spy = format!("name: spy\nservices:\n{}", service("web", &caller(false), 1));
    at.create(&spy).await.unwrap();
    let port = at.http().port();
    let answer = ask(&at, "shop", &format!("/ask?name=shop.localhost&port={port}")).await;
    assert!(answer.starts_with("200 {"), "{answer}");
    let address = ask(&at, "shop", "/resolve?name=shop.localhost").await;
    let of_spy = ask(&at, "spy", &format!("/ask?name={address}&port={port}&host=shop.localhost")).await;
    assert!(of_spy.starts_with("404 "), "an app reaches its own host names only: {of_spy}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: make sweep"]
async fn twenty_restarts_of_a_called_service_lose_no_call() {
    let at = installation().await;
    at.create(&spec()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let (sent, failures) = restarts(&at, &app, 20).await;
    println!("20 restarts: {sent} calls, {} failed", failures.len());
    assert_eq!(failures, Vec::<Value>::new(), "of {sent}");
}
