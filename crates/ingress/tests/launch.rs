//! The real process: started if none answers, found if one does, and alive after its parent has ended.
//!
//! Without the usual test harness, because the test starts this same program as the ingress: `launch ingress DIR`.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use ingress::{ControlClient, IngressOptions, LaunchError, ensure_running, socket_path};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|it| it == "ingress") {
        ingress::confine(args[1].as_ref()).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(args));
}

async fn run(args: Vec<String>) {
    match args.first().map(String::as_str) {
        Some("ingress") => {
            let result = ingress::run(IngressOptions { data_dir: (&args[1]).into() }).await;
            if let Err(error) = result {
                eprintln!("{error}");
                std::process::exit(1);
            }
        }
        Some("fails") => {
            eprintln!("it cannot work");
            std::process::exit(7);
        }
        // `cargo test` may list tests or filter them by a name. There is one test, and it is not ignored.
        Some("--list") if args.iter().any(|arg| arg == "--ignored") => {}
        Some("--list") => println!("launch: test"),
        _ => tokio::time::timeout(Duration::from_secs(300), launch()).await.unwrap(),
    }
}

async fn launch() {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, log) = (folder.path(), folder.path().join("ingress.log"));
    let program = std::env::current_exe().unwrap();
    let args = ["ingress".as_ref(), data_dir.as_os_str()];

    let first = ensure_running(&program, &args, data_dir, &log).await.unwrap();
    first.hello(Vec::new()).await.unwrap();
    let status = first.status().await.unwrap();
    assert_ne!(status.pid, std::process::id());
    it_inherits_only_its_log(status.pid, &log);

    // The running process is found. Two starts at once agree on one process.
    let (second, third) =
        tokio::join!(ensure_running(&program, &args, data_dir, &log), ensure_running(&program, &args, data_dir, &log));
    for other in [second.unwrap(), third.unwrap()] {
        assert_eq!(other.status().await.unwrap().pid, status.pid);
    }

    // SIGHUP is ignored, SIGTERM ends the process in order, and no zombie remains.
    let pid = rustix::process::Pid::from_raw(status.pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    assert_eq!(first.status().await.unwrap().boot_id, status.boot_id);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    while Path::new(&format!("/proc/{}", status.pid)).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!socket_path(data_dir).exists());

    // After a kill the socket is left behind, and the next process replaces it.
    let again = ensure_running(&program, &args, data_dir, &log).await.unwrap();
    let killed = again.status().await.unwrap().pid;
    let pid = rustix::process::Pid::from_raw(killed.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    while ControlClient::connect(&socket_path(data_dir)).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(socket_path(data_dir).exists());
    let last = ensure_running(&program, &args, data_dir, &log).await.unwrap();
    last.hello(Vec::new()).await.unwrap();
    last.shutdown(Duration::ZERO).await.unwrap();

    a_failed_start_is_reported_with_its_log(&program).await;
    println!("launch: ok");
}

fn it_inherits_only_its_log(pid: u32, log: &Path) {
    let read = |what: &str| std::fs::read(format!("/proc/{pid}/{what}")).unwrap();
    let environment = String::from_utf8_lossy(&read("environ")).into_owned();
    assert!(environment.split('\0').all(|entry| entry.is_empty() || entry.starts_with("RUST_LOG=")), "{environment}");
    let descriptor = |number: u32| std::fs::read_link(format!("/proc/{pid}/fd/{number}")).unwrap();
    assert_eq!(descriptor(0), Path::new("/dev/null"));
    assert_eq!((descriptor(1), descriptor(2)), (log.to_owned(), log.to_owned()));
    // Fields after the command's name: state, parent, group, session.
    let stat = String::from_utf8_lossy(&read("stat")).into_owned();
    let session = stat.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert_eq!(session, pid.to_string(), "it leads a session");
    // Checks every thread, including those that were started later.
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| status.lines().find_map(|it| it.strip_prefix(name)).unwrap().trim().to_owned();
        let effective = u64::from_str_radix(&field("CapEff:"), 16).unwrap();
        assert!(effective & !(1 << 10) == 0, "only the capability to bind low ports: {status}");
        assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()));
    }
}

async fn a_failed_start_is_reported_with_its_log(program: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("ingress.log");
    let error = ensure_running(program, &["fails"], folder.path(), &log).await.unwrap_err();
    assert!(matches!(error, LaunchError::Ended { .. }) && error.to_string().contains("ingress.log"), "{error}");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "it cannot work\n");
    let missing = ensure_running(&folder.path().join("none"), &["x"], folder.path(), &log).await.unwrap_err();
    assert!(matches!(missing, LaunchError::Spawn { .. }), "{missing}");
}
