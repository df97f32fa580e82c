//! The engine dies while the controller is dead, and comes back. The ingress has only its old table and must not send
//! one app's requests to an instance of another app. Needs an engine that may be killed, which `make sweep` provides.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use boatyard_tests::http;
use boatyard_tests::installation::ENDS_WITHIN;
use tokio::time::{Instant, sleep};

use crate::support::*;

const APPS: [&str; 4] = ["red", "green", "blue", "grey"];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "kills the engine: make sweep, which starts a separate one"]
async fn no_request_reaches_another_app_after_the_engine_is_killed_while_the_controller_is_dead() {
    let engine = PathBuf::from(std::env::var("BOATYARD_PRIVATE_ENGINE").expect("run by scripts/private-engine"));
    let mut at = installation().await;
    for app in APPS {
        let spec =
            format!("name: {app}\nservices:\n- name: web\n  image: {TESTAPP}\n  envs: [{{key: NAME, value: {app}}}]\n");
        at.create(&spec).await.unwrap();
    }
    at.kill_serve();
    let (wrong, right) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let senders: Vec<_> =
        APPS.map(|app| tokio::spawn(send_requests(at.http(), app, wrong.clone(), right.clone()))).into();

    let pid = std::fs::read_to_string(engine.join("docker.pid")).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    assert!(Command::new(engine.join("start")).status().unwrap().success());
    let answered_again = Instant::now();
    for app in APPS {
        while !answers(at.http(), app).await {
            assert!(answered_again.elapsed() < ENDS_WITHIN, "{app} does not answer again without the controller");
            sleep(Duration::from_millis(50)).await;
        }
    }
    println!(
        "all apps answer {} ms after the engine does, the controller still dead",
        answered_again.elapsed().as_millis()
    );
    at.serve().await.unwrap();
    for app in APPS {
        let id = app_id(&at, app).await;
        let deployment = at.restart(&id, &[]).await.unwrap();
        at.wait_active(&id, &deployment).await.unwrap();
    }
    // With fewer requests the test would prove nothing.
    tokio::time::timeout(ENDS_WITHIN, async {
        while right.load(Ordering::Relaxed) < 100 {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await
    .unwrap();
    senders.iter().for_each(tokio::task::JoinHandle::abort);
    println!("{} right answers", right.load(Ordering::Relaxed));
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "answers of another app's instance");
}

async fn answers(target: std::net::SocketAddr, app: &str) -> bool {
    let page = http::page(target, &format!("{app}.localhost"), "/").await;
    page.is_ok_and(|(status, text)| status == 200 && text.contains(app))
}

/// Sends requests continuously. A failed request is the engine's fault; an answer of another app is Boatyard's.
async fn send_requests(target: std::net::SocketAddr, app: &str, wrong: Arc<AtomicU64>, right: Arc<AtomicU64>) {
    let host = format!("{app}.localhost");
    loop {
        if let Ok((200, text)) = http::page(target, &host, "/").await {
            let count = if text.contains(app) { &right } else { &wrong };
            count.fetch_add(1, Ordering::Relaxed);
        }
        sleep(Duration::from_millis(2)).await;
    }
}
