//! The access log: a line for each request, written when the request ends.
//!
//! A thread writes the lines. The queue to it is bounded: if the disk is slower than the traffic, lines are dropped and
//! counted, and no request waits.
//!
//! Values of query parameters are not logged, because they may be secrets (tokens in links, signatures, searches).
//! Nor are headers and bodies.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HOST, HeaderMap, HeaderValue};
use hyper::{Method, StatusCode, Uri, Version};
use serde_json::json;
use tokio::sync::oneshot;

use crate::log_rotation;
use crate::protocol::AccessLogFormat;

/// Lines that wait for the thread. Our choice: a line of usual length takes about 400 bytes, and no line more than 6 KiB.
const QUEUE: usize = 8192;
/// A larger file is rotated. Our choice: with [`log_rotation::KEPT`] older files, the log takes at most 320 MiB.
const FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Longer hosts and paths are cut off in the log, and longer methods.
const LONGEST_TEXT: usize = 2048;
const LONGEST_METHOD: usize = 32;
/// How often a flush looks whether the queue has room.
const ROOM_EVERY: Duration = Duration::from_millis(10);
/// How often the thread looks whether the file was moved away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The access log of one process.
#[derive(Debug)]
pub(crate) struct AccessLog {
    path: PathBuf,
    format: AtomicU8,
    queue: OnceLock<SyncSender<Entry>>,
    dropped: AtomicU64,
}

impl AccessLog {
    /// Writes nothing until [`AccessLog::set_format`].
    pub fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(AccessLog { path, format: AtomicU8::new(0), queue: OnceLock::new(), dropped: AtomicU64::new(0) })
    }

    pub fn set_format(&self, format: AccessLogFormat) {
        self.format.store(number_of(format), Relaxed);
        if format != AccessLogFormat::Off {
            self.queue.get_or_init(|| start_writer(self.path.clone()));
        }
    }

    pub fn format(&self) -> AccessLogFormat {
        match self.format.load(Relaxed) {
            1 => AccessLogFormat::Text,
            2 => AccessLogFormat::Json,
            _ => AccessLogFormat::Off,
        }
    }

    /// Lines that were dropped because the thread was behind.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Returns once the lines so far are written, after `limit` at the latest.
    pub async fn flush(&self, limit: Duration) {
        let Some(queue) = self.queue.get() else { return };
        let (written, waiting) = oneshot::channel();
        let flushing = async {
            let mut entry = Entry::Flush(written);
            while let Err(TrySendError::Full(back)) = queue.try_send(entry) {
                entry = back;
                tokio::time::sleep(ROOM_EVERY).await;
            }
            // An error means that the thread could not write the lines, which it has reported.
            let _ = waiting.await;
        };
        if tokio::time::timeout(limit, flushing).await.is_err() {
            tracing::warn!(
                limit_seconds = limit.as_secs(),
                "the last lines of the access log were not written in time"
            );
        }
    }

    fn write(&self, line: Line) {
        let Some(queue) = self.queue.get() else { return };
        if queue.try_send(Entry::Line(line)).is_err() {
            let dropped = self.dropped.fetch_add(1, Relaxed) + 1;
            if dropped.is_power_of_two() {
                tracing::warn!(dropped, "the access log cannot be written as fast as requests end; lines are dropped");
            }
        }
    }
}

fn number_of(format: AccessLogFormat) -> u8 {
    match format {
        AccessLogFormat::Off => 0,
        AccessLogFormat::Text => 1,
        AccessLogFormat::Json => 2,
    }
}

/// One request that will get a line. The line is written when this is dropped.
#[derive(Debug)]
pub(crate) struct AccessLogEntry {
    log: Arc<AccessLog>,
    began: Instant,
    admissions: u32,
    line: Line,
}

impl AccessLogEntry {
    /// `None`: the log is off.
    pub fn begin(
        log: &Arc<AccessLog>,
        (id, client): (&HeaderValue, &HeaderValue),
        (method, uri, version): (&Method, &Uri, Version),
        headers: &HeaderMap,
    ) -> Option<Box<Self>> {
        let format = log.format();
        if format == AccessLogFormat::Off {
            return None;
        }
        let host = headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        let host = host.or_else(|| uri.authority().map(ToString::to_string)).unwrap_or_default();
        let line = Line {
            format,
            host: cut(&host, LONGEST_TEXT),
            path: cut(&logged_path(uri), LONGEST_TEXT),
            method: cut(method.as_str(), LONGEST_METHOD),
            protocol: protocol_name(version),
            ..Line::new(format, id, client)
        };
        Some(Box::new(AccessLogEntry { log: Arc::clone(log), began: Instant::now(), admissions: 0, line }))
    }

    /// A request whose head could not be read.
    pub fn unreadable(log: &Arc<AccessLog>, id: &HeaderValue, client: &HeaderValue, status: StatusCode) {
        let format = log.format();
        if format != AccessLogFormat::Off {
            let mut line = Line::new(format, id, client);
            (line.status, line.refusal) = (Some(status), Some("malformed-request"));
            log.write(line);
        }
    }

    /// The address of the client, if a trusted proxy says another one.
    pub fn came_from(&mut self, client: &HeaderValue) {
        if self.line.client.as_bytes() != client.as_bytes() {
            self.line.client = String::from_utf8_lossy(client.as_bytes()).into_owned();
        }
    }

    pub fn matched(&mut self, app: &str, component: &str) {
        app.clone_into(&mut self.line.app);
        component.clone_into(&mut self.line.component);
    }

    /// An instance gets the request.
    pub fn admitted(&mut self, instance: &str) {
        instance.clone_into(&mut self.line.instance);
        self.line.retries = self.admissions;
        self.admissions += 1;
    }

    /// The ingress answers with an error of its own.
    pub fn refused(&mut self, code: &'static str) {
        self.line.refusal = Some(code);
    }

    pub fn answered(&mut self, status: StatusCode) {
        self.line.status = Some(status);
    }
}

impl Drop for AccessLogEntry {
    fn drop(&mut self) {
        self.line.duration = self.began.elapsed();
        let line = std::mem::replace(&mut self.line, Line::empty());
        self.log.write(line);
    }
}

/// A response body, whose bytes are counted for the log.
#[derive(Debug)]
pub(crate) struct LoggedBody<B> {
    pub body: B,
    pub entry: Option<Box<AccessLogEntry>>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for LoggedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(entry) = &mut self.entry {
            match &frame {
                Poll::Ready(Some(Ok(frame))) => {
                    entry.line.bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
                }
                Poll::Ready(Some(Err(_))) => entry.line.cut = true,
                Poll::Ready(None) | Poll::Pending => {}
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What the thread gets.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "all entries but the last one are lines")]
enum Entry {
    Line(Line),
    /// Answered after the lines before it are written.
    Flush(oneshot::Sender<()>),
}

/// What the log says about one request.
#[derive(Debug)]
struct Line {
    format: AccessLogFormat,
    time: SystemTime,
    id: String,
    client: String,
    method: String,
    host: String,
    path: String,
    protocol: &'static str,
    /// `None`: the client left before there was an answer.
    status: Option<StatusCode>,
    /// Bytes of the response body that were handed over for sending.
    bytes: u64,
    /// The response body ended early.
    cut: bool,
    duration: Duration,
    app: String,
    component: String,
    instance: String,
    retries: u32,
    /// The code of the error with which the ingress itself answered.
    refusal: Option<&'static str>,
}

impl Line {
    fn new(format: AccessLogFormat, id: &HeaderValue, client: &HeaderValue) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Line { format, time: SystemTime::now(), id: text(id), client: text(client), ..Line::empty() }
    }

    fn empty() -> Self {
        Line {
            format: AccessLogFormat::Off,
            time: SystemTime::UNIX_EPOCH,
            id: String::new(),
            client: String::new(),
            method: String::new(),
            host: String::new(),
            path: String::new(),
            protocol: "",
            status: None,
            bytes: 0,
            cut: false,
            duration: Duration::ZERO,
            app: String::new(),
            component: String::new(),
            instance: String::new(),
            retries: 0,
            refusal: None,
        }
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        if self.format == AccessLogFormat::Json {
            let time = timestamp(self.time);
            let line = json!({
                "time": time, "request_id": self.id, "client": self.client, "method": self.method, "host": self.host,
                "path": self.path, "protocol": self.protocol, "status": self.status.map(|it| it.as_u16()),
                "bytes": self.bytes, "cut": self.cut, "duration_ms": millis(self.duration), "app": self.app,
                "component": self.component, "instance": self.instance, "retries": self.retries,
                "error": self.refusal,
            });
            return writeln!(out, "{line}");
        }
        let status = self.status.map_or_else(|| "-".to_owned(), |it| it.as_u16().to_string());
        writeln!(
            out,
            "{} {} {} {} {} {} {} {status} {}{} {:.3} {} {} {} {} {}",
            timestamp(self.time),
            word(&self.id),
            word(&self.client),
            word(&self.method),
            word(&self.host),
            word(&self.path),
            word(self.protocol),
            self.bytes,
            if self.cut { "!" } else { "" },
            millis(self.duration),
            word(&self.app),
            word(&self.component),
            word(&self.instance),
            self.retries,
            word(self.refusal.unwrap_or_default()),
        )
    }
}

fn millis(duration: Duration) -> f64 {
    // Microseconds of a day are far below the precision of a float.
    #[expect(clippy::cast_precision_loss, reason = "the comment above says why it is harmless")]
    let micros = duration.as_micros() as f64;
    micros / 1000.0
}

/// A field of the text format: one word, without characters that could end the line or act on a terminal.
fn word(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    let mut word = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => word.push_str("\\\\"),
            graphic if graphic.is_ascii_graphic() => word.push(graphic),
            other => word.extend(other.escape_unicode()),
        }
    }
    word
}

/// A copy of a text, at most about this number of bytes.
fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let at = (0..=longest).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..at])
}

/// The path, and the names of the query's parameters. A parameter without a name may be a secret as a whole.
fn logged_path(uri: &Uri) -> String {
    let mut path = uri.path().to_owned();
    for (at, part) in uri.query().into_iter().flat_map(|query| query.split('&')).enumerate() {
        if path.len() > LONGEST_TEXT {
            break;
        }
        path.push(if at == 0 { '?' } else { '&' });
        if let Some((name, _)) = part.split_once('=') {
            path.push_str(name);
            path.push('=');
        }
        path.push('*');
    }
    path
}

fn protocol_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2",
        _ => "",
    }
}

/// In UTC, with milliseconds.
fn timestamp(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn start_writer(path: PathBuf) -> SyncSender<Entry> {
    let (queue, entries) = sync_channel(QUEUE);
    let spawned = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || write_lines(&path, &entries));
    if let Err(error) = spawned {
        tracing::error!(%error, "cannot start the thread that writes the access log; it stays empty");
    }
    queue
}

/// Writes the lines that wait, and flushes when there are no more.
fn write_lines(path: &Path, entries: &Receiver<Entry>) {
    let (mut file, mut fails) = (LogFile { path: path.to_owned(), open: None }, false);
    while let Ok(first) = entries.recv() {
        let mut flushes = Vec::new();
        let waiting = std::iter::from_fn(|| entries.try_recv().ok());
        let written = [first].into_iter().chain(waiting).try_for_each(|entry| match entry {
            Entry::Line(line) => file.write(&line),
            Entry::Flush(written) => {
                flushes.push(written);
                Ok(())
            }
        });
        let written = written.and_then(|()| file.flush());
        if let Err(error) = &written {
            file.open = None;
            if !fails {
                tracing::warn!(file = %path.display(), %error, "cannot write the access log; lines are lost until it can be written");
            }
        }
        fails = written.is_err();
        for written in flushes {
            // The process may not wait any more.
            let _ = written.send(());
        }
    }
}

/// The file that is written to, opened when it is needed.
struct LogFile {
    path: PathBuf,
    open: Option<OpenFile>,
}

struct OpenFile {
    out: BufWriter<File>,
    size: u64,
    looked: Instant,
}

impl LogFile {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = Vec::with_capacity(256);
        line.write_to(&mut text)?;
        let open = self.file()?;
        open.size += text.len() as u64;
        open.out.write_all(&text)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.as_mut().map_or(Ok(()), |open| open.out.flush())
    }

    /// The open file; a new one if that has become too large, or if another program has moved it away.
    fn file(&mut self) -> io::Result<&mut OpenFile> {
        if let Some(open) = &mut self.open
            && (open.size > FILE_BYTES || open.looked.elapsed() > LOOK_EVERY)
        {
            open.looked = Instant::now();
            let is_ours = log_rotation::is_at(open.out.get_ref(), &self.path);
            if open.size > FILE_BYTES || !is_ours {
                open.out.flush()?;
                let is_full = open.size > FILE_BYTES && is_ours;
                self.open = None;
                if is_full {
                    log_rotation::rotate(&self.path)?;
                }
            }
        }
        match &mut self.open {
            Some(open) => Ok(open),
            none => {
                let file = log_rotation::open(&self.path)?;
                let size = file.metadata()?.len();
                Ok(none.insert(OpenFile { out: BufWriter::new(file), size, looked: Instant::now() }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn line(format: AccessLogFormat) -> Line {
        Line {
            format,
            id: "id-1".to_owned(),
            client: "192.0.2.1".to_owned(),
            method: "GET".to_owned(),
            host: "shop.localhost:8080".to_owned(),
            path: "/a?b=*".to_owned(),
            protocol: "HTTP/1.1",
            status: Some(StatusCode::OK),
            bytes: 12,
            duration: Duration::from_micros(1500),
            app: "6f1c".to_owned(),
            component: "web".to_owned(),
            instance: "web.0".to_owned(),
            retries: 1,
            ..Line::empty()
        }
    }

    fn text(line: &Line) -> String {
        let mut text = Vec::new();
        line.write_to(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_line_of_text_has_its_fields_in_order() {
        let expected = "1970-01-01T00:00:00.000Z id-1 192.0.2.1 GET shop.localhost:8080 /a?b=* HTTP/1.1 200 12 1.500 6f1c web \
                        web.0 1 -\n";
        assert_eq!(text(&line(AccessLogFormat::Text)), expected);
        let unfinished = Line { status: None, cut: true, ..line(AccessLogFormat::Text) };
        assert!(text(&unfinished).contains(" HTTP/1.1 - 12! "), "{}", text(&unfinished));
    }

    #[test]
    fn a_line_of_json_names_its_fields() {
        let value: serde_json::Value = serde_json::from_str(&text(&line(AccessLogFormat::Json))).unwrap();
        assert_eq!(value["request_id"], "id-1");
        assert_eq!((value["status"].as_u64(), value["duration_ms"].as_f64()), (Some(200), Some(1.5)));
        assert!(value["error"].is_null());
    }

    #[test]
    fn no_field_can_end_a_line_or_act_on_a_terminal() {
        let bad = Line { host: "a b\r\nGET\u{1b}[2J\\é".to_owned(), ..line(AccessLogFormat::Text) };
        let written = text(&bad);
        assert_eq!((written.lines().count(), written.split(' ').count()), (1, 15), "{written}");
        assert!(written.chars().all(|it| it == '\n' || it == ' ' || it.is_ascii_graphic()), "{written:?}");
        let json = text(&Line { format: AccessLogFormat::Json, ..bad });
        assert!(json.lines().count() == 1 && !json.contains('\u{1b}'), "{json:?}");
    }

    #[test]
    fn values_of_parameters_are_not_logged() {
        for (asked, logged) in [
            ("/a", "/a"),
            ("/a?token=abc&page=2", "/a?token=*&page=*"),
            ("/a?abc", "/a?*"),
            ("/a?", "/a?*"),
            ("/a?b=c=d", "/a?b=*"),
        ] {
            assert_eq!(logged_path(&asked.parse().unwrap()), logged, "{asked}");
        }
    }

    #[test]
    fn long_texts_are_cut_off_between_characters() {
        assert_eq!(cut(&"é".repeat(10), LONGEST_TEXT), "é".repeat(10));
        let long = cut(&format!("x{}", "é".repeat(LONGEST_TEXT)), LONGEST_TEXT);
        assert!(long.len() <= LONGEST_TEXT + 3 && long.ends_with("é…"));
    }

    #[test]
    fn lines_are_written_and_the_file_follows_when_it_is_moved_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut file = LogFile { path: path.clone(), open: None };
        file.write(&line(AccessLogFormat::Text)).unwrap();
        file.flush().unwrap();
        std::fs::rename(&path, folder.path().join("moved")).unwrap();
        // As if the thread had looked long ago.
        file.open.as_mut().unwrap().looked -= 2 * LOOK_EVERY;
        file.write(&line(AccessLogFormat::Json)).unwrap();
        file.flush().unwrap();
        let lines = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(lines("moved").starts_with("1970-") && lines("access.log").starts_with('{'));
    }

    #[test]
    fn a_large_file_is_rotated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut file = LogFile { path: path.clone(), open: None };
        file.write(&line(AccessLogFormat::Text)).unwrap();
        file.open.as_mut().unwrap().size = FILE_BYTES + 1;
        file.write(&line(AccessLogFormat::Text)).unwrap();
        file.flush().unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
        assert_eq!((read(&path), read(&folder.path().join("access.log.1"))), (1, 1));
    }

    #[tokio::test]
    async fn a_flush_follows_the_lines_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = AccessLog::new(folder.path().join("access.log"));
        log.flush(Duration::from_secs(300)).await;
        log.set_format(AccessLogFormat::Text);
        for _ in 0..QUEUE {
            log.write(line(AccessLogFormat::Text));
        }
        log.flush(Duration::from_secs(300)).await;
        let written = std::fs::read_to_string(folder.path().join("access.log")).unwrap().lines().count();
        assert_eq!(written as u64 + log.dropped(), QUEUE as u64);
    }

    #[tokio::test]
    async fn a_disk_that_hangs_delays_a_flush_only_until_its_limit() {
        let log = AccessLog::new("/nonexistent/access.log".into());
        let (queue, waiting) = sync_channel(1);
        log.queue.set(queue).unwrap();
        // With room for the flush, and without.
        for _ in 0..2 {
            let (began, limit) = (Instant::now(), Duration::from_millis(20));
            log.flush(limit).await;
            assert!(began.elapsed() >= limit);
        }
        assert_eq!(waiting.try_iter().count(), 1);
    }

    #[test]
    fn a_full_queue_drops_lines_and_counts_them() {
        let log = AccessLog::new("/nonexistent/access.log".into());
        let (queue, waiting) = sync_channel(1);
        log.queue.set(queue).unwrap();
        for _ in 0..3 {
            log.write(line(AccessLogFormat::Text));
        }
        assert_eq!((log.dropped(), waiting.try_iter().count()), (2, 1));
    }
}
