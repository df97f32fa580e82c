//! The real process: started if none answers, found if one does, and alive after its parent has ended.
//!
//! Without the usual test harness, because the test starts this same program as the ingress: `launch ingress DIR`.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use ingress::launch::replace_running;
use ingress::{
    AppPolicy, AppRoutes, ControlClient, IngressEvent, IngressOptions, Inherited, LaunchError, Listener, ListenerKind,
    Open, PathMatch, Rewrite, RouteTable, Rule, Target, Upstream, ensure_running, socket_path,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut inherited = None;
    if args.first().is_some_and(|it| it == "ingress") {
        if args.len() > 2 {
            inherited = ingress::take_over(args[1].as_ref()).unwrap();
        }
        if args.last().is_some_and(|it| it == "--replace-later") {
            println!("ready");
            // Until the pipe is closed.
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        }
        ingress::confine(args[1].as_ref()).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run(args, inherited));
}

async fn run(args: Vec<String>, inherited: Option<Inherited>) {
    match args.first().map(String::as_str) {
        Some("ingress") => {
            let result = ingress::run(IngressOptions { data_dir: (&args[1]).into(), inherited }).await;
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
    a_new_process_takes_over(&program).await;
    either_process_may_be_killed_while_one_takes_over(&program).await;
    either_process_may_be_killed_before_the_old_one_has_retired(&program).await;
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

/// Requests for `/slow` that an application has got.
static SLOW: AtomicUsize = AtomicUsize::new(0);

/// An application that answers every request, and `/slow` only after a permit.
async fn application(slow: Arc<Semaphore>) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = socket.accept().await.unwrap();
            let slow = Arc::clone(&slow);
            tokio::spawn(async move {
                while let Some(head) = read_head(&mut stream).await {
                    if head.starts_with("GET /slow") {
                        SLOW.fetch_add(1, SeqCst);
                        slow.acquire().await.unwrap().forget();
                    }
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// One request. `None`: there was no whole answer. The second value: whether the connection stays open.
async fn ask(stream: &mut TcpStream, path: &str) -> Option<bool> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes()).await.ok()?;
    let head = read_head(stream).await?;
    stream.read_exact(&mut [0; 2]).await.ok()?;
    head.starts_with("HTTP/1.1 200 ").then(|| !head.contains("connection: close"))
}

/// Counts of requests that clients send without an end: with a new connection for each, and on kept connections.
#[derive(Default)]
struct Load {
    sent: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    fn start(address: SocketAddr) -> (Arc<Self>, Vec<tokio::task::JoinHandle<()>>) {
        let load = Arc::new(Load::default());
        let client = |keep: bool| tokio::spawn(Arc::clone(&load).client(address, keep));
        let clients = [false, false, true, true].map(client).into();
        (load, clients)
    }

    async fn client(self: Arc<Self>, address: SocketAddr, keep: bool) {
        let mut kept: Option<TcpStream> = None;
        while !self.stop.load(SeqCst) {
            let connection = match kept.take() {
                Some(connection) => Ok(connection),
                None => TcpStream::connect(address).await,
            };
            let answered = match connection {
                Ok(mut connection) => {
                    let answered = ask(&mut connection, "/").await;
                    kept = (keep && answered == Some(true)).then_some(connection);
                    answered
                }
                Err(_) => None,
            };
            self.sent.fetch_add(1, SeqCst);
            self.failed.fetch_add(usize::from(answered.is_none()), SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Stops the clients. None of their requests may have failed.
    async fn end(&self, clients: Vec<tokio::task::JoinHandle<()>>) {
        self.stop.store(true, SeqCst);
        for client in clients {
            client.await.unwrap();
        }
        let (sent, failed) = (self.sent.load(SeqCst), self.failed.load(SeqCst));
        println!("launch: {sent} requests, {failed} failed");
        assert_eq!(failed, 0);
    }

    async fn more(&self, requests: usize) {
        let until = self.sent.load(SeqCst) + requests;
        while self.sent.load(SeqCst) < until {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

fn route(version: u64, upstream: &str, app: SocketAddr) -> RouteTable {
    let upstreams = vec![Upstream { id: upstream.to_owned(), address: app.into() }];
    let rule = Rule {
        authority: None,
        path: PathMatch::Prefix("/".to_owned()),
        rewrite: Rewrite::Keep,
        component: "web".to_owned(),
        cors: None,
        target: Target::Instances { upstreams },
    };
    let app = AppRoutes {
        app: "shop".to_owned(),
        hosts: vec!["shop".to_owned()],
        window: "d1".to_owned(),
        rules: vec![rule],
        policy: AppPolicy::default(),
        internal: None,
    };
    RouteTable { version, apps: vec![app], ..RouteTable::default() }
}

/// A new process takes over under load: no request fails, the old process finishes its open request, and the new one
/// counts it as open.
async fn a_new_process_takes_over(program: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, log) = (folder.path(), folder.path().join("ingress.log"));
    let args = ["ingress".as_ref(), data_dir.as_os_str()];
    let replacing = ["ingress".as_ref(), data_dir.as_os_str(), "--replace".as_ref()];
    let slow = Arc::new(Semaphore::new(0));
    let app = application(Arc::clone(&slow)).await;

    let mut control = ensure_running(program, &args, data_dir, &log).await.unwrap();
    let any = Listener { address: ([127, 0, 0, 1], 0).into(), kind: ListenerKind::Http };
    let address = control.hello(vec![any.clone()]).await.unwrap().status.listeners[0].address;
    control.set_table(route(1, "web.0", app)).await.unwrap();
    let (load, clients) = Load::start(address);
    load.more(50).await;
    for round in 1..=3 {
        let (old, next) = (format!("web.{}", round - 1), format!("web.{round}"));
        let before = control.status().await.unwrap();
        let mut slow_client = TcpStream::connect(address).await.unwrap();
        let open = tokio::spawn(async move { ask(&mut slow_client, "/slow").await });
        while SLOW.load(SeqCst) < round {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let new = replace_running(program, &replacing, data_dir, &log).await.unwrap();
        let welcome = new.hello(vec![any.clone()]).await.unwrap();
        assert_ne!(welcome.status.boot_id, before.boot_id);
        assert_eq!(
            (welcome.status.listeners, welcome.table.version, welcome.refused.len()),
            (before.listeners, round as u64, 0)
        );
        load.more(200).await;

        // The instance is replaced. What is open in the old process keeps it from looking drained.
        let mut events = new.events();
        new.set_table(route(round as u64 + 1, &next, app)).await.unwrap();
        load.more(50).await;
        let still_open = new.status().await.unwrap().open;
        assert_eq!(still_open[&old].requests, 1, "{still_open:?}");
        assert!(!open.is_finished());
        slow.add_permits(1);
        assert!(open.await.unwrap().is_some(), "the old process finishes its open request");
        let drained = IngressEvent::Draining { upstream: old, open: Open::default() };
        while events.recv().await.unwrap() != drained {}
        while Path::new(&format!("/proc/{}", before.pid)).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        control = new;
    }
    load.end(clients).await;
    control.shutdown(Duration::ZERO).await.unwrap();
}

/// Whichever of the two processes is killed while the new one takes over, the other one serves.
async fn either_process_may_be_killed_while_one_takes_over(program: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, log) = (folder.path(), folder.path().join("ingress.log"));
    // The ingress binds its socket again only in an installation.
    for file in ["installation", "key", "boatyard.db"] {
        std::fs::write(data_dir.join(file), "").unwrap();
    }
    let args = ["ingress".as_ref(), data_dir.as_os_str()];
    let app = application(Arc::new(Semaphore::new(0))).await;
    let control = ensure_running(program, &args, data_dir, &log).await.unwrap();
    let any = Listener { address: ([127, 0, 0, 1], 0).into(), kind: ListenerKind::Http };
    let status = control.hello(vec![any.clone()]).await.unwrap().status;
    control.set_table(route(1, "web.0", app)).await.unwrap();
    let (load, clients) = Load::start(status.listeners[0].address);
    load.more(20).await;

    let (mut new, _) = paused_successor(program, data_dir).await;
    let refused = control.set_table(route(2, "web.0", app)).await.unwrap_err();
    assert!(refused.to_string().contains("taking over"), "{refused}");
    new.kill().await.unwrap();
    while control.set_table(route(2, "web.0", app)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    load.more(100).await;
    load.end(clients).await;

    // Connections that arrive after the old process was killed wait for the new one.
    let (mut new, go) = paused_successor(program, data_dir).await;
    kill(status.pid);
    let (load, clients) = Load::start(status.listeners[0].address);
    drop(go);
    load.more(100).await;
    load.end(clients).await;
    let again = ensure_running(program, &args, data_dir, &log).await.unwrap();
    let welcome = again.hello(vec![any]).await.unwrap();
    assert_eq!((welcome.status.pid, welcome.table.version), (new.id().unwrap(), 2));
    again.shutdown(Duration::ZERO).await.unwrap();
    new.wait().await.unwrap();
}

/// The new process has asked the old one to retire, which has not answered yet.
async fn either_process_may_be_killed_before_the_old_one_has_retired(program: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let (data_dir, log) = (folder.path(), folder.path().join("ingress.log"));
    let args = ["ingress".as_ref(), data_dir.as_os_str()];
    let app = application(Arc::new(Semaphore::new(0))).await;
    let control = ensure_running(program, &args, data_dir, &log).await.unwrap();
    let any = Listener { address: ([127, 0, 0, 1], 0).into(), kind: ListenerKind::Http };
    let first = control.hello(vec![any.clone()]).await.unwrap().status;
    control.set_table(route(1, "web.0", app)).await.unwrap();

    // The old one is killed. The new one serves with the same socket.
    let (mut second, go) = paused_successor(program, data_dir).await;
    drop(go);
    until_retiring(first.pid, data_dir).await;
    kill(first.pid);
    let (load, clients) = Load::start(first.listeners[0].address);
    load.more(100).await;
    load.end(clients).await;
    let again = ensure_running(program, &args, data_dir, &log).await.unwrap();
    let status = again.hello(vec![any]).await.unwrap().status;
    assert_eq!((status.pid, status.version), (second.id().unwrap(), 1));

    // The new one is killed. The old one ends in order, and the next process serves what was saved.
    let (mut third, go) = paused_successor(program, data_dir).await;
    drop(go);
    until_retiring(status.pid, data_dir).await;
    third.kill().await.unwrap();
    assert!(second.wait().await.unwrap().success());
    let last = ensure_running(program, &args, data_dir, &log).await.unwrap();
    let status = last.status().await.unwrap();
    assert_eq!(status.version, 1);
    let (load, clients) = Load::start(status.listeners[0].address);
    load.more(100).await;
    load.end(clients).await;
    last.hello(Vec::new()).await.unwrap();
    last.shutdown(Duration::ZERO).await.unwrap();
}

/// Waits until a process was asked to retire: it gives up the lock. It answers two seconds later.
async fn until_retiring(pid: u32, data_dir: &Path) {
    let lock = data_dir.join("ingress").join("lock");
    let has_lock = || {
        // None, if it has ended.
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
        descriptors.flatten().any(|it| std::fs::read_link(it.path()).is_ok_and(|target| target == lock))
    };
    while has_lock() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A new process that has got the sockets, and goes on when the returned pipe is closed.
async fn paused_successor(program: &Path, data_dir: &Path) -> (tokio::process::Child, tokio::process::ChildStdin) {
    let mut command = tokio::process::Command::new(program);
    command.args(["ingress".as_ref(), data_dir.as_os_str(), "--replace-later".as_ref()]).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (go, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    out.read_exact(&mut [0; 6]).await.unwrap();
    (child, go)
}
