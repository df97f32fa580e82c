//! Upgrade in place: under load, the previous version is killed and this version takes over its data directory and running
//! apps. No container changes, no request fails, and restarts, deployments and deletion work afterwards.

use std::net::SocketAddr;
use std::path::PathBuf;

use boatyard_tests::engine;
use boatyard_tests::http;
use boatyard_tests::installation::{Container, ENDS_WITHIN, Installation};
use bollard::errors::Error::DockerContainerWaitError;
use bollard::query_parameters::WaitContainerOptions;
use futures::TryStreamExt;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::support::*;

/// The services of [`shop`], a worker that needs 3 s after TERM to finish its work, a job and a database.
fn spec() -> String {
    let services = shop().split("workers:").next().unwrap().to_owned();
    format!(
        r#"{services}
workers:
- name: mill
  image: {{registry_type: DOCKER_HUB, registry: boatyard-local, repository: python, tag: '3'}}
  run_command: |-
    python3 -c "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(3), sys.exit(42))); signal.pause()"
  termination: {{grace_period_seconds: 120}}
jobs:
- name: migrate
  kind: PRE_DEPLOY
  image: {TESTAPP}
  run_command: /bin/testapp job
databases: [{{name: db, engine: PG}}]
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the previous version: make upgrade"]
async fn this_version_takes_over_the_running_apps_of_the_previous_one_and_no_request_fails() {
    let previous = PathBuf::from(std::env::var("BOATYARD_PREVIOUS").expect("run by make upgrade"));
    let mut at = Installation::start(&previous).await.unwrap();
    at.create(&spec()).await.unwrap();
    let app = app_id(&at, "shop").await;
    // Leaves instances of two restart generations.
    let deployment = at.restart(&app, &["web"]).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();

    let load = steady_traffic(&at, 16, 100.0);
    let mut tunnel = Tunnel::open(at.http()).await;
    let target = at.http();
    let stream = tokio::spawn(async move { http::page(target, "shop.localhost", "/stream?seconds=40").await });
    some_traffic(&load).await;
    let before = at.containers(&app).await.unwrap();
    let ingress = at.ingress_pid().unwrap();

    at.kill_serve();
    at.program = PROGRAM.into();
    at.serve().await.unwrap();
    // 30 s of traffic at least, so that every periodic task has run several times.
    load.reach(load.snapshot().sent + 3_000, ENDS_WITHIN).await.unwrap();
    assert_eq!(at.containers(&app).await.unwrap(), before, "an upgrade changes no container\n{}", at.log());
    tunnel.echoes("after the upgrade").await;
    let (status, text) = stream.await.unwrap().unwrap();
    assert_eq!(
        (status, text.lines().last()),
        (200, Some("end")),
        "a request that was open during the upgrade gets its whole answer"
    );
    println!("the ingress of the previous version still runs: {}", at.ingress_pid().unwrap() == ingress);

    // This version replaces the instances of the previous one in order: drain, TERM, whole grace period.
    let mill = at.container_ids(&app, "mill").await.unwrap().remove(0);
    let ended = tokio::spawn(exit_code(mill));
    let deployment = at.restart(&app, &[]).await.unwrap();
    let restarted = at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(failed_in_record(&restarted), 0, "{restarted:#}");
    assert_eq!(ended.await.unwrap(), 42, "the worker got TERM and the time to finish its work");
    let after = at.containers(&app).await.unwrap();
    for container in &before {
        let kept = after.contains(container);
        assert_eq!(kept, container.component == "db", "{container:?} {after:?}");
    }

    // Neither a deployment nor a new instance count replaces the database.
    let deployment = at.deploy(&app, json!({"force_build": true})).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    let mut spec = at.ok("GET", &format!("/v2/apps/{app}"), None).await.unwrap()["app"]["spec"].take();
    spec["services"][0]["instance_count"] = json!(3);
    let deployment = at.update(&app, spec).await.unwrap();
    at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(at.container_ids(&app, "web").await.unwrap().len(), 3);
    let database = |all: &[Container]| all.iter().find(|it| it.component == "db").cloned();
    assert_eq!(database(&at.containers(&app).await.unwrap()), database(&before));

    let report = load.stop().await;
    println!("upgraded, restarted, deployed and scaled: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
    at.check_explained(&[&app]).await.unwrap();
    at.delete(&app).await.unwrap();
    at.uninstall().await.unwrap();
}

/// What happens with every later upgrade: the program file is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_program_file_takes_over_the_ingress_and_no_request_fails() {
    let mut at = Installation::start(PROGRAM).await.unwrap();
    at.create(&shop()).await.unwrap();
    let app = app_id(&at, "shop").await;
    let load = steady_traffic(&at, 16, 100.0);
    let mut tunnel = Tunnel::open(at.http()).await;
    let target = at.http();
    let stream = tokio::spawn(async move { http::page(target, "shop.localhost", "/stream?seconds=20").await });
    some_traffic(&load).await;
    let old = at.ingress_pid().unwrap();

    at.kill_serve();
    let folder = tempfile::tempdir().unwrap();
    at.program = folder.path().join("boatyard");
    std::fs::copy(PROGRAM, &at.program).unwrap();
    at.serve().await.unwrap();
    assert!(at.log().contains("a new ingress process took over"), "{}", at.log());
    some_traffic(&load).await;
    tunnel.echoes("through the old process").await;
    assert_eq!(
        stream.await.unwrap().unwrap().0,
        200,
        "a request that was open in the old process gets its whole answer"
    );

    // The tunnel keeps the old process alive. A restart ends it by replacing the instance, after its drain.
    let deployment = at.restart(&app, &["web"]).await.unwrap();
    drop(tunnel);
    let restarted = at.wait_active(&app, &deployment).await.unwrap();
    assert_eq!(failed_in_record(&restarted), 0, "{restarted:#}");
    let deadline = std::time::Instant::now() + ENDS_WITHIN;
    while std::path::Path::new(&format!("/proc/{old}")).exists() {
        assert!(std::time::Instant::now() < deadline, "the old process does not end");
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let new = at.ingress_pid().unwrap();
    assert_ne!(new, old);

    // The same program file: nothing is replaced.
    at.kill_serve();
    at.serve().await.unwrap();
    some_traffic(&load).await;
    assert_eq!(at.ingress_pid().unwrap(), new);
    let report = load.stop().await;
    println!("replaced the ingress and restarted: {report}");
    assert_eq!(report.failed_count, 0, "{report}");
    at.program = PROGRAM.into();
    at.uninstall().await.unwrap();
}

/// Waits for a container's end; returns its exit code.
async fn exit_code(container: String) -> i64 {
    let docker = engine::connect().unwrap();
    let ended: Result<Vec<_>, _> = docker.wait_container(&container, None::<WaitContainerOptions>).try_collect().await;
    match ended {
        Ok(all) => all[0].status_code,
        Err(DockerContainerWaitError { code, .. }) => code,
        Err(error) => panic!("{error}"),
    }
}

/// An upgraded connection, as a websocket would be, on which the app echoes every byte.
struct Tunnel(BufReader<TcpStream>);

impl Tunnel {
    async fn open(target: SocketAddr) -> Self {
        let mut stream = BufReader::new(TcpStream::connect(target).await.unwrap());
        let ask = "GET /upgrade HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(ask.as_bytes()).await.unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.starts_with("HTTP/1.1 101 "), "{line}");
        while line != "\r\n" {
            line.clear();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0);
        }
        Self(stream)
    }

    async fn echoes(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        let mut back = vec![0; text.len()];
        tokio::time::timeout(ENDS_WITHIN, self.0.read_exact(&mut back)).await.expect("it is open").unwrap();
        assert_eq!(back, text.as_bytes());
    }
}
