//! Consoles on the real engine, with a client that is written from the protocol, and with the command line.

use std::time::Instant;

use boatyard_tests::by_hand::ByHand;
use boatyard_tests::engine;
use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::*;
use crate::terminal::Terminal;

/// A service of two instances whose image has a shell, and one whose image has none.
const SPEC: &str = "
name: shell
services:
- name: web
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: python, tag: '3'}
  run_command: python3 -m http.server 8080
  http_port: 8080
  instance_count: 2
  routes: [{path: /}]
  health_check: {http_path: /, period_seconds: 1}
- name: bare
  image: {registry_type: DOCKER_HUB, registry: boatyard-local, repository: testapp, tag: '1'}
  routes: [{path: /bare}]
  health_check: {http_path: /health, period_seconds: 1}
";

const EXEC: &str = "/v2/apps/shell/components/web/exec";

/// A console of the first instance, with a prompt that no output contains by chance.
struct Console {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    shown: String,
}

impl Console {
    async fn open(at: &Installation) -> Console {
        let answer = at.ok("GET", EXEC, None).await.unwrap();
        let mut console = Console::at(answer["url"].as_str().unwrap()).await;
        console.resize(80, 24).await;
        console.type_in("PS1='re''ady> '\r").await;
        console.until("ready> ").await;
        console
    }

    async fn at(url: &str) -> Console {
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Console { socket, shown: String::new() }
    }

    async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn resize(&mut self, width: u16, height: u16) {
        self.send(json!({ "op": "resize", "width": width, "height": height })).await;
    }

    /// One message for each byte, as doctl sends them.
    async fn type_in(&mut self, text: &str) {
        for key in text.chars() {
            self.send(json!({ "op": "stdin", "data": key.to_string() })).await;
        }
    }

    /// Waits until this is shown. Returns what was shown before it, and forgets both.
    async fn until(&mut self, text: &str) -> String {
        while !self.shown.contains(text) {
            let next = tokio::time::timeout(ENDS_WITHIN, self.socket.next()).await;
            match next.unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown)).unwrap().unwrap() {
                Message::Text(message) => self.take(&message),
                Message::Close(frame) => panic!("closed with {frame:?} after {:?}", self.shown),
                _ => {}
            }
        }
        let before = self.shown.find(text).unwrap();
        let after = self.shown.split_off(before + text.len());
        let mut shown = std::mem::replace(&mut self.shown, after);
        shown.truncate(before);
        shown
    }

    fn take(&mut self, message: &str) {
        let message: Value = serde_json::from_str(message).unwrap();
        self.shown.push_str(message["data"].as_str().unwrap());
    }

    /// Reads to the end. The code of the close frame, and what was shown.
    async fn end(mut self) -> (u16, String) {
        let mut code = None;
        while let Some(Ok(message)) = tokio::time::timeout(ENDS_WITHIN, self.socket.next()).await.unwrap() {
            match message {
                Message::Text(message) => self.take(&message),
                Message::Close(frame) => code = frame.map(|frame| frame.code.into()),
                _ => {}
            }
        }
        (code.expect("a close frame"), self.shown)
    }
}

/// Commands of all processes of the component's containers, without those that every container has.
async fn processes(at: &Installation) -> Vec<String> {
    let mut all = Vec::new();
    for id in at.container_ids("shell", "web").await.unwrap() {
        all.extend(ByHand::on(&id).unwrap().processes().await.unwrap());
    }
    all.retain(|command| !command.contains("http.server"));
    all.sort();
    all
}

/// Waits until the instances run nothing but themselves.
async fn nothing_is_left(at: &Installation) {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let left = processes(at).await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "{left:?}\n{}", at.log());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_is_a_terminal_in_an_instance_and_leaves_nothing_behind() {
    let at = installation().await;
    at.create(SPEC).await.unwrap();

    // The shell knows the size, interrupts at Ctrl-C, and exits at Ctrl-D.
    let mut console = Console::open(&at).await;
    console.type_in("stty size\r").await;
    console.until("24 80\r\n").await;
    console.resize(132, 50).await;
    console.type_in("stty size; echo $TERM; whoami; pwd\r").await;
    console.until("50 132\r\nxterm-256color\r\n").await;
    console.until("ready> ").await;
    console.type_in("sleep 1000\r").await;
    // Before it has started the command, bash itself would get the interrupt.
    all_run(&at, &["sleep 1000"]).await;
    console.type_in("\x03").await;
    console.until("^C").await;
    console.until("ready> ").await;
    console.type_in("sleep 1001 &\r").await;
    console.until("ready> ").await;
    console.type_in("\x04").await;
    let (code, shown) = console.end().await;
    assert_eq!(code, 1000, "{shown}");
    nothing_is_left(&at).await;

    // Binary output arrives, and much output arrives whole.
    let mut console = Console::open(&at).await;
    console.type_in("head -c 4000000 /dev/zero; printf '\\001\\000\\377'; seq 200000; echo do''ne\r").await;
    let shown = console.until("done\r\n").await;
    assert_eq!(shown.matches('\0').count(), 4_000_001);
    let numbers: Vec<_> = shown.split_once("\u{fffd}").unwrap().1.split_whitespace().collect();
    assert!(numbers.iter().copied().eq((1..=200_000).map(|it| it.to_string())), "{} numbers", numbers.len());

    // A client that disconnects ends the shell, what it runs, and what it started.
    console.type_in("sleep 1002 & nohup sleep 1003 & setsid sleep 1004 & sleep 1005\r").await;
    console.until("sleep 1005\r\n").await;
    all_run(&at, &["sleep 1002", "sleep 1003", "sleep 1004", "sleep 1005"]).await;
    drop(console);
    nothing_is_left(&at).await;
}

/// Waits until all of these commands run in an instance.
async fn all_run(at: &Installation, commands: &[&str]) {
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let found = processes(at).await;
        if commands.iter().all(|command| found.iter().any(|it| it.contains(command))) {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_end_with_serve_and_with_their_instance() {
    let mut at = installation().await;
    at.create(SPEC).await.unwrap();

    // Killed: the next serve ends the shell.
    let mut console = Console::open(&at).await;
    console.type_in("nohup sleep 1001 & sleep 1002\r").await;
    all_run(&at, &["bash", "sleep 1001", "sleep 1002"]).await;
    let containers = at.container_ids("shell", "web").await.unwrap();
    at.kill_serve();
    at.serve().await.unwrap();
    nothing_is_left(&at).await;
    assert_eq!(at.container_ids("shell", "web").await.unwrap(), containers, "the instances were not touched");

    // Stopped: serve ends the shell before it exits.
    let mut console = Console::open(&at).await;
    console.type_in("sleep 1003\r").await;
    all_run(&at, &["sleep 1003"]).await;
    at.stop_serve().unwrap();
    let (code, shown) = console.end().await;
    assert!(code == 1001 && shown.contains("\r\nboatyard serve is shutting down\r\n"), "{code} {shown}");
    for id in &containers {
        let all = ByHand::on(id).unwrap().processes().await.unwrap().join("\n");
        assert!(!all.contains("bash") && !all.contains("sleep"), "{all}");
    }
    at.serve().await.unwrap();

    // Restarted: the rollout does not wait for the console, which ends with a sentence.
    let console = Console::open(&at).await;
    let deployment = at.restart("shell", &["web"]).await.unwrap();
    let (code, shown) = console.end().await;
    assert!(code == 1000 && shown.contains("web-0 has stopped"), "{code} {shown}");
    assert!(shown.ends_with("boatyard apps console shell web\r\n"), "{shown}");
    at.wait_active("shell", &deployment).await.unwrap();
    nothing_is_left(&at).await;

    // Of the first deployment only the other service is left.
    let (status, answer) = at.call("GET", "/v2/apps/shell/deployments/1/components/web/exec", None).await.unwrap();
    assert!(status == 409 && answer["message"].to_string().contains("do not belong to this deployment"), "{answer}");

    // Deleted.
    let console = Console::open(&at).await;
    at.delete("shell").await.unwrap();
    let (code, shown) = console.end().await;
    assert!(code == 1000 && shown.contains("has stopped"), "{code} {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_is_refused_before_the_terminal_is_taken_over() {
    let at = installation().await;
    at.create(SPEC).await.unwrap();
    for (path, status, expected) in [
        ("/v2/apps/shell/components/bare/exec", 400, "bare-0 has no shell"),
        ("/v2/apps/shell/components/wbe/exec", 404, "Did you mean"),
        ("/v2/apps/shell/components/web/exec?instance_name=web-7", 404, "These run: web-0, web-1"),
        ("/v2/apps/shell/deployments/9/components/web/exec", 404, "no deployment 9"),
        ("/v2/apps/nothing/components/web/exec", 404, "no app"),
    ] {
        let (found, answer) = at.call("GET", path, None).await.unwrap();
        let message = answer["message"].as_str().unwrap();
        assert!(found == status && message.contains(expected), "{path}: {found} {message}");
    }
    let answer = at.ok("GET", &format!("{EXEC}?instance_name=web-1"), None).await.unwrap();
    assert_eq!(answer["boatyard"]["instance_alias"], "web-1");
    let url = answer["url"].as_str().unwrap();
    let mut console = Console::at(url).await;
    console.type_in("ex").await;
    let (code, shown) = Console::at(url).await.end().await;
    assert!(code == 1008 && shown.contains("works once"), "{code} {shown}");
    console.type_in("it\r").await;
    assert_eq!(console.end().await.0, 1000);

    let piped = run_cli(&at, &["apps", "console", "shell", "web"]).await;
    assert_eq!(piped.code, Some(2), "{}", piped.err);
    assert!(piped.err.contains("a console needs a terminal"), "{}", piped.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_opens_a_console_and_leaves_the_terminal_as_it_was() {
    let at = installation().await;
    at.create(SPEC).await.unwrap();
    let open = |arguments: &[&str]| {
        let mut terminal = Terminal::run(&at, &[&["apps", "console", "shell"], arguments].concat());
        terminal.until("It ends with `exit` or Ctrl-D.");
        terminal.type_in("PS1='re''ady> '; echo gr\u{fc}n\r");
        terminal.until("gr\u{fc}n");
        terminal.until("ready> ");
        terminal
    };

    let mut terminal = open(&["web", "web-1", "--deployment", "1"]);
    assert!(!terminal.is_echoing());
    terminal.resize(111, 33);
    // The signal may arrive after what is typed.
    terminal.type_in("until stty size | grep '33 111'; do sleep 0.1; done; echo res''ized\r");
    terminal.until("resized");
    terminal.type_in("sleep 1001\r");
    all_run(&at, &["sleep 1001"]).await;
    terminal.type_in("\x03");
    terminal.until("^C");
    terminal.type_in("exit\r");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("Console of web-1.") && terminal.is_echoing(), "{shown}");

    let mut terminal = open(&["web"]);
    terminal.type_in("sleep 1002\r");
    all_run(&at, &["sleep 1002"]).await;
    terminal.signal(Signal::TERM);
    assert_eq!(terminal.end().0, Some(1));
    assert!(terminal.is_echoing());
    nothing_is_left(&at).await;

    let mut terminal = open(&["web"]);
    let docker = engine::connect().unwrap();
    for id in at.container_ids("shell", "web").await.unwrap() {
        docker.kill_container(&id, None).await.unwrap();
    }
    let (code, shown) = terminal.end();
    assert!(code == Some(1) && shown.contains("has stopped"), "{code:?} {shown}");
    assert!(terminal.is_echoing());

    let mut refused = Terminal::run(&at, &["apps", "console", "shell", "bare"]);
    let (code, shown) = refused.end();
    assert!(code == Some(1) && shown.contains("has no shell"), "{code:?} {shown}");
}
