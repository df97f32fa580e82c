//! Workers that are cancelled, killed, orphaned, silent or not workers at all.

use std::path::{Path, PathBuf};
use std::time::Duration;

use boatyard_tests::git_server::{Manner, Server};
use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use source::{Context, FetchOptions, GitRef, Selection, SourceError};

use crate::fixture::{FILE, Fixture};
use crate::{Case, wait};

pub const CASES: &[Case] = &[
    ("dropping a stream kills its worker", dropping_kills),
    ("dropping a fetch kills its worker and leaves the mirror usable", dropping_a_fetch),
    ("a killed worker is an error and never the end of a tar", killed_is_an_error),
    ("a worker ends when its parent closes the pipe", orphans_end),
    ("a silent worker is killed", silent_is_ended),
    ("a program that is not a worker is an error", not_a_worker),
    ("a worker program that does not exist is an error", no_program),
    ("a worker without a valid request exits with code 2", no_request),
    ("a worker has an empty environment and resource limits", confined),
    ("a worker has no capabilities, gains no privileges, and its system calls are filtered", without_privileges),
];

/// A fixture whose context is much larger than the pipe buffer, and whose worker writes its process id to a file.
fn large() -> (Fixture, PathBuf) {
    let mut fixture = Fixture::new();
    let noise = "0123456789abcdef".repeat(64 * 1024);
    let names: Vec<String> = (0..8).map(|n| format!("file{n}")).collect();
    let files: Vec<_> = names.iter().map(|name| (name.as_str(), FILE, noise.as_str())).collect();
    fixture.commit(&[&files[..], &[("Dockerfile", FILE, "")]].concat());
    let pid_file = with_pid(&mut fixture);
    (fixture, pid_file)
}

fn with_pid(fixture: &mut Fixture) -> PathBuf {
    let pid_file = fixture.dir.path().join("pid");
    fixture.settings.worker_args = vec!["source-worker-with-pid".into(), pid_file.to_str().unwrap().into()];
    pid_file
}

async fn open(fixture: &Fixture) -> Context {
    let selection = Selection::parse(None, None).unwrap();
    fixture.source().context(&fixture.url(), &fixture.head(), &selection, |_| {}).await.unwrap()
}

/// The worker's process id, once it is written.
async fn pid(file: &Path) -> Pid {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if let Some(pid) = text.parse().ok().and_then(Pid::from_raw) {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns when the process no longer exists; [`wait`] limits the time.
async fn gone(pid: Pid) {
    while rustix::process::test_kill_process(pid).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn dropping_kills() {
    let (fixture, pid_file) = large();
    wait(async {
        let mut context = open(&fixture).await;
        context.stream.next().await.unwrap().unwrap();
        let pid = pid(&pid_file).await;
        assert!(rustix::process::test_kill_process(pid).is_ok());
        drop(context);
        gone(pid).await;
    });
}

fn dropping_a_fetch() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "")]);
    let plain_args = fixture.settings.worker_args.clone();
    let pid_file = with_pid(&mut fixture);
    let hanging = Server::start(Manner::Hang);
    let url = fixture.source().repo_url(&hanging.url).unwrap();
    wait(async {
        let source = fixture.source();
        let fetch = source.fetch(&url, &GitRef::DefaultBranch, FetchOptions::default(), |_| {});
        let started = tokio::select! {
            outcome = fetch => panic!("the server hangs: {outcome:?}"),
            pid = pid(&pid_file) => pid,
        };
        gone(started).await;
    });
    fixture.settings.worker_args = plain_args;
    let serving = Server::start(Manner::Serve(fixture.path()));
    let url = fixture.source().repo_url(&serving.url).unwrap();
    wait(fixture.source().fetch(&url, &GitRef::DefaultBranch, FetchOptions::default(), |_| {})).unwrap();
}

fn killed_is_an_error() {
    let (fixture, pid_file) = large();
    wait(async {
        let mut context = open(&fixture).await;
        context.stream.next().await.unwrap().unwrap();
        kill_process(pid(&pid_file).await, Signal::KILL).unwrap();
        let mut last = None;
        while let Some(item) = context.stream.next().await {
            assert!(last.is_none_or(|last: Result<_, _>| last.is_ok()), "nothing follows an error");
            last = Some(item);
        }
        let error = last.unwrap().unwrap_err();
        // The output may end before the process does, and on a busy machine later than the parent waits for the exit.
        let is_expected = |how: &str| matches!(how, "signal 9" | "it closed its output");
        assert!(matches!(&error, SourceError::WorkerDied { how, .. } if is_expected(how)), "{error}");
    });
}

fn orphans_end() {
    // A worker waits for a server, and its pipe closes, but nothing kills it.
    let fixture = Fixture::new();
    let hanging = Server::start(Manner::Hang);
    let mut child = std::process::Command::new(&fixture.settings.worker)
        .arg("source-worker")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let request = request(&fixture, &hanging.url);
    std::io::Write::write_all(&mut stdin, request.as_bytes()).unwrap();
    while hanging.requests().is_empty() {
        assert_eq!(child.try_wait().unwrap(), None, "the worker ended before it contacted the server");
        std::thread::yield_now();
    }
    drop(stdin);
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
}

/// A fetch request as the parent writes it.
fn request(fixture: &Fixture, url: &str) -> String {
    let limits = serde_json::to_string(&fixture.settings.limits).unwrap();
    let allow_from = serde_json::to_string(&fixture.settings.allow_from).unwrap();
    let mirrors = fixture.settings.mirrors.display();
    format!(
        "{{\"repo\":\"{url}\",\"rules\":{{\"allow_http\":true,\"local_sources\":[],\"allow_from\":{allow_from}}},\
         \"mirrors\":\"{mirrors}\",\
         \"limits\":{limits},\"action\":{{\"Fetch\":{{\"git_ref\":\"DefaultBranch\",\"credentials\":null,\"known_hosts\":[]}}}}}}\n"
    )
}

fn silent_is_ended() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "")]);
    fixture.settings.worker_args = vec!["source-worker-silent".into()];
    fixture.settings.limits.stall = Duration::from_millis(200);
    let error = wait(fixture.source().fetch(&fixture.url(), &GitRef::DefaultBranch, FetchOptions::default(), |_| {}));
    assert!(matches!(error, Err(SourceError::Stalled { .. })), "{error:?}");
}

fn not_a_worker() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "")]);
    fixture.settings.worker_args = vec!["source-worker-babbling".into()];
    let error = wait(fixture.source().fetch(&fixture.url(), &GitRef::DefaultBranch, FetchOptions::default(), |_| {}));
    assert!(matches!(error, Err(SourceError::Worker { .. })), "{error:?}");
}

fn no_program() {
    let mut fixture = Fixture::with_files(&[("Dockerfile", "")]);
    fixture.settings.worker = fixture.dir.path().join("missing");
    let error = wait(fixture.source().fetch(&fixture.url(), &GitRef::DefaultBranch, FetchOptions::default(), |_| {}));
    assert!(error.unwrap_err().to_string().contains("cannot start"));
}

fn no_request() {
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .arg("source-worker")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
}

fn confined() {
    let (fixture, pid_file) = large();
    wait(async {
        let context = open(&fixture).await;
        let of = format!("/proc/{}", pid(&pid_file).await.as_raw_nonzero());
        let read = |name: &str| std::fs::read_to_string(format!("{of}/{name}")).unwrap();
        assert_eq!(read("environ"), "");
        let limits = read("limits");
        let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(limit("Max address space").contains(&fixture.settings.limits.memory_bytes.to_string()), "{limits}");
        assert!(limit("Max file size").contains(&fixture.settings.limits.fetch_bytes.to_string()), "{limits}");
        assert!(limit("Max open files").contains("512"), "{limits}");
        let mut core = limit("Max core file size").split_whitespace().skip(4).map(str::to_owned).collect::<Vec<_>>();
        core.truncate(2);
        assert_eq!(core, ["0", "0"], "{limits}");
        drop(context);
    });
}

fn without_privileges() {
    let (fixture, pid_file) = large();
    wait(async {
        let mut context = open(&fixture).await;
        context.stream.next().await.unwrap().unwrap();
        let pid = pid(&pid_file).await;
        // Check every thread: a privilege of one of them is available to all.
        for thread in std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())).unwrap().flatten() {
            let status = std::fs::read_to_string(thread.path().join("status")).unwrap();
            let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
                assert_eq!(u64::from_str_radix(&value(set), 16), Ok(0), "{set}");
            }
            assert_eq!((value("NoNewPrivs:"), value("Seccomp:")), ("1".to_owned(), "2".to_owned()));
        }
    });
}
