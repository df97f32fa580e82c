//! Following an app's instances: from one to the next over restarts, and from one start of a container to its next.

use std::collections::HashMap;
use std::future::ready;
use std::time::Duration;

use engine::{ContainerState, Engine, EngineError, LogQuery};
use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Logs, entry, unreadable};
use crate::error::ControlError;
use crate::logbook::Lines;
use crate::view::{LogEntry, LogRequest};

/// A container whose output ended is looked at this often: it may have been started again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Who is followed, and the lines that come.
pub(super) struct Following {
    logs: Logs,
    changes: watch::Receiver<u64>,
    question: LogRequest,
    /// By container.
    known: HashMap<String, Known>,
    lines: SelectAll<BoxStream<'static, Heard>>,
}

/// A container whose lines were asked for.
#[derive(Default)]
struct Known {
    /// More of its lines may come.
    open: bool,
    /// When it wrote its last line: the engine tells everything again that was written before.
    last: String,
}

enum Heard {
    Line {
        container: String,
        entry: LogEntry,
    },
    /// Its process ended, or nothing can be read of it any more.
    Ended {
        container: String,
    },
}

impl Following {
    /// Lines from now on, and the last ones before as the question has it. Errors: the engine or the store does not answer,
    /// or nothing of that name runs.
    pub async fn begin(logs: Logs, question: LogRequest) -> Result<Self, ControlError> {
        let changes = logs.changes.clone();
        let mut following = Self { logs, changes, question, known: HashMap::new(), lines: SelectAll::new() };
        following.open().await?;
        // What the instances that come later wrote is new as a whole.
        following.question.tail = None;
        Ok(following)
    }

    /// Until the app is gone or the controller ends.
    pub fn lines(self) -> impl Stream<Item = Result<LogEntry, ControlError>> {
        stream::unfold(self, |mut following| async move {
            let entry = following.next().await?;
            Some((Ok(entry), following))
        })
    }

    async fn next(&mut self) -> Option<LogEntry> {
        loop {
            let one_ended = self.known.values().any(|it| !it.open);
            tokio::select! {
                Some(heard) = self.lines.next(), if !self.lines.is_empty() => match heard {
                    Heard::Line { container, entry } => {
                        self.known.entry(container).or_default().last.clone_from(&entry.timestamp);
                        return Some(entry);
                    }
                    Heard::Ended { container } => {
                        self.known.entry(container).or_default().open = false;
                        continue;
                    }
                },
                news = self.changes.changed() => news.ok()?,
                () = sleep(LOOK_AGAIN), if one_ended => {}
            }
            if matches!(self.logs.store.app(&self.question.app).await, Ok(None)) {
                return None;
            }
            // Who does not answer now is asked again at the next look; that nothing runs at this moment ends nothing.
            drop(self.open().await);
        }
    }

    /// Asks for the lines of the containers that are new, or run again.
    async fn open(&mut self) -> Result<(), ControlError> {
        let containers = self.logs.containers(&self.question).await?;
        self.known.retain(|known, _| containers.iter().any(|(_, name)| name == known));
        let mut secrets = None;
        for (component, name) in containers {
            let last = match self.known.get(&name) {
                Some(known) if known.open || !runs(self.logs.engine.as_ref(), &name).await => continue,
                Some(known) => known.last.clone(),
                None => String::new(),
            };
            let query = LogQuery { follow: true, tail: self.question.tail };
            let lines = match self.logs.engine.logs(&name, &query).await {
                Ok(lines) => lines,
                // Removed since it was read of.
                Err(EngineError::NotFound { .. }) => continue,
                Err(error) => return Err(unreadable(error)),
            };
            if secrets.is_none() {
                secrets = Some(self.logs.secrets(&self.question).await?);
            }
            let mut shown = secrets.as_ref().map(Lines::new).expect("just set");
            self.known.insert(name.clone(), Known { open: true, last: last.clone() });
            let container = name.clone();
            let heard = lines
                .take_while(|line| ready(line.is_ok()))
                .filter_map(|line| ready(line.ok()))
                .filter(move |line| ready(line.timestamp > last))
                .map(move |line| {
                    let entry = entry(&component, line, &mut shown);
                    Heard::Line { container: container.clone(), entry }
                });
            self.lines.push(heard.chain(stream::iter([Heard::Ended { container: name }])).boxed());
        }
        Ok(())
    }
}

async fn runs(engine: &dyn Engine, name: &str) -> bool {
    let details = engine.inspect(name).await.ok().flatten();
    details.is_some_and(|it| it.container.state == ContainerState::Running)
}
