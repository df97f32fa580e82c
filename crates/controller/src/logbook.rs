//! Logs that remain after their container is gone: builds, jobs and failed instances. The data directory holds one file
//! per component.
//!
//! A line is `timestamp text`. Before a line is written, known secrets are replaced ([`crate::redact`]) and control
//! characters are escaped. A file ends at [`FILE_LIMIT`].

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use builder::LogSink;
use engine::{Engine, LogLine, LogQuery, LogStream};
use futures::StreamExt;
use rollout::ids::{AppId, ComponentName, DeploymentId};
use tracing::warn;

use crate::clock;
use crate::redact::{Redactor, Secrets};

/// The longest log. A longer log is cut, and its last line reports that.
const FILE_LIMIT: u64 = 16 << 20;
/// The longest line. It is below 64 KiB, the longest line that doctl reads.
const LONGEST_LINE: usize = 60 * 1024;
const KEEP_WITHIN: Duration = Duration::from_secs(20);

/// Directory of the log files.
#[derive(Debug, Clone)]
pub(crate) struct Logbook {
    root: PathBuf,
}

/// The part of a deployment that a log is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chapter {
    Build,
    Deploy,
}

impl Chapter {
    fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
        }
    }
}

impl Logbook {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn file(&self, app: &AppId, deployment: &DeploymentId, chapter: Chapter, component: &ComponentName) -> PathBuf {
        self.folder(app, deployment).join(format!("{component}.{}.log", chapter.as_str()))
    }

    /// Whether the log exists and is not empty.
    pub fn holds(&self, app: &AppId, deployment: &DeploymentId, chapter: Chapter, component: &ComponentName) -> bool {
        std::fs::metadata(self.file(app, deployment, chapter, component)).is_ok_and(|it| it.len() > 0)
    }

    fn folder(&self, app: &AppId, deployment: &DeploymentId) -> PathBuf {
        self.root.join(app.as_str()).join(deployment.as_str())
    }

    /// Returns a sink for the build log of one component. With `append` it appends to the existing log, otherwise it
    /// starts a new one.
    pub fn build_sink(
        &self,
        app: &AppId,
        deployment: &DeploymentId,
        component: &ComponentName,
        secrets: &Secrets,
        append: bool,
    ) -> LogSink {
        let path = self.file(app, deployment, Chapter::Build, component);
        let writer = if append { Writer::append(&path) } else { Writer::begin(&path) };
        let writer = Mutex::new((secrets.redactor(), writer));
        Arc::new(move |line: &str| {
            let (redactor, writer) = &mut *writer.lock().expect("no code panics while it holds the lock");
            writer.line(&shown(redactor, line, 0));
        })
    }

    /// Copies a container's output into the deployment's log, before the container is removed. `tail`: only the last lines.
    #[expect(clippy::too_many_arguments, reason = "each names one part of the copy")]
    pub async fn keep_container_log(
        &self,
        engine: &dyn Engine,
        app: &AppId,
        deployment: &DeploymentId,
        component: &ComponentName,
        container: &str,
        tail: Option<usize>,
        secrets: &Secrets,
    ) {
        let mut lines_shown = Lines::new(secrets);
        let copy = async {
            let mut lines = engine.logs(container, &LogQuery { follow: false, tail }).await?;
            let mut writer = Writer::begin(&self.file(app, deployment, Chapter::Deploy, component));
            while let Some(line) = lines.next().await {
                let line = line?;
                writer.stamped(&line.timestamp, &lines_shown.shown(&line));
            }
            Ok::<(), engine::EngineError>(())
        };
        match tokio::time::timeout(KEEP_WITHIN, copy).await {
            Ok(Ok(()) | Err(engine::EngineError::NotFound { .. })) => {}
            Ok(Err(error)) => warn!(container, %error, "the log of a container could not be saved"),
            Err(_) => warn!(container, "the log of a container could not be saved in time"),
        }
    }

    /// Removes all logs of an app.
    pub async fn forget(&self, app: &AppId) {
        remove(&self.root.join(app.as_str())).await;
    }

    /// Removes all logs of one deployment.
    pub async fn forget_deployment(&self, app: &AppId, deployment: &DeploymentId) {
        remove(&self.folder(app, deployment)).await;
    }
}

async fn remove(folder: &Path) {
    match tokio::fs::remove_dir_all(folder).await {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => warn!(folder = %folder.display(), %error, "old logs could not be removed"),
    }
}

/// Prepares the output of one container for people: replaces secrets, escapes control characters and cuts long lines.
pub(crate) struct Lines {
    out: Redactor,
    err: Redactor,
}

impl Lines {
    pub fn new(secrets: &Secrets) -> Self {
        Self { out: secrets.redactor(), err: secrets.redactor() }
    }

    /// Returns the next line.
    pub fn shown(&mut self, line: &LogLine) -> String {
        let redactor = match line.stream {
            LogStream::Out => &mut self.out,
            LogStream::Err => &mut self.err,
        };
        shown(redactor, &line.text, line.cut)
    }
}

/// `cut`: how many bytes of the line are already missing.
fn shown(redactor: &mut Redactor, line: &str, cut: usize) -> String {
    shortened(escaped(&redactor.line(line)), cut)
}

/// Cuts a long text, and appends a mark that says how many bytes are missing. `cut`: how many are already missing.
pub(crate) fn shortened(mut text: String, cut: usize) -> String {
    let mut kept = text.len().min(LONGEST_LINE);
    while !text.is_char_boundary(kept) {
        kept -= 1;
    }
    let missing = text.len() - kept + cut;
    text.truncate(kept);
    if missing > 0 {
        text.push_str(&format!("… ({missing} more bytes cut)"));
    }
    text
}

/// Writes one log file. Logs the first write error and then drops all lines, because a full disk must not fail a build.
struct Writer {
    file: Option<File>,
    written: u64,
}

impl Writer {
    fn begin(path: &Path) -> Self {
        Self::open(path, OpenOptions::new().write(true).truncate(true))
    }

    fn append(path: &Path) -> Self {
        Self::open(path, OpenOptions::new().append(true))
    }

    fn open(path: &Path, options: &mut OpenOptions) -> Self {
        let mut open = || {
            if let Some(folder) = path.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            let file = options.create(true).mode(0o600).open(path)?;
            let written = file.metadata()?.len();
            Ok::<_, std::io::Error>((file, written))
        };
        match open() {
            Ok((file, written)) => Self { file: Some(file), written },
            Err(error) => {
                warn!(path = %path.display(), %error, "a log file cannot be written");
                Self { file: None, written: 0 }
            }
        }
    }

    fn line(&mut self, text: &str) {
        self.stamped(&clock::rfc3339(clock::now()), text);
    }

    fn stamped(&mut self, timestamp: &str, text: &str) {
        let Some(file) = &mut self.file else { return };
        let line = if self.written + text.len() as u64 > FILE_LIMIT {
            format!("{timestamp} (the log ends here: it reached {} MiB)\n", FILE_LIMIT >> 20)
        } else {
            format!("{timestamp} {text}\n")
        };
        self.written += line.len() as u64;
        let full = file.write_all(line.as_bytes()).is_err() || self.written > FILE_LIMIT;
        if full {
            self.file = None;
        }
    }
}

/// Escapes as `\u{…}` all characters that control a terminal, forge a line, change the direction of text or are
/// invisible. Tabs stay.
pub(crate) fn escaped(text: &str) -> String {
    let dangerous = |c: char| c != '\t' && app_spec::is_deceptive(c);
    if !text.chars().any(dangerous) {
        return text.to_owned();
    }
    text.chars().map(|c| if dangerous(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_control_characters_do_not_reach_a_log() {
        let mut redactor = Secrets::new(&["hunter2hunter2".into()]).redactor();
        assert_eq!(shown(&mut redactor, "pw=hunter2hunter2;\r", 0), "pw=[secret];\\u{d}");
        assert_eq!(shown(&mut redactor, "\u{1b}[31mred\r\u{202e}", 0), "\\u{1b}[31mred\\u{d}\\u{202e}");
    }

    #[test]
    fn a_long_line_is_cut_with_a_mark_that_counts_what_is_missing() {
        assert_eq!(shortened("short".into(), 0), "short");
        assert_eq!(shortened("cut by the engine".into(), 38_000), "cut by the engine… (38000 more bytes cut)");
        let long = shortened("ä".repeat(LONGEST_LINE), 10);
        assert!(long.ends_with(&format!("ä… ({} more bytes cut)", LONGEST_LINE + 10)), "{}", &long[LONGEST_LINE..]);
    }

    #[test]
    fn a_log_is_appended_to_or_started_anew() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("web.build.log");
        let lines = || std::fs::read_to_string(&path).expect("written").lines().count();
        Writer::begin(&path).line("one");
        Writer::append(&path).line("two");
        assert_eq!(lines(), 2);
        Writer::begin(&path).line("anew");
        assert_eq!(lines(), 1);
    }

    #[test]
    fn a_log_that_is_cut_at_its_limit_ends_with_a_note() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a/b/web.build.log");
        let mut writer = Writer::begin(&path);
        let long = "x".repeat(1 << 20);
        (0..20).for_each(|_| writer.line(&long));
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(text.len() as u64 <= FILE_LIMIT + 4096, "{}", text.len());
        assert!(text.ends_with("(the log ends here: it reached 16 MiB)\n"));
    }
}
