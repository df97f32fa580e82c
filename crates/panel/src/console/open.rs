//! One open console: a task that owns the shell's output and the terminal in memory, until something ends the console.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controller::console::{Console, ConsoleEnd, ConsoleInput, ConsoleOutput, ConsoleTarget, TerminalSize};
use rollout::ids::AppId;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use web::StopDelay;

use super::emulator::{Emulator, Row, Screen, without_hidden_lines};
use crate::limit::Permit;

/// A console ends this long after the last page that showed it was left, so that a reload keeps it.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Shortest time between two pictures of the screen. Output in between is skipped, and the latest state is shown.
const FRAME: Duration = Duration::from_millis(33);
/// How much output the terminal takes at once. A few bytes can ask it to repeat a character 65,535 times.
const PIECE: usize = 4 * 1024;
/// How long an ended console counts as open, and delays a shutdown, while its shell ends. The controller goes on after that.
const SHELL_END_TIMEOUT: Duration = Duration::from_secs(12);
/// Requests of pages that wait for the task.
const REQUESTS: usize = 16;

/// A console, for the pages that show it. The pages of one session share it.
pub(super) struct OpenConsole {
    pub id: String,
    /// The session that opened it.
    pub session: String,
    pub target: ConsoleTarget,
    /// The latest state. It never waits for a page.
    pub screen: watch::Receiver<Arc<Screen>>,
    /// What is typed. It is taken as fast as the shell reads.
    input: mpsc::Sender<ConsoleInput>,
    requests: mpsc::Sender<Request>,
    viewers: watch::Sender<usize>,
}

enum Request {
    Resize(TerminalSize),
    History(oneshot::Sender<Vec<Row>>),
    Close,
}

/// Counts as a page that shows the console until it is dropped.
pub(super) struct Viewer {
    pub console: Arc<OpenConsole>,
    _permit: Permit,
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.console.viewers.send_modify(|count| *count -= 1);
    }
}

impl OpenConsole {
    /// Starts the task of a console, which completes when no page needs the console any more. `over` completes with the
    /// reason when the console has to end. `held` is dropped when the shell has ended.
    pub fn start(
        id: String,
        session: String,
        target: ConsoleTarget,
        console: Console,
        over: impl Future<Output = String> + Send + 'static,
        held: (Permit, StopDelay),
    ) -> (Arc<Self>, JoinHandle<()>) {
        let emulator = Emulator::new(TerminalSize::default());
        let Console { input, output, ended } = console;
        let (shown, screen) = watch::channel(Arc::new(emulator.screen()));
        let (requests, requested) = mpsc::channel(REQUESTS);
        let viewers = watch::Sender::new(0);
        let task = Task {
            emulator: Some(emulator),
            input: input.clone(),
            output,
            unread: Bytes::new(),
            requested,
            viewers: viewers.subscribe(),
            shown,
        };
        let task = tokio::spawn(task.run(over, ended, held));
        (Arc::new(Self { id, session, target, screen, input, requests, viewers }), task)
    }

    pub fn is_of(&self, session: &str, app: &AppId) -> bool {
        self.session == session && self.target.app == *app
    }

    /// `permit`: the right to one more page.
    pub fn view(self: &Arc<Self>, permit: Permit) -> Viewer {
        self.viewers.send_modify(|count| *count += 1);
        Viewer { console: self.clone(), _permit: permit }
    }

    pub fn has_ended(&self) -> bool {
        self.screen.borrow().ended.is_some()
    }

    pub fn is_shown(&self) -> bool {
        *self.viewers.borrow() > 0
    }

    /// Waits until the shell takes it.
    pub async fn type_in(&self, keys: String) {
        // A failure means that the console has ended, which its screen says.
        let _ = self.input.send(ConsoleInput::Bytes(keys.into())).await;
    }

    /// The last one counts, if several pages show the console.
    pub async fn resize(&self, size: TerminalSize) {
        let _ = self.requests.send(Request::Resize(size)).await;
    }

    /// The rows that have left the screen, oldest first. Empty if the console has ended.
    pub async fn history(&self) -> Vec<Row> {
        let (answer, rows) = oneshot::channel();
        let _ = self.requests.send(Request::History(answer)).await;
        rows.await.unwrap_or_default()
    }

    pub async fn close(&self) {
        let _ = self.requests.send(Request::Close).await;
    }
}

struct Task {
    /// Always there between two pieces of output.
    emulator: Option<Emulator>,
    input: mpsc::Sender<ConsoleInput>,
    output: mpsc::Receiver<ConsoleOutput>,
    /// Output that the terminal has not taken yet.
    unread: Bytes,
    requested: mpsc::Receiver<Request>,
    viewers: watch::Receiver<usize>,
    shown: watch::Sender<Arc<Screen>>,
}

impl Task {
    async fn run(mut self, over: impl Future<Output = String>, shell_ended: JoinHandle<()>, held: (Permit, StopDelay)) {
        let mut over = std::pin::pin!(over);
        let (why, must_go) = tokio::select! {
            biased;
            why = &mut over => (why, true),
            why = self.serve() => (why, false),
        };
        let last = Screen { ended: Some(why), ..self.picture() };
        self.shown.send_replace(Arc::new(last));
        let Self { output, requested, viewers, shown, .. } = self;
        // Ends the shell. The last state stays readable.
        drop((output, requested, shown));
        let _ = timeout(SHELL_END_TIMEOUT, shell_ended).await;
        drop(held);
        if must_go {
            return;
        }
        // A page may still come back and read why.
        tokio::select! {
            () = left(viewers) => {}
            _ = over => {}
        }
    }

    /// Runs the console until it ends by itself, and returns why.
    async fn serve(&mut self) -> String {
        let mut left = std::pin::pin!(left(self.viewers.clone()));
        let (mut is_old, mut next_picture) = (false, Instant::now());
        loop {
            // In this order, so that a flood of output delays nothing else.
            tokio::select! {
                biased;
                () = &mut left => return "It was closed, because no page had shown it for a minute.".into(),
                request = self.requested.recv() => match request {
                    Some(Request::Resize(size)) => is_old |= self.resize(size),
                    Some(Request::History(answer)) => drop(answer.send(self.emulator().history())),
                    Some(Request::Close) | None => return "It was closed.".into(),
                },
                () = sleep_until(next_picture), if is_old => {
                    self.shown.send_replace(Arc::new(self.picture()));
                    (is_old, next_picture) = (false, Instant::now() + FRAME);
                }
                piece = next_piece(&mut self.unread, &mut self.output) => match piece {
                    Ok(piece) => {
                        if let Err(why) = self.take(piece).await {
                            return why;
                        }
                        is_old = true;
                    }
                    Err(why) => return why,
                }
            }
        }
    }

    fn emulator(&mut self) -> &mut Emulator {
        self.emulator.as_mut().expect("it is put back before anything else happens, or the console ends")
    }

    /// The screen as it is, or as it was last shown.
    fn picture(&self) -> Screen {
        match &self.emulator {
            Some(emulator) => emulator.screen(),
            None => Screen::clone(&self.shown.borrow()),
        }
    }

    /// Returns whether the new size was sent to the shell. Otherwise the screen keeps its size.
    fn resize(&mut self, size: TerminalSize) -> bool {
        let Ok(place) = self.input.clone().try_reserve_owned() else { return false };
        place.send(ConsoleInput::Resize(self.emulator().resize(size)));
        true
    }

    /// Lets the terminal take a piece of output, on a thread that may take its time. A fault of the terminal ends only this
    /// console.
    async fn take(&mut self, piece: Bytes) -> Result<(), String> {
        let fault = || "Its output cannot be shown.".to_owned();
        let mut emulator = self.emulator.take().ok_or_else(fault)?;
        let taken = tokio::task::spawn_blocking(move || {
            let answer = emulator.process(&piece);
            (emulator, answer)
        });
        let (emulator, answer) = taken.await.map_err(|_| fault())?;
        self.emulator = Some(emulator);
        if !answer.is_empty() {
            // A program that does not read gets no answer.
            let _ = self.input.try_send(ConsoleInput::Bytes(answer.into()));
        }
        Ok(())
    }
}

/// The next output. Errors: there is no more, and why.
async fn next_piece(unread: &mut Bytes, output: &mut mpsc::Receiver<ConsoleOutput>) -> Result<Bytes, String> {
    while unread.is_empty() {
        match output.recv().await {
            Some(ConsoleOutput::Bytes(bytes)) => *unread = without_hidden_lines(bytes),
            Some(ConsoleOutput::End(ConsoleEnd::Exited)) => return Err("The shell has exited.".into()),
            Some(ConsoleOutput::End(ConsoleEnd::Lost(why))) => return Err(why),
            None => return Err("There was no reason given. See the log of boatyard serve.".into()),
        }
    }
    Ok(unread.split_to(unread.len().min(PIECE)))
}

/// Completes when no page has shown the console for [`KEPT_FOR`].
async fn left(mut viewers: watch::Receiver<usize>) {
    while viewers.wait_for(|count| *count == 0).await.is_ok() {
        let back = timeout(KEPT_FOR, viewers.wait_for(|count| *count > 0)).await;
        if !matches!(back, Ok(Ok(_))) {
            return;
        }
    }
}
