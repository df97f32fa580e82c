//! Control's end of the line: asks, waits for the answer within a deadline, and hears the news.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::protocol::{Listener, ListenerRefused, Message, Open, PROTOCOL_VERSION, Request, RouteTable, Status};
use crate::wire;

/// For one question and its answer. A table is written to disk before it is acknowledged, hence not shorter.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// After the last open request was cut, for the process to go.
const GONE_WITHIN: Duration = Duration::from_secs(5);
/// News kept for a receiver that is slow to read.
const NEWS_KEPT: usize = 4096;

/// What went wrong between control and ingress.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no ingress answers on {socket}")]
    Connect {
        socket: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    /// The process went away or closed the connection. What it serves is served on by its successor.
    #[error("the connection to the ingress is lost; connect again")]
    Lost,
    #[error("the ingress did not answer {question} within {} s; what it served before is still in force", .after.as_secs())]
    Late { question: &'static str, after: Duration },
    /// Its own words; nothing was changed.
    #[error("the ingress refused {question}: {reason}")]
    Refused { question: &'static str, reason: String },
    #[error("the ingress speaks protocol {theirs}, this program {PROTOCOL_VERSION}; shut it down and start it again")]
    OtherProtocol { theirs: u32 },
    /// It has understood, and goes on ending.
    #[error("the ingress has not ended {} s after it was told to; see its log, or end its process", .after.as_secs())]
    StillThere { after: Duration },
    #[error("the ingress answered {question} with something else")]
    Confused { question: &'static str },
}

impl ControlError {
    /// Whether the same question may succeed on a new connection.
    pub fn is_transient(&self) -> bool {
        matches!(self, ControlError::Connect { .. } | ControlError::Lost | ControlError::Late { .. })
    }
}

/// What a hello is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    pub status: Status,
    /// Listeners that could not be had. The ones open before are still open then.
    pub refused: Vec<ListenerRefused>,
    /// In force, from before.
    pub table: RouteTable,
}

/// What ingress tells without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Counts of an upstream that the table in force leaves out. The last one of each has both at zero.
    Draining { upstream: String, open: Open },
    /// The connection ended. Connect again, say hello, read the status.
    Lost,
}

/// A connection to a running ingress. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Control {
    questions: mpsc::Sender<Question>,
    news: broadcast::Sender<News>,
}

struct Question {
    request: Request,
    answer: oneshot::Sender<Message>,
}

/// Questions asked and not answered yet. Answers come in the order of questions.
type Unanswered = Arc<Mutex<VecDeque<oneshot::Sender<Message>>>>;

impl Control {
    /// Connects to the socket of [`crate::socket_path`].
    ///
    /// # Errors
    /// [`ControlError::Connect`] when nobody listens there.
    pub async fn connect(socket: &Path) -> Result<Self, ControlError> {
        let failed = |cause| ControlError::Connect { socket: socket.to_owned(), cause };
        let connecting = tokio::time::timeout(ANSWER_DEADLINE, UnixStream::connect(socket));
        let stream = match connecting.await {
            Ok(stream) => stream.map_err(failed)?,
            Err(_elapsed) => return Err(failed(std::io::ErrorKind::TimedOut.into())),
        };
        let (read, write) = stream.into_split();
        let (questions, asked) = mpsc::channel(16);
        let news = broadcast::Sender::new(NEWS_KEPT);
        tokio::spawn(run(read, write, asked, news.clone()));
        Ok(Control { questions, news })
    }

    /// Takes charge, and says which listeners should be open from now on.
    ///
    /// # Errors
    /// [`ControlError::OtherProtocol`]: another version runs. It changed nothing, and may be told to shut down.
    pub async fn hello(&self, listeners: Vec<Listener>) -> Result<Welcome, ControlError> {
        match self.ask("hello", Request::Hello { protocol: PROTOCOL_VERSION, listeners }).await? {
            Message::Welcome { protocol, .. } if protocol != PROTOCOL_VERSION => {
                Err(ControlError::OtherProtocol { theirs: protocol })
            }
            Message::Welcome { status, refused, table, .. } => Ok(Welcome { status, refused, table }),
            other => Err(unexpected("hello", other)),
        }
    }

    /// Puts a table in force and gives back its version, once no new request can go by an older one and the table
    /// would survive a crash of the ingress. Listen to [`Control::news`] before, so that no drain is missed.
    ///
    /// # Errors
    /// [`ControlError::Refused`]: the table before is still in force. [`ControlError::Late`]: it is not known which one
    /// is; read the status.
    pub async fn set_table(&self, table: RouteTable) -> Result<u64, ControlError> {
        match self.ask("the table", Request::SetTable { table }).await? {
            Message::Acknowledged { version } => Ok(version),
            other => Err(unexpected("the table", other)),
        }
    }

    /// What is in force, open and counted. Needs no hello.
    ///
    /// # Errors
    /// As every question: lost, late.
    pub async fn status(&self) -> Result<Status, ControlError> {
        match self.ask("status", Request::Status).await? {
            Message::Status { status } => Ok(status),
            other => Err(unexpected("status", other)),
        }
    }

    /// Tells the process to stop accepting, to let open requests end within `drain`, and to exit. Returns when it has
    /// understood; [`News::Lost`] says when it is gone. Needs a hello before.
    ///
    /// # Errors
    /// As every question; a connection lost meanwhile counts as understood.
    pub async fn shutdown(&self, drain: Duration) -> Result<(), ControlError> {
        let drain_seconds = drain.as_secs();
        match self.ask("the shutdown", Request::Shutdown { drain_seconds }).await {
            Ok(Message::Acknowledged { .. }) | Err(ControlError::Lost) => Ok(()),
            Ok(other) => Err(unexpected("the shutdown", other)),
            Err(error) => Err(error),
        }
    }

    /// As [`Control::shutdown`], and returns when the process is gone: nothing that it served is open any more.
    ///
    /// # Errors
    /// As of a shutdown; [`ControlError::StillThere`] when it takes longer than it was given.
    pub async fn end(&self, drain: Duration) -> Result<(), ControlError> {
        let mut news = self.news();
        self.shutdown(drain).await?;
        let gone = async { while !matches!(news.recv().await, Ok(News::Lost) | Err(RecvError::Closed)) {} };
        let within = drain + GONE_WITHIN;
        tokio::time::timeout(within, gone).await.map_err(|_elapsed| ControlError::StillThere { after: within })
    }

    /// News from now on. A receiver that reports having lagged should read the status.
    pub fn news(&self) -> broadcast::Receiver<News> {
        let news = self.news.subscribe();
        if self.questions.is_closed() {
            // The connection was lost before: say so to this one, and harmlessly once more to the others.
            let _ = self.news.send(News::Lost);
        }
        news
    }

    /// Whether the connection is gone for good.
    pub fn is_lost(&self) -> bool {
        self.questions.is_closed()
    }

    async fn ask(&self, question: &'static str, request: Request) -> Result<Message, ControlError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.questions.send(Question { request, answer }).await.map_err(|_| ControlError::Lost)?;
            answered.await.map_err(|_| ControlError::Lost)
        };
        match tokio::time::timeout(ANSWER_DEADLINE, exchange).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ControlError::Late { question, after: ANSWER_DEADLINE }),
        }
    }
}

fn unexpected(question: &'static str, message: Message) -> ControlError {
    match message {
        Message::Refused { reason } => ControlError::Refused { question, reason },
        _ => ControlError::Confused { question },
    }
}

/// Both directions, until either ends or the last handle is dropped. All that wait for an answer then hear "lost".
async fn run(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    asked: mpsc::Receiver<Question>,
    news: broadcast::Sender<News>,
) {
    let open = Unanswered::default();
    tokio::select! {
        () = read_in(read, &open, &news) => {}
        () = write_out(write, asked, &open) => {}
    }
    // `asked` is dropped by now: handles see the connection closed before they hear it is lost.
    let _ = news.send(News::Lost);
}

async fn read_in(read: OwnedReadHalf, open: &Unanswered, news: &broadcast::Sender<News>) {
    let mut read = BufReader::new(read);
    loop {
        match wire::read::<Message>(&mut read).await {
            Ok(Message::Draining { upstream, open }) => {
                let _ = news.send(News::Draining { upstream, open });
            }
            Ok(answer) => {
                let waiting = open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(waiting) = waiting else {
                    tracing::warn!("the ingress answered what nobody asked; closing");
                    return;
                };
                // Whoever asked may have given up.
                let _ = waiting.send(answer);
            }
            Err(wire::WireError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "connection to the ingress failed");
                return;
            }
        }
    }
}

async fn write_out(mut write: OwnedWriteHalf, mut asked: mpsc::Receiver<Question>, open: &Unanswered) {
    while let Some(Question { request, answer }) = asked.recv().await {
        open.lock().unwrap_or_else(PoisonError::into_inner).push_back(answer);
        let writing = tokio::time::timeout(ANSWER_DEADLINE, wire::write(&mut write, &request));
        if !matches!(writing.await, Ok(Ok(()))) {
            return;
        }
    }
}
