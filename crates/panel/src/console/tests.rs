use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controller::console::{Console, ConsoleEnd, ConsoleInput, ConsoleOutput, ConsoleTarget, TerminalSize};
use futures::FutureExt;
use rollout::ids::AppId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use web::Stop;

use super::open::{OpenConsole, Viewer};
use super::registry::Consoles;

/// The other side of a console.
struct Shell {
    typed: mpsc::Receiver<ConsoleInput>,
    output: mpsc::Sender<ConsoleOutput>,
}

impl Shell {
    fn start() -> (Console, Shell) {
        let (input, typed) = mpsc::channel(64);
        let (output, shown) = mpsc::channel(4);
        let of_shell = output.clone();
        let ended = tokio::spawn(async move { of_shell.closed().await });
        (Console { input, output: shown, ended }, Shell { typed, output })
    }

    async fn print(&self, text: &str) {
        let piece = ConsoleOutput::Bytes(Bytes::copy_from_slice(text.as_bytes()));
        self.output.send(piece).await.expect("the console is open");
    }

    async fn read(&mut self) -> ConsoleInput {
        timeout(Duration::from_secs(600), self.typed.recv()).await.expect("something is typed").expect("it is open")
    }
}

fn app() -> AppId {
    "a".into()
}

fn target() -> ConsoleTarget {
    let (app_name, component, instance) = ("shop".into(), "web".into(), "by-1-shop-web-0-1".into());
    ConsoleTarget { app: app(), app_name, component, instance, alias: "web-0".into() }
}

fn view(consoles: &Consoles, console: &Arc<OpenConsole>) -> Viewer {
    consoles.view(console, "s").expect("below the limit")
}

async fn try_open(consoles: &Arc<Consoles>, session: &str) -> Result<(Arc<OpenConsole>, Shell), String> {
    try_open_until(consoles, session, pending()).await
}

async fn try_open_until(
    consoles: &Arc<Consoles>,
    session: &str,
    signed_out: impl Future<Output = ()> + Send + 'static,
) -> Result<(Arc<OpenConsole>, Shell), String> {
    let (console, shell) = Shell::start();
    let opened = consoles.open(session, session, target(), async { Ok(console) }, signed_out).await;
    opened.map(|it| (it, shell)).map_err(|error| error.message)
}

async fn opened() -> (Arc<Consoles>, Arc<OpenConsole>, Shell) {
    let consoles = Consoles::new(Stop::default());
    let (console, shell) = try_open(&consoles, "s").await.expect("none is open");
    (consoles, console, shell)
}

/// Why the console has ended, once it has.
async fn end_of(console: &OpenConsole) -> String {
    let mut screen = console.screen.clone();
    let has_ended = screen.wait_for(|it| it.ended.is_some());
    let last = timeout(Duration::from_secs(600), has_ended).await.expect("it ends").expect("a last state");
    last.ended.clone().expect("just seen")
}

/// Waits until the first row is this text.
async fn shown(console: &OpenConsole, text: &str) {
    let mut screen = console.screen.clone();
    let is_shown = screen.wait_for(|it| it.rows[0].iter().map(|run| &*run.text).collect::<String>().trim_end() == text);
    timeout(Duration::from_secs(600), is_shown).await.expect("it is shown").expect("the console is open");
}

#[tokio::test(start_paused = true)]
async fn a_console_ends_a_minute_after_its_last_page_was_left_and_a_reload_keeps_it() {
    let (consoles, console, shell) = opened().await;
    let (first, second) = (view(&consoles, &console), view(&consoles, &console));
    sleep(Duration::from_secs(3600)).await;
    drop(first);
    sleep(Duration::from_secs(3600)).await;
    drop(second);
    sleep(Duration::from_secs(59)).await;
    let reloaded = view(&consoles, &consoles.find(&console.id, "s", &app()).expect("it is still open"));
    sleep(Duration::from_secs(3600)).await;
    assert!(!console.has_ended());
    drop(reloaded);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(end_of(&console).await, "It was closed, because no page had shown it for a minute.");
    assert!(shell.output.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_console_whose_page_never_came_ends_too() {
    let (_consoles, console, shell) = opened().await;
    shell.output.closed().await;
    assert!(console.has_ended());
}

#[tokio::test(start_paused = true)]
async fn a_page_can_read_for_a_minute_why_its_console_has_ended() {
    let (consoles, console, shell) = opened().await;
    let page = view(&consoles, &console);
    let lost = ConsoleEnd::Lost("web-0 has stopped.".into());
    shell.output.send(ConsoleOutput::End(lost)).await.expect("it is open");
    assert_eq!(end_of(&console).await, "web-0 has stopped.");
    assert!(consoles.of("s", &app()).is_empty(), "it is not offered");
    drop(page);
    sleep(Duration::from_secs(59)).await;
    assert!(consoles.find(&console.id, "s", &app()).is_some());
    sleep(Duration::from_secs(2)).await;
    assert!(consoles.find(&console.id, "s", &app()).is_none());
}

#[tokio::test(start_paused = true)]
async fn only_the_session_that_opened_a_console_finds_it() {
    let (consoles, console, _shell) = opened().await;
    assert!(consoles.find(&console.id, "s", &app()).is_some());
    assert!(consoles.find(&console.id, "another", &app()).is_none());
    assert!(consoles.find(&console.id, "s", &"another".into()).is_none());
    assert_eq!((consoles.of("s", &app()).len(), consoles.of("another", &app()).len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_console_ends_with_its_session_and_is_gone_then() {
    let consoles = Consoles::new(Stop::default());
    let (end, ended) = oneshot::channel::<()>();
    let session_ends = async { drop(ended.await) };
    let (console, shell) = try_open_until(&consoles, "s", session_ends).await.expect("none is open");
    let _page = view(&consoles, &console);
    drop(end);
    assert_eq!(end_of(&console).await, "The session that opened it, or its token, has ended.");
    shell.output.closed().await;
    while consoles.find(&console.id, "s", &app()).is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_shell() {
    let stop = Stop::default();
    let consoles = Consoles::new(stop.clone());
    let (console, shell) = try_open(&consoles, "s").await.expect("none is open");
    let _page = view(&consoles, &console);
    assert!(stop.completed().now_or_never().is_none());
    stop.request();
    stop.completed().await;
    assert!(shell.output.is_closed());
    assert_eq!(end_of(&console).await, "boatyard serve is shutting down.");
}

#[tokio::test(start_paused = true)]
async fn consoles_are_limited_and_a_closed_one_makes_room() {
    let consoles = Consoles::new(Stop::default());
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(try_open(&consoles, "s").await.expect("below the limit"));
    }
    let refusal = try_open(&consoles, "s").await.err().expect("refused");
    assert_eq!(
        refusal,
        "4 consoles of this session or its token are open, which is the limit. Close one of them first"
    );
    for session in ["b", "c", "d"] {
        for _ in 0..4 {
            open.push(try_open(&consoles, session).await.expect("below the limit"));
        }
    }
    let refusal = try_open(&consoles, "e").await.err().expect("refused");
    assert_eq!(refusal, "16 consoles of all sessions are open, which is the limit. Close one of them first");
    let (console, shell) = &open[0];
    console.close().await;
    assert_eq!(end_of(console).await, "It was closed.");
    shell.output.closed().await;
    sleep(Duration::from_millis(1)).await;
    open.push(try_open(&consoles, "s").await.expect("one was closed"));
}

#[tokio::test(start_paused = true)]
async fn a_console_whose_shell_does_not_start_leaves_nothing_open() {
    let stop = Stop::default();
    let consoles = Consoles::new(stop.clone());
    for _ in 0..20 {
        let refused = async { Err(controller::ControlError::Conflict("web-0 has stopped".into())) };
        let opened = consoles.open("s", "s", target(), refused, pending()).await;
        assert_eq!(opened.err().expect("refused").message, "web-0 has stopped");
    }
    stop.request();
    stop.completed().await;
}

#[tokio::test(start_paused = true)]
async fn keys_sizes_and_answers_reach_the_shell() {
    let (consoles, console, mut shell) = opened().await;
    let _page = view(&consoles, &console);
    console.type_in("ls\r".into()).await;
    assert_eq!(shell.read().await, ConsoleInput::Bytes("ls\r".into()));
    console.resize(TerminalSize { width: 120, height: 2 }).await;
    assert_eq!(shell.read().await, ConsoleInput::Resize(TerminalSize { width: 120, height: 4 }));
    shell.print("ab\x1b[6n").await;
    assert_eq!(shell.read().await, ConsoleInput::Bytes("\x1b[1;3R".into()));
    shown(&console, "ab").await;
    assert_eq!(console.screen.borrow().rows.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_output_is_shown_as_its_latest_state() {
    let (consoles, console, shell) = opened().await;
    let _page = view(&consoles, &console);
    let mut screen = console.screen.clone();
    let pictures = tokio::spawn(async move {
        let mut count = 0;
        while screen.changed().await.is_ok() {
            count += 1;
        }
        count
    });
    let piece = "0123456789\r\n".repeat(50);
    for _ in 0..50 {
        shell.print(&piece).await;
    }
    shell.print("\x1b[2J\x1b[Hlast").await;
    shown(&console, "last").await;
    assert_eq!(console.history().await.len(), 1000);
    shell.output.send(ConsoleOutput::End(ConsoleEnd::Exited)).await.expect("it is open");
    assert_eq!(end_of(&console).await, "The shell has exited.");
    let pictures = pictures.await.expect("no panic");
    assert!(pictures < 50, "{pictures} pictures of 50 pieces of output");
}

#[tokio::test(start_paused = true)]
async fn a_shell_that_does_not_read_does_not_stop_its_output() {
    let (consoles, console, shell) = opened().await;
    let _page = view(&consoles, &console);
    let blocked = console.clone();
    let typing = tokio::spawn(async move {
        for _ in 0..200 {
            blocked.type_in("x".into()).await;
        }
    });
    shell.print("\x1b[6nstill here").await;
    shown(&console, "still here").await;
    console.close().await;
    end_of(&console).await;
    drop(shell);
    timeout(Duration::from_secs(600), typing).await.expect("it ends with the console").expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn the_pages_that_show_consoles_are_limited() {
    let (consoles, console, _shell) = opened().await;
    let mut pages: Vec<_> = (0..16).map(|_| view(&consoles, &console)).collect();
    let refusal = consoles.view(&console, "s").err().expect("refused");
    assert_eq!(
        refusal,
        "16 pages with consoles of this session or its token are open, which is the limit. Close one of them first"
    );
    assert!(refusal.len() <= 123, "it fits into a close frame");
    pages.pop();
    view(&consoles, &console);
}
