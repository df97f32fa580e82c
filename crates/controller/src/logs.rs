//! Reading logs: from the engine for instances, from the logbook for builds, jobs and failed instances.
//!
//! `chosen` finds the instances that a request is about, `restarts` the lines of processes that have ended, and `following`
//! streams lines across restarts.

mod chosen;
mod following;
mod restarts;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, LogQuery};
use futures::stream::{self, BoxStream, SelectAll};
use futures::{StreamExt, TryStreamExt};
use rollout::deployment::Stage;
use rollout::ids::DeploymentId;
use store::Store;
use store::records::Deployment;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::watch;

use following::Following;

use crate::engine_watch::{EngineWatch, NEEDED_WITHIN};
use crate::error::{ControlError, closest};
use crate::logbook::{Chapter, Lines, Logbook, escaped, shortened};
use crate::redact::Secrets;
use crate::view::{LogEntry, LogKind, LogRequest};

/// A stream of log lines and errors.
pub type LogLines = BoxStream<'static, Result<LogEntry, ControlError>>;

/// How often a followed file is read. Another task writes it, so a line may arrive this much later.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The longest line that is read from a stored log. Older versions did not limit lines.
const LONGEST_KEPT_LINE: u64 = 16 << 20;

/// Answers requests for logs.
pub(crate) struct Logs {
    pub store: Store,
    pub engine: Arc<dyn Engine>,
    pub watch: EngineWatch,
    pub logbook: Logbook,
    /// Ticks whenever the records of an app change.
    pub changes: watch::Receiver<u64>,
}

impl Logs {
    /// Returns the requested lines. Errors: the deployment or component is unknown, or has no log of that kind.
    pub async fn read(self, mut question: LogRequest) -> Result<LogLines, ControlError> {
        let may_be_of_job = matches!(question.kind, LogKind::Run | LogKind::Deploy);
        let is_of_job = may_be_of_job && self.choose_run_of_job(&mut question).await?;
        match question.kind {
            LogKind::Run if !is_of_job => self.running(question).await,
            LogKind::Run => self.kept(&question, Chapter::Deploy).await,
            LogKind::RunRestarted => self.restarted(&question).await,
            LogKind::Build => self.kept(&question, Chapter::Build).await,
            LogKind::Deploy => self.kept(&question, Chapter::Deploy).await,
        }
    }

    /// Whether the component is a job, which has no instances. Without a deployment, a request for the log of a job is then
    /// about its newest run: a restart runs no job. Errors: the job did not run in the deployment, and never will.
    async fn choose_run_of_job(&self, question: &mut LogRequest) -> Result<bool, ControlError> {
        let Some(job) = question.component.clone() else { return Ok(false) };
        let asked = self.deployment(question).await?;
        let spec = app_spec::AppSpec::from_stored(&asked.spec).unwrap_or_default();
        if !spec.jobs.iter().any(|it| it.common.name == job) {
            return Ok(false);
        }
        let mut runs = self.store.job_runs_of(&question.app).await?;
        runs.retain(|it| it.job.as_str() == job);
        let has_run = runs.iter().any(|it| it.deployment == asked.id);
        let newest = runs.into_iter().max_by_key(|it| it.since).map(|it| it.deployment);
        match newest {
            Some(newest) if question.deployment.is_none() => question.deployment = Some(newest),
            Some(newest) if !has_run && asked.stage.is_ended() => {
                let app = self.store.app(&question.app).await?.map_or(question.app.to_string(), |it| it.name);
                let number =
                    self.store.deployment(&newest).await?.map_or(newest.to_string(), |it| it.number.to_string());
                return Err(ControlError::Invalid(format!(
                    "job {job} did not run in deployment {}. Its last run: boatyard apps logs {app} {job} --deployment {number}",
                    asked.number
                )));
            }
            _ => {}
        }
        Ok(true)
    }

    async fn running(self, question: LogRequest) -> Result<LogLines, ControlError> {
        if question.follow {
            return Ok(Following::begin(self, question).await?.lines().boxed());
        }
        let mut all = SelectAll::new();
        let secrets = self.secrets(&question).await?;
        for (component, name) in self.containers(&question).await? {
            let mut shown = Lines::new(&secrets);
            match self.lines_of(&name, &LogQuery { follow: false, tail: question.tail }).await {
                Ok(lines) => {
                    all.push(
                        lines.map(move |line| Ok(entry(&component, line.map_err(unreadable)?, &mut shown))).boxed(),
                    );
                }
                // The container was removed since the record was read.
                Err(engine::EngineError::NotFound { .. }) => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        Ok(all.boxed())
    }

    /// Returns what processes of instances wrote that have ended since, whether the engine or the controller restarted them.
    async fn restarted(&self, question: &LogRequest) -> Result<LogLines, ControlError> {
        let mut all = Vec::new();
        let secrets = self.secrets(question).await?;
        for (component, name) in self.containers(question).await? {
            let mut shown = Lines::new(&secrets);
            let details = self.watch.answer(NEEDED_WITHIN, self.engine.inspect(&name)).await.map_err(unreadable)?;
            let Some(earlier) = details.and_then(|it| restarts::earlier_runs(&it)) else { continue };
            let lines = match self.lines_of(&name, &LogQuery { follow: false, tail: None }).await {
                Ok(lines) => lines,
                // The container was removed since it was inspected.
                Err(engine::EngineError::NotFound { .. }) => continue,
                Err(error) => return Err(unreadable(error)),
            };
            let before = lines.try_filter(move |line| std::future::ready(earlier.contains(&line.timestamp)));
            let before = before.map_err(unreadable).map_ok(|line| entry(&component, line, &mut shown));
            all.extend(before.collect::<Vec<_>>().await);
        }
        Ok(stream::iter(last(all, question.tail)).boxed())
    }

    /// The lines of a container. The deadline is only for the beginning.
    async fn lines_of(&self, container: &str, query: &LogQuery) -> Result<engine::LogLines, engine::EngineError> {
        self.watch.answer(NEEDED_WITHIN, self.engine.logs(container, query)).await
    }

    /// The secrets that must not appear in any line of the app.
    async fn secrets(&self, question: &LogRequest) -> Result<Secrets, ControlError> {
        let state = self.store.app_state(&question.app).await?;
        Ok(Secrets::new(&state.as_ref().map(crate::app::secret_values).unwrap_or_default()))
    }

    async fn kept(&self, question: &LogRequest, chapter: Chapter) -> Result<LogLines, ControlError> {
        let deployment = self.deployment(question).await?;
        let spec = app_spec::AppSpec::from_stored(&deployment.spec).unwrap_or_default();
        let names: Vec<String> = spec.components().map(|it| it.name().to_owned()).collect();
        if let Some(component) = question.component.as_ref().filter(|it| !names.contains(it)) {
            return Err(ControlError::NotFound(format!("no component {component:?}.{}", closest(component, &names))));
        }
        let chosen = names.into_iter().filter(|it| question.component.as_ref().is_none_or(|wanted| wanted == it));
        let mut all = SelectAll::new();
        for component in chosen {
            let path = self.logbook.file(&question.app, &deployment.id, chapter, &component.as_str().into());
            let ended = Ended { store: self.store.clone(), deployment: deployment.id.clone() };
            all.push(self.file(path, component, question, ended));
        }
        let failed = deployment.failure.as_ref().and_then(|it| it.component.clone()).unwrap_or_else(|| "".into());
        let is_kept = self.logbook.holds(&question.app, &deployment.id, Chapter::Deploy, &failed);
        let is_wanted = question.component.as_deref().is_none_or(|it| it == failed.as_str());
        if chapter == Chapter::Deploy && !question.follow && !is_kept && is_wanted {
            // Older versions kept only these lines of a failed instance, without timestamps, so they all show when the
            // deployment entered its stage.
            let stamp = crate::clock::rfc3339(deployment.stage_since);
            let component = failed.to_string();
            let lines = last(deployment.log_tail.clone(), question.tail).map(move |text| {
                Ok(LogEntry { component: component.clone(), timestamp: stamp.clone(), text: escaped(&text) })
            });
            all.push(stream::iter(lines.collect::<Vec<_>>()).boxed());
        }
        Ok(all.boxed())
    }

    async fn deployment(&self, question: &LogRequest) -> Result<Deployment, ControlError> {
        let of_app = |it: &Deployment| it.app == question.app;
        let id = match &question.deployment {
            Some(id) => Some(id.clone()),
            None => self.store.app(&question.app).await?.and_then(|it| it.active),
        };
        let found = match id {
            Some(id) => self.store.deployment(&id).await?,
            None => self.store.deployments(&question.app, 0, 1).await?.0.into_iter().next(),
        };
        found.filter(of_app).ok_or_else(|| ControlError::NotFound("no such deployment of this app".into()))
    }

    fn file(&self, path: PathBuf, component: String, question: &LogRequest, ended: Ended) -> LogLines {
        let (follow, tail) = (question.follow, question.tail);
        stream::once(async move { lines_of(path, component, follow, tail, ended).await }).flatten().boxed()
    }
}

/// Whether a deployment has ended, so that its logs are complete.
struct Ended {
    store: Store,
    deployment: DeploymentId,
}

impl Ended {
    async fn check(&self) -> bool {
        !matches!(self.store.deployment(&self.deployment).await, Ok(Some(it)) if !it.stage.is_ended() && it.stage != Stage::RollingBack)
    }
}

async fn lines_of(path: PathBuf, component: String, follow: bool, tail: Option<usize>, ended: Ended) -> LogLines {
    let mut first = Vec::new();
    let mut reader = open(&path).await;
    if let Some(reader) = &mut reader {
        while let Some(line) = next_line(reader).await {
            first.push(Ok(parsed(&component, &line)));
        }
    }
    let first = stream::iter(last(first, tail));
    if !follow {
        return first.boxed();
    }
    let more = stream::unfold((reader, path, component, ended), |(mut reader, path, component, ended)| async move {
        loop {
            let was_ended = ended.check().await;
            if reader.is_none() {
                reader = open(&path).await;
            }
            if let Some(line) = match &mut reader {
                Some(reader) => next_line(reader).await,
                None => None,
            } {
                let entry = parsed(&component, &line);
                return Some((Ok(entry), (reader, path, component, ended)));
            }
            // Checked before reading, so that a deployment that had ended has no unread lines left.
            if was_ended {
                return None;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    first.chain(more).boxed()
}

/// The last `tail` items; all of them for `None`.
fn last<T>(all: Vec<T>, tail: Option<usize>) -> impl Iterator<Item = T> {
    let skip = tail.map_or(0, |tail| all.len().saturating_sub(tail));
    all.into_iter().skip(skip)
}

type Reader = BufReader<tokio::fs::File>;

async fn open(path: &PathBuf) -> Option<Reader> {
    tokio::fs::File::open(path).await.ok().map(BufReader::new)
}

async fn next_line(reader: &mut Reader) -> Option<String> {
    let mut line = Vec::new();
    reader.take(LONGEST_KEPT_LINE).read_until(b'\n', &mut line).await.ok().filter(|read| *read > 0)?;
    Some(String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned())
}

/// Parses `timestamp text`, the format of the logbook. Escapes once more, in case an older version or a person wrote the file.
fn parsed(component: &str, line: &str) -> LogEntry {
    let (timestamp, text) = line.split_once(' ').unwrap_or((line, ""));
    LogEntry { component: component.to_owned(), timestamp: escaped(timestamp), text: shortened(escaped(text), 0) }
}

fn entry(component: &str, line: engine::LogLine, shown: &mut Lines) -> LogEntry {
    let text = shown.shown(&line);
    LogEntry { component: component.to_owned(), timestamp: line.timestamp, text }
}

fn unreadable(error: engine::EngineError) -> ControlError {
    ControlError::of_engine("the log cannot be read", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_line_has_no_control_characters_and_is_not_escaped_twice() {
        let text = |line: &str| parsed("web", line).text;
        assert_eq!(text("2026-03-01T10:00:00Z a\u{1b}[2J\u{9b}1m\u{202e}b\tc"), "a\\u{1b}[2J\\u{9b}1m\\u{202e}b\tc");
        assert_eq!(text("2026-03-01T10:00:00Z \\u{1b}[2J"), "\\u{1b}[2J");
        assert_eq!(parsed("web", "\u{1b}[2J").timestamp, "\\u{1b}[2J");
    }
}
