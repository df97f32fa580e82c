//! The control socket: who may change what, what is saved, what survives a restart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::oneshot;

use super::harness::*;
use crate::files::tests::{errors, site};
use crate::limits::Limits;
use crate::process::{self, IngressError, socket_path};
use crate::protocol::{AccessLogFormat, Message, Open, PROTOCOL_VERSION, Request, Rewrite, RouteTable, TrustedProxies};
use crate::{ClientError, ControlClient, IngressEvent};

/// A complete ingress inside the test process.
struct Ingress {
    data_dir: tempfile::TempDir,
    stop: Option<oneshot::Sender<Duration>>,
    running: tokio::task::JoinHandle<Result<(), IngressError>>,
}

fn start(data_dir: &Path) -> (oneshot::Sender<Duration>, tokio::task::JoinHandle<Result<(), IngressError>>) {
    start_with(data_dir, Limits::default())
}

fn start_with(
    data_dir: &Path,
    limits: Limits,
) -> (oneshot::Sender<Duration>, tokio::task::JoinHandle<Result<(), IngressError>>) {
    let (stop, stop_signal) = oneshot::channel();
    let path = data_dir.to_owned();
    let running = tokio::spawn(async move {
        let stop_signal = async {
            match stop_signal.await {
                Ok(drain) => drain,
                Err(_) => std::future::pending().await,
            }
        };
        process::serve(&path, limits, 100, stop_signal).await
    });
    (stop, running)
}

impl Ingress {
    fn start() -> Self {
        Ingress::start_with(Limits::default())
    }

    fn start_with(limits: Limits) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let (stop, running) = start_with(data_dir.path(), limits);
        Ingress { data_dir, stop: Some(stop), running }
    }

    fn socket(&self) -> PathBuf {
        socket_path(self.data_dir.path())
    }

    async fn connect(&self) -> ControlClient {
        soon(async {
            loop {
                match ControlClient::connect(&self.socket()).await {
                    Ok(control) => return control,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
    }

    async fn stop(&mut self) {
        self.stop.take().unwrap().send(Duration::ZERO).unwrap();
        soon(&mut self.running).await.unwrap().unwrap();
    }

    async fn restart(&mut self) {
        self.stop().await;
        let (stop, running) = start(self.data_dir.path());
        (self.stop, self.running) = (Some(stop), running);
    }
}

const ANY: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

async fn get(address: std::net::SocketAddr) -> u16 {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n").await.unwrap();
    status(&read_all(&mut stream).await)
}

async fn to_echo(version: u64) -> RouteTable {
    table(version, vec![rule("/", Rewrite::Keep, &[("web", echo().await)])])
}

#[tokio::test]
async fn an_acknowledged_table_is_in_force_and_the_status_counts_its_requests() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    let welcome = control.hello(vec![http(ANY)]).await.unwrap();
    assert_eq!((welcome.status.version, welcome.refused.len(), welcome.status.listeners.len()), (0, 0, 1));
    assert_eq!(welcome.status.pid, std::process::id());
    assert_eq!(control.set_table(to_echo(5).await).await.unwrap(), 5);
    assert_eq!(get(welcome.status.listeners[0].address).await, 200);
    let status = control.status().await.unwrap();
    assert_eq!((status.version, status.counters["shop"]["d1"].requests), (5, 1));
    assert_eq!(status.boot_id, welcome.status.boot_id);
}

#[tokio::test]
async fn a_drain_is_reported_to_the_controller() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    control.hello(vec![http(ANY)]).await.unwrap();
    control.set_table(to_echo(1).await).await.unwrap();
    let mut events = control.events();
    control.set_table(table(2, Vec::new())).await.unwrap();
    let wanted = IngressEvent::Draining { upstream: "web".to_owned(), open: Open::default() };
    assert_eq!(soon(events.recv()).await.unwrap(), wanted);
}

#[tokio::test]
async fn an_older_table_is_refused_and_the_same_version_again_is_not() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    control.hello(vec![http(ANY)]).await.unwrap();
    control.set_table(to_echo(7).await).await.unwrap();
    let refused = control.set_table(to_echo(6).await).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused { reason, .. } if reason.contains("table 7")), "{refused}");
    assert_eq!(control.set_table(to_echo(7).await).await.unwrap(), 7);
    assert_eq!(control.status().await.unwrap().version, 7);
}

#[tokio::test]
async fn unusable_parts_of_a_table_are_left_out_and_listed_in_the_status() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    control.hello(Vec::new()).await.unwrap();
    control.set_table(to_echo(1).await).await.unwrap();
    let mut bad = to_echo(2).await;
    bad.apps[0].hosts.push("no host".to_owned());
    assert_eq!(control.set_table(bad).await.unwrap(), 2);
    let status = control.status().await.unwrap();
    assert_eq!((status.version, status.refused.len(), status.refused[0].app.as_str()), (2, 1, "shop"));
    assert_eq!(status.refused[0].host.as_deref(), Some("no host"));
}

#[tokio::test]
async fn other_requests_are_answered_while_the_files_of_a_site_are_opened() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    control.hello(Vec::new()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("site");
    std::fs::create_dir(&directory).unwrap();
    // A pipe: reading the index takes until something is written.
    let index = directory.join("index.json");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &index, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let table = table(1, vec![site("/", Rewrite::Strip, &[&directory], errors())]);
    let setting = tokio::spawn(async move { control.set_table(table).await });
    // Opening a pipe for writing takes until somebody reads.
    let opening = tokio::task::spawn_blocking(move || std::fs::File::options().write(true).open(index));
    let mut written = soon(opening).await.unwrap().unwrap();
    let other = ingress.connect().await;
    assert_eq!(soon(other.status()).await.unwrap().version, 0);
    std::io::Write::write_all(&mut written, b"no index").unwrap();
    drop(written);
    assert_eq!(soon(setting).await.unwrap().unwrap(), 1);
}

/// A newer controller may send targets that this ingress does not know, if it kept this ingress running.
#[tokio::test]
async fn a_rule_with_an_unknown_target_is_left_out_and_the_rest_of_the_table_takes_effect() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    let address = control.hello(vec![http(ANY)]).await.unwrap().status.listeners[0].address;
    let mut sent = serde_json::to_value(to_echo(1).await).unwrap();
    let redirect =
        json!({"match": {"prefix": "/old"}, "rewrite": "keep", "component": "", "redirect": {"uri": "/new"}});
    sent["apps"][0]["rules"].as_array_mut().unwrap().insert(0, redirect.clone());
    let other = json!({"app": "blog", "hosts": ["blog"], "window": "d1", "rules": [redirect]});
    sent["apps"].as_array_mut().unwrap().insert(0, other);
    control.set_table(serde_json::from_value(sent.clone()).unwrap()).await.unwrap();
    let refused: Vec<_> = control.status().await.unwrap().refused.into_iter().map(|it| it.app).collect();
    assert_eq!(refused, ["blog", "shop"]);
    assert_eq!(get(address).await, 200);
    // The controller that sent the rules gets them back.
    let welcome = ingress.connect().await.hello(vec![http(ANY)]).await.unwrap();
    assert_eq!(serde_json::to_value(welcome.table).unwrap(), sent);
}

#[tokio::test]
async fn only_the_connection_with_the_newest_hello_may_change_anything_and_any_may_read_the_status() {
    let ingress = Ingress::start();
    let (old, new) = (ingress.connect().await, ingress.connect().await);
    assert!(matches!(old.set_table(to_echo(1).await).await, Err(ClientError::Refused { .. })), "no hello yet");
    old.hello(Vec::new()).await.unwrap();
    new.hello(Vec::new()).await.unwrap();
    assert!(matches!(old.set_table(to_echo(1).await).await, Err(ClientError::Refused { .. })));
    assert!(matches!(old.shutdown(Duration::ZERO).await, Err(ClientError::Refused { .. })));
    assert_eq!(old.status().await.unwrap().version, 0);
    assert_eq!(new.set_table(to_echo(1).await).await.unwrap(), 1);
}

#[tokio::test]
async fn a_late_hello_on_an_older_connection_is_refused() {
    let ingress = Ingress::start();
    let (old, new) = (ingress.connect().await, ingress.connect().await);
    let open = new.hello(vec![http(ANY)]).await.unwrap().status.listeners;
    let late = old.hello(Vec::new()).await.unwrap_err();
    assert!(matches!(&late, ClientError::Refused { reason, .. } if reason.contains("late")), "{late}");
    assert_eq!(new.set_table(to_echo(1).await).await.unwrap(), 1);
    assert_eq!(new.status().await.unwrap().listeners, open);
}

/// Sends requests and closes the connection before the ingress reads them, like a connection that the controller
/// abandoned while the ingress was frozen.
fn send_and_close(socket: &Path, requests: &[Request]) {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    for request in requests {
        let line = serde_json::to_string(request).unwrap() + "\n";
        std::io::Write::write_all(&mut stream, line.as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn requests_of_a_closed_connection_change_nothing() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    let open = control.hello(vec![http(ANY)]).await.unwrap().status.listeners;
    control.set_table(to_echo(1).await).await.unwrap();
    // This connection is newer than the one in charge.
    let hello =
        Request::Hello { protocol: PROTOCOL_VERSION, listeners: Vec::new(), proxies: TrustedProxies::default() };
    let table_request = Request::SetTable { table: table(9, Vec::new()) };
    send_and_close(&ingress.socket(), &[hello, table_request, Request::Shutdown { drain_seconds: 0 }]);
    assert_eq!(ingress.connect().await.status().await.unwrap().version, 1);
    assert_eq!(control.set_table(to_echo(2).await).await.unwrap(), 2, "still in charge");
    assert_eq!(control.status().await.unwrap().listeners, open);
}

#[tokio::test]
async fn an_acknowledged_table_is_served_after_a_restart_without_a_controller() {
    let mut ingress = Ingress::start();
    let control = ingress.connect().await;
    let first = control.hello(vec![http(ANY)]).await.unwrap().status;
    control.set_table(to_echo(3).await).await.unwrap();
    let mut events = control.events();
    ingress.restart().await;
    assert_eq!(soon(events.recv()).await.unwrap(), IngressEvent::Lost);
    assert!(matches!(control.status().await, Err(ClientError::Lost)));
    let status = ingress.connect().await.status().await.unwrap();
    assert_eq!(status.version, 3);
    assert_ne!(status.boot_id, first.boot_id);
    assert_eq!(get(status.listeners[0].address).await, 200);
}

#[tokio::test]
async fn a_restarted_ingress_trusts_the_same_proxies() {
    let mut ingress = Ingress::start();
    let proxies = TrustedProxies {
        by_header: vec!["10.0.0.0/8".parse().unwrap()],
        by_proxy_protocol: vec!["::1/128".parse().unwrap()],
    };
    let control = ingress.connect().await;
    let welcome = control.hello_behind(vec![http(ANY)], proxies.clone()).await.unwrap();
    assert_eq!(welcome.status.proxies, proxies);
    ingress.restart().await;
    let control = ingress.connect().await;
    assert_eq!(control.status().await.unwrap().proxies, proxies);
    assert_eq!(control.hello(vec![http(ANY)]).await.unwrap().status.proxies, TrustedProxies::default());
}

#[tokio::test]
async fn trusted_proxies_are_saved_although_a_listener_is_refused() {
    let mut ingress = Ingress::start();
    let control = ingress.connect().await;
    let open = control.hello(vec![http(ANY)]).await.unwrap().status.listeners;
    let taken = TcpListener::bind(std::net::SocketAddr::from(ANY)).await.unwrap();
    let proxies = TrustedProxies { by_header: vec!["10.0.0.0/8".parse().unwrap()], ..TrustedProxies::default() };
    let wanted = vec![open[0].clone(), http(taken.local_addr().unwrap())];
    let welcome = control.hello_behind(wanted, proxies.clone()).await.unwrap();
    assert_eq!((welcome.refused.len(), welcome.status.unsaved), (1, None));
    ingress.restart().await;
    let status = ingress.connect().await.status().await.unwrap();
    assert_eq!((status.proxies, status.listeners.len()), (proxies, 1));
}

#[tokio::test]
async fn the_answer_to_a_hello_contains_the_table_in_force() {
    let mut ingress = Ingress::start();
    let table = to_echo(3).await;
    let control = ingress.connect().await;
    assert_eq!(control.hello(Vec::new()).await.unwrap().table, RouteTable::default());
    control.set_table(table.clone()).await.unwrap();
    assert_eq!(ingress.connect().await.hello(Vec::new()).await.unwrap().table, table);
    ingress.restart().await;
    assert_eq!(ingress.connect().await.hello(Vec::new()).await.unwrap().table, table, "from the snapshot");
}

#[tokio::test]
async fn a_damaged_snapshot_is_renamed_and_the_process_starts_empty() {
    let mut ingress = Ingress::start();
    let control = ingress.connect().await;
    control.hello(vec![http(ANY)]).await.unwrap();
    control.set_table(to_echo(3).await).await.unwrap();
    ingress.stop().await;
    let folder = ingress.data_dir.path().join("ingress");
    std::fs::write(folder.join("routes.json"), "{\"format\":1,").unwrap();
    let (stop, running) = start(ingress.data_dir.path());
    (ingress.stop, ingress.running) = (Some(stop), running);
    let control = ingress.connect().await;
    assert_eq!(control.status().await.unwrap().version, 0);
    assert!(folder.join("routes.json.bad").exists());
    control.hello(vec![http(ANY)]).await.unwrap();
    control.set_table(to_echo(4).await).await.unwrap();
}

#[tokio::test]
async fn a_table_that_cannot_be_saved_takes_effect_and_is_saved_later() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    control.hello(vec![http(ANY)]).await.unwrap();
    control.set_table(to_echo(1).await).await.unwrap();
    std::fs::create_dir(ingress.data_dir.path().join("ingress/routes.json.new")).unwrap();
    assert_eq!(control.set_table(to_echo(2).await).await.unwrap(), 2);
    let status = control.status().await.unwrap();
    assert!(status.version == 2 && status.unsaved.is_some_and(|why| why.contains("routes.json")));
    std::fs::remove_dir(ingress.data_dir.path().join("ingress/routes.json.new")).unwrap();
    let kept = || std::fs::read_to_string(ingress.data_dir.path().join("ingress/routes.json")).unwrap();
    until(|| kept().contains("\"version\":2")).await;
}

#[tokio::test]
async fn a_second_ingress_for_the_same_directory_ends_with_a_clear_error() {
    let ingress = Ingress::start();
    ingress.connect().await;
    let (_stop, second) = start(ingress.data_dir.path());
    let error = soon(second).await.unwrap().unwrap_err();
    assert!(matches!(error, IngressError::AlreadyRunning { .. }), "{error}");
    assert_eq!(ingress.connect().await.status().await.unwrap().version, 0);
}

#[tokio::test]
async fn a_listener_that_cannot_be_opened_is_reported_and_the_old_one_stays_open() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    let open = control.hello(vec![http(ANY)]).await.unwrap().status.listeners[0].address;
    control.set_table(to_echo(1).await).await.unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wanted = http(taken.local_addr().unwrap());
    let welcome = control.hello(vec![wanted.clone()]).await.unwrap();
    assert_eq!(welcome.refused[0].listener, wanted);
    assert_eq!(welcome.refused[0].reason, "another program listens there");
    assert_eq!(get(open).await, 200);

    drop(taken);
    let welcome = control.hello(vec![wanted.clone()]).await.unwrap();
    assert_eq!((welcome.refused.len(), welcome.status.listeners), (0, vec![wanted.clone()]));
    assert_eq!(get(wanted.address).await, 200);
    assert!(tokio::net::TcpStream::connect(open).await.is_err(), "the old one is closed");
}

#[tokio::test]
async fn a_listener_can_be_changed_to_all_addresses_and_back() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    let narrow = control.hello(vec![http(ANY)]).await.unwrap().status.listeners[0].clone();
    control.set_table(to_echo(1).await).await.unwrap();
    for wanted in [http(([0, 0, 0, 0], narrow.address.port())), narrow.clone()] {
        let welcome = control.hello(vec![wanted.clone()]).await.unwrap();
        assert_eq!((welcome.refused.len(), welcome.status.listeners), (0, vec![wanted]));
        assert_eq!(get(narrow.address).await, 200);
    }
}

#[tokio::test]
async fn a_listener_stays_open_while_a_change_to_all_addresses_fails() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    let narrow = control.hello(vec![http(ANY)]).await.unwrap().status.listeners[0].clone();
    control.set_table(to_echo(1).await).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n";
    let mut client = tokio::net::TcpStream::connect(narrow.address).await.unwrap();
    client.write_all(ask).await.unwrap();
    assert_eq!(status(&read_answer(&mut client).await.0), 200);

    // Another program uses the same port on another address, which conflicts with all addresses.
    let _other = TcpListener::bind(("127.0.0.2", narrow.address.port())).await.unwrap();
    let welcome = control.hello(vec![http(([0, 0, 0, 0], narrow.address.port()))]).await.unwrap();
    assert_eq!((welcome.refused.len(), welcome.status.listeners), (1, vec![narrow.clone()]));
    assert_eq!(get(narrow.address).await, 200);
    // If the listener had been closed for a moment, this idle connection would have ended.
    client.write_all(ask).await.unwrap();
    assert_eq!(status(&read_answer(&mut client).await.0), 200);
}

#[tokio::test]
async fn an_open_request_finishes_after_its_listener_is_closed() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = gated_application(gate).await;
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    let open = control.hello(vec![http(ANY)]).await.unwrap().status.listeners[0].address;
    control.set_table(table(1, vec![rule("/", Rewrite::Keep, &[("web", app)])])).await.unwrap();
    let asking = tokio::spawn(get(open));
    soon(async { while control.status().await.unwrap().open.is_empty() {} }).await;
    control.hello(Vec::new()).await.unwrap();
    go.send(true).unwrap();
    assert_eq!(soon(asking).await.unwrap(), 200);
}

#[tokio::test]
async fn a_shutdown_lets_open_requests_finish_and_returns_after_the_process_has_exited() {
    let (go, gate) = tokio::sync::watch::channel(false);
    let app = gated_application(gate).await;
    let mut ingress = Ingress::start();
    let control = ingress.connect().await;
    let open = control.hello(vec![http(ANY)]).await.unwrap().status.listeners[0].address;
    control.set_table(table(1, vec![rule("/", Rewrite::Keep, &[("web", app)])])).await.unwrap();
    let asking = tokio::spawn(get(open));
    soon(async { while control.status().await.unwrap().open.is_empty() {} }).await;
    let ending = tokio::spawn(async move { control.shutdown_and_wait(PATIENCE).await });
    until(|| std::net::TcpStream::connect(open).is_err()).await;
    assert!(!ending.is_finished(), "a request is open");
    go.send(true).unwrap();
    assert_eq!(soon(asking).await.unwrap(), 200);
    soon(ending).await.unwrap().unwrap();
    soon(&mut ingress.running).await.unwrap().unwrap();
    assert!(!ingress.socket().exists());
}

#[tokio::test]
async fn the_format_of_the_access_log_is_set_by_the_controller_and_survives_a_restart() {
    let mut ingress = Ingress::start();
    let control = ingress.connect().await;
    control.set_access_log(AccessLogFormat::Text).await.unwrap_err();
    control.hello(vec![http(ANY)]).await.unwrap();
    control.set_table(to_echo(1).await).await.unwrap();
    control.set_access_log(AccessLogFormat::Text).await.unwrap();
    drop(control);
    ingress.restart().await;
    let open = ingress.connect().await.status().await.unwrap().listeners[0].address;
    assert_eq!(get(open).await, 200);
    let log = || std::fs::read_to_string(ingress.data_dir.path().join("access.log")).unwrap_or_default();
    until(|| log().ends_with('\n')).await;
    assert!(log().contains(" GET shop / HTTP/1.1 200 "), "{}", log());
}

/// Sends raw lines, and returns an answer for each.
async fn exchange_lines(socket: &Path, lines: &[&str]) -> Vec<Message> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    for line in lines {
        stream.write_all(line.as_bytes()).await.unwrap();
        stream.write_all(b"\n").await.unwrap();
    }
    let mut read = BufReader::new(stream).lines();
    let mut answers = Vec::new();
    for _ in lines {
        let line = soon(read.next_line()).await.unwrap().unwrap();
        answers.push(serde_json::from_str(&line).unwrap());
    }
    answers
}

#[tokio::test]
async fn the_last_lines_of_the_access_log_are_written_before_the_process_ends() {
    let mut ingress = Ingress::start();
    let control = ingress.connect().await;
    let status = control.hello(vec![http(ANY)]).await.unwrap().status;
    control.set_table(to_echo(1).await).await.unwrap();
    control.set_access_log(AccessLogFormat::Text).await.unwrap();
    // A pipe without a reader is as slow as a disk that hangs.
    let path = ingress.data_dir.path().join("access.log");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(get(status.listeners[0].address).await, 200);
    ingress.stop.take().unwrap().send(Duration::ZERO).unwrap();
    soon(async { while control.status().await.is_ok_and(|it| !it.listeners.is_empty()) {} }).await;
    for _ in 0..20 {
        // Ends earlier if the process does.
        let _ = control.status().await;
    }
    assert!(!ingress.running.is_finished());
    let reading = tokio::task::spawn_blocking(move || std::io::read_to_string(std::fs::File::open(path).unwrap()));
    soon(&mut ingress.running).await.unwrap().unwrap();
    drop(ingress);
    let lines = soon(reading).await.unwrap().unwrap();
    assert_eq!(lines.lines().count(), 1, "{lines}");
}

#[tokio::test]
async fn a_new_process_that_does_not_serve_in_time_takes_nothing_over() {
    let limits = Limits { take_over: Duration::from_millis(50), ..Limits::default() };
    let ingress = Ingress::start_with(limits);
    let control = ingress.connect().await;
    let open = control.hello(vec![http(ANY)]).await.unwrap().status.listeners;
    control.set_table(to_echo(1).await).await.unwrap();
    let mut stream = UnixStream::connect(ingress.socket()).await.unwrap();
    let request = serde_json::to_string(&Request::HandOver).unwrap() + "\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let answer = soon(lines.next_line()).await.unwrap().unwrap();
    assert!(matches!(serde_json::from_str(&answer).unwrap(), Message::HandedOver { .. }), "{answer}");
    assert_eq!(soon(lines.next_line()).await.unwrap(), None, "the ingress closes the connection");
    assert_eq!(control.set_table(to_echo(2).await).await.unwrap(), 2);
    assert_eq!(get(open[0].address).await, 200);
}

#[tokio::test]
async fn malformed_lines_are_refused_and_the_next_request_is_answered() {
    let ingress = Ingress::start();
    ingress.connect().await;
    let status = serde_json::to_string(&Request::Status).unwrap();
    let answers = exchange_lines(&ingress.socket(), &["{\"type\":\"sing\"}", "{", "", &status]).await;
    for answer in &answers[..3] {
        assert!(matches!(answer, Message::Refused { .. }), "{answer:?}");
    }
    assert!(matches!(answers[3], Message::Status { .. }));
}

#[tokio::test]
async fn a_hello_with_another_protocol_version_gets_the_version_and_changes_nothing() {
    let ingress = Ingress::start();
    let control = ingress.connect().await;
    control.hello(vec![http(ANY)]).await.unwrap();
    let hello =
        Request::Hello { protocol: PROTOCOL_VERSION + 1, listeners: Vec::new(), proxies: TrustedProxies::default() };
    let answers = exchange_lines(&ingress.socket(), &[&serde_json::to_string(&hello).unwrap()]).await;
    let Message::Welcome { protocol, status, .. } = &answers[0] else { panic!("{answers:?}") };
    assert_eq!((*protocol, status.listeners.len()), (PROTOCOL_VERSION, 1));
}

#[tokio::test]
async fn only_the_owner_may_use_the_socket_and_its_directory() {
    use std::os::unix::fs::PermissionsExt;
    let ingress = Ingress::start();
    ingress.connect().await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&ingress.socket()), 0o600);
    assert_eq!(mode(ingress.socket().parent().unwrap()), 0o700);
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(100));
    let (_stop, running) = start(&deep);
    let error = soon(running).await.unwrap().unwrap_err();
    assert!(matches!(error, IngressError::SocketPath { .. }), "{error}");
}

#[tokio::test]
async fn an_error_to_connect_names_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let error = ControlClient::connect(&socket_path(folder.path())).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("control.sock"), "{error}");
}
