//! Following an app's instances across restarts of the app and of single containers.

use std::collections::HashMap;
use std::future::ready;
use std::time::Duration;

use engine::{ContainerState, EngineError, LogQuery};
use futures::stream::{self, BoxStream, SelectAll};
use futures::{Stream, StreamExt};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Logs, entry, unreadable};
use crate::engine_watch::NEEDED_WITHIN;
use crate::error::ControlError;
use crate::logbook::Lines;
use crate::view::{LogEntry, LogRequest};

/// How often the controller checks whether a container whose output ended has started again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The followed containers, and the stream of their lines.
pub(super) struct Following {
    logs: Logs,
    changes: watch::Receiver<u64>,
    question: LogRequest,
    /// By container name.
    known: HashMap<String, Known>,
    lines: SelectAll<BoxStream<'static, Output>>,
}

/// A container whose lines were requested.
#[derive(Default)]
struct Known {
    /// The stream is open, so more lines may come.
    open: bool,
    /// Timestamp of the last line, also if the request skipped it. After a restart the engine sends older lines again, and
    /// this filters them out.
    last: String,
}

enum Output {
    Line {
        container: String,
        entry: LogEntry,
    },
    /// The process ended, or its output cannot be read any more.
    Ended {
        container: String,
    },
}

impl Following {
    /// Follows new lines, and starts with as many older lines as the request asks for. Errors: the engine or the store
    /// does not answer, or no such component runs.
    pub async fn begin(logs: Logs, mut question: LogRequest) -> Result<Self, ControlError> {
        let changes = logs.changes.clone();
        if logs.is_active(&question).await? {
            // doctl names the active deployment of its own accord. A person who follows an app wants to see the next
            // deployment's instances too.
            question.deployment = None;
        }
        let mut following = Self { logs, changes, question, known: HashMap::new(), lines: SelectAll::new() };
        following.open().await?;
        // All lines of instances that start later are new.
        following.question.tail = None;
        Ok(following)
    }

    /// Lines until the app is deleted, the instances of an ended deployment are gone, or the controller stops.
    pub fn lines(self) -> impl Stream<Item = Result<LogEntry, ControlError>> {
        stream::unfold(self, |mut following| async move {
            let entry = following.next().await?;
            Some((Ok(entry), following))
        })
    }

    async fn next(&mut self) -> Option<LogEntry> {
        loop {
            if self.known.is_empty() && self.logs.can_have_no_more(&self.question).await {
                return self.rest().await;
            }
            let one_ended = self.known.values().any(|it| !it.open);
            tokio::select! {
                Some(output) = self.lines.next(), if !self.lines.is_empty() => match output {
                    Output::Line { container, entry } => {
                        self.known.entry(container).or_default().last.clone_from(&entry.timestamp);
                        return Some(entry);
                    }
                    Output::Ended { container } => {
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
            // Ignores errors and retries at the next look. A moment without running instances does not end the stream.
            drop(self.open().await);
        }
    }

    /// The next line that the removed containers had written.
    async fn rest(&mut self) -> Option<LogEntry> {
        while let Some(output) = self.lines.next().await {
            if let Output::Line { entry, .. } = output {
                return Some(entry);
            }
        }
        None
    }

    /// Requests the lines of containers that are new or have started again.
    async fn open(&mut self) -> Result<(), ControlError> {
        let found = self.logs.containers(&self.question).await;
        if matches!(found, Err(ControlError::Invalid(_))) {
            // The deployment has ended, and its instances are gone.
            self.known.clear();
        }
        let containers = found?;
        self.known.retain(|known, _| containers.iter().any(|(_, name)| name == known));
        let mut secrets = None;
        for (component, name) in containers {
            let last = match self.known.get(&name) {
                Some(known) if known.open || !self.logs.runs(&name).await => continue,
                Some(known) => known.last.clone(),
                None if self.question.tail == Some(0) => match self.logs.last_line(&name).await {
                    Ok(last) => last,
                    // The container was removed since the record was read.
                    Err(EngineError::NotFound { .. }) => continue,
                    Err(error) => return Err(unreadable(error)),
                },
                None => String::new(),
            };
            let query = LogQuery { follow: true, tail: self.question.tail };
            let lines = match self.logs.lines_of(&name, &query).await {
                Ok(lines) => lines,
                // The container was removed since the record was read.
                Err(EngineError::NotFound { .. }) => continue,
                Err(error) => return Err(unreadable(error)),
            };
            if secrets.is_none() {
                secrets = Some(self.logs.secrets(&self.question).await?);
            }
            let mut shown = secrets.as_ref().map(Lines::new).expect("just set");
            self.known.insert(name.clone(), Known { open: true, last: last.clone() });
            let container = name.clone();
            let output = lines
                .take_while(|line| ready(line.is_ok()))
                .filter_map(|line| ready(line.ok()))
                .filter(move |line| ready(line.timestamp > last))
                .map(move |line| {
                    let entry = entry(&component, line, &mut shown);
                    Output::Line { container: container.clone(), entry }
                });
            self.lines.push(output.chain(stream::iter([Output::Ended { container: name }])).boxed());
        }
        Ok(())
    }
}

impl Logs {
    /// Timestamp of the newest line of a container; empty if it has none.
    async fn last_line(&self, name: &str) -> Result<String, EngineError> {
        let lines = self.lines_of(name, &LogQuery { follow: false, tail: Some(1) }).await?;
        let stamps = lines.filter_map(async |line| line.ok().map(|it| it.timestamp));
        Ok(stamps.fold(String::new(), async |last, stamp| last.max(stamp)).await)
    }

    async fn runs(&self, name: &str) -> bool {
        let details = self.watch.answer(NEEDED_WITHIN, self.engine.inspect(name)).await.ok().flatten();
        details.is_some_and(|it| it.container.state == ContainerState::Running)
    }
}
