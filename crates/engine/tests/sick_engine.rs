//! Engines that hang, drop connections or answer with errors. A small server simulates them, because a healthy engine
//! does none of this.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::identity::Kind;
use engine::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

enum Answer {
    Say(u16, String),
    /// Closes the connection without an answer.
    BreakOff,
    /// Reads the request and never answers.
    Hang,
}

/// Chooses the answer to a request line.
type Answers = dyn Fn(&str) -> Answer + Send + Sync;

struct Sick {
    _folder: tempfile::TempDir,
    engine: DockerEngine,
}

fn installation() -> Installation {
    Installation { id: "sick".into(), key: [3; 32] }
}

fn identity() -> Identity {
    Identity {
        role: Role::Instance,
        app: "a".into(),
        component: "web".into(),
        slot: 0,
        revision: "r".into(),
        generation: 0,
        deployment: "d".into(),
    }
}

/// An engine with these answers, which takes one request per connection.
fn engine_that(answers: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Sick {
    let folder = tempfile::tempdir().unwrap();
    let socket: PathBuf = folder.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answers: Arc<Answers> = Arc::new(answers);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answers.clone()));
        }
    });
    Sick { engine: DockerEngine::connect(&socket, installation()).unwrap(), _folder: folder }
}

async fn serve(mut stream: tokio::net::UnixStream, answers: Arc<Answers>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    match answers(request.lines().next().unwrap_or_default()) {
        Answer::Say(status, body) => {
            let head = format!("HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nConnection: close\r\n");
            let _ = stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes()).await;
        }
        Answer::BreakOff => {}
        Answer::Hang => std::future::pending().await,
    }
}

/// A list with one container of this installation in this state.
fn listed(name: &str, state: &str) -> Answer {
    Answer::Say(200, listed_json(name, state).to_string())
}

fn listed_json(name: &str, state: &str) -> serde_json::Value {
    let labels = installation().labels(Kind::Container, name, &identity());
    serde_json::json!([{ "Id": "c1", "Names": [format!("/{name}")], "Image": "x", "ImageID": "sha256:1",
        "Labels": labels, "State": state, "Status": "Up 3 seconds", "NetworkSettings": { "Networks": {} } }])
}

fn message(status: u16, text: &str) -> Answer {
    Answer::Say(status, serde_json::json!({ "message": text }).to_string())
}

#[tokio::test(start_paused = true)]
async fn each_verb_fails_at_its_deadline_if_the_engine_never_answers() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("engine.sock");
    // The socket accepts connections and never answers, as a frozen engine does.
    let _listener = UnixListener::bind(&socket).unwrap();
    let engine = DockerEngine::connect(&socket, installation()).unwrap();
    let begun = tokio::time::Instant::now();
    let error = engine.list().await.unwrap_err();
    assert!(matches!(error, EngineError::Timeout { verb: "list", .. }) && error.is_transient(), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(16));
    let error = engine.info().await.unwrap_err();
    assert!(matches!(error, EngineError::Timeout { .. }), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(47));
    assert!(matches!(engine.events().await.err(), Some(EngineError::Timeout { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_hangs_fails_thirty_seconds_after_its_grace() {
    let sick = engine_that(|request| match request.contains("/stop") {
        true => Answer::Hang,
        false => listed("web", "running"),
    });
    let begun = tokio::time::Instant::now();
    let error = sick.engine.stop("web", Duration::from_secs(7)).await.unwrap_err();
    assert!(matches!(error, EngineError::Timeout { verb: "stop", .. }), "{error:?}");
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(37) && took < Duration::from_secs(38), "{took:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_reported_as_an_unreachable_engine() {
    let sick = engine_that(|_| Answer::BreakOff);
    let error = sick.engine.list().await.unwrap_err();
    assert!(matches!(error, EngineError::Unreachable { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_update_waits_until_the_engine_has_processed_the_exit_of_the_container() {
    let gone = "Cannot update container c1: cannot update a stopped container: unknown";
    let inspected = || {
        let labels = installation().labels(Kind::Container, "web", &identity());
        serde_json::json!({ "Id": "c1", "Name": "/web", "Image": "sha256:1", "State": { "Status": "running" },
            "HostConfig": { "RestartPolicy": { "Name": "always" } }, "Config": { "Image": "x", "Labels": labels } })
    };
    let answers = move |refusals: usize| {
        let updates = std::sync::atomic::AtomicUsize::new(0);
        engine_that(move |request| {
            if request.contains("/update") {
                let earlier = updates.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                return if earlier < refusals { message(500, gone) } else { Answer::Say(200, "{}".into()) };
            }
            let is_inspect = request.contains("/web/json");
            if is_inspect { Answer::Say(200, inspected().to_string()) } else { listed("web", "running") }
        })
    };
    assert_eq!(answers(3).engine.set_restart_policy("web", RestartPolicy::No).await.unwrap(), Changed::Done);
    let error = answers(usize::MAX).engine.set_restart_policy("web", RestartPolicy::No).await.unwrap_err();
    assert!(error.to_string().contains("cannot update a stopped container"), "{error}");
}

#[tokio::test]
async fn remove_waits_for_a_removal_by_another_client() {
    let lists = std::sync::atomic::AtomicUsize::new(0);
    let sick = engine_that(move |request| {
        if request.starts_with("DELETE") {
            return message(409, "removal of container c1 is already in progress");
        }
        let before = lists.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if before < 3 { listed("web", "removing") } else { Answer::Say(200, "[]".into()) }
    });
    assert_eq!(sick.engine.remove("web").await.unwrap(), Changed::AlreadySo);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_never_ends_is_reported_as_a_conflict_at_its_deadline() {
    let sick = engine_that(|request| match request.starts_with("DELETE") {
        true => message(409, "removal of container c1 is already in progress"),
        false => listed("web", "removing"),
    });
    let error = sick.engine.remove("web").await.unwrap_err();
    assert!(matches!(error, EngineError::Conflict { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_full_disk_is_named_for_every_verb() {
    let sick = engine_that(|request| match request.contains("/start") {
        true => message(500, "mkdir /var/lib/docker/overlay2/7/merged: no space left on device"),
        false => listed("web", "created"),
    });
    let error = sick.engine.start("web").await.unwrap_err();
    assert!(matches!(error, EngineError::DiskFull { .. }) && !error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn one_container_with_invalid_labels_does_not_hide_the_others() {
    let sick = engine_that(|_| {
        let mut list = listed_json("web", "running");
        list.as_array_mut().unwrap().push(serde_json::json!({ "Id": "c2", "Names": ["/odd"], "State": "running",
            "Labels": { "io.boatyard.installation": "sick", "io.boatyard.slot": "many" } }));
        Answer::Say(200, list.to_string())
    });
    let list = sick.engine.list().await.unwrap();
    assert_eq!(list.iter().map(|container| container.name.as_str()).collect::<Vec<_>>(), ["web"]);
}

#[tokio::test]
async fn an_engine_without_cgroups_measures_no_container() {
    for (driver, is_measured) in [("systemd", true), ("cgroupfs", true), ("none", false)] {
        let sick = engine_that(move |request| match () {
            // Without cgroups, the engine answers with what the whole host uses.
            () if request.contains("/stats") => {
                let cpu = serde_json::json!({ "cpu_usage": { "total_usage": 1_000_000 } });
                Answer::Say(200, serde_json::json!({ "cpu_stats": cpu, "memory_stats": { "usage": 1 } }).to_string())
            }
            () if request.contains("/info") => {
                Answer::Say(200, serde_json::json!({ "CgroupDriver": driver }).to_string())
            }
            () => listed("web", "running"),
        });
        let container = sick.engine.list().await.unwrap().remove(0);
        let usage = sick.engine.usage(&container).await.unwrap();
        assert_eq!(usage.is_some(), is_measured, "{driver}");
    }
}
