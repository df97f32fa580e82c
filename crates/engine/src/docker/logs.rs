//! Container output, line by line.
//!
//! The engine sends one frame for each piece of at most 16 KiB, with a timestamp. The pieces of a longer line follow
//! each other without a line end. This module joins them, cuts lines at 64 KiB and counts the bytes it cut, and keeps
//! the timestamp of the first piece.

use std::collections::VecDeque;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::lookup::missing;
use super::{DEADLINE, DockerEngine, failure};
use crate::error::EngineError;
use crate::port::{LogLine, LogLines, LogQuery, LogStream};

/// Longest line that is kept; the rest is only counted.
const LINE_LIMIT: usize = 64 * 1024;

impl DockerEngine {
    pub(super) async fn container_logs(&self, name: &str, query: &LogQuery) -> Result<LogLines, EngineError> {
        let container = self.find(name).await?.ok_or_else(|| missing(name))?;
        let tail = query.tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(query.follow)
            .tail(&tail)
            .build();
        let (socket, follow) = (self.socket.clone(), query.follow);
        let frames = self
            .docker
            .logs(&container.id, Some(options))
            .map(move |frame| frame.map_err(|error| failure::translate(&socket, "logs", error)));
        Ok(lines(frames.boxed(), follow).boxed())
    }
}

/// State of the line stream: frames still to read, and incomplete lines.
struct Reader<S> {
    frames: S,
    follow: bool,
    ready: VecDeque<Result<LogLine, EngineError>>,
    lines: Joiner,
    ended: bool,
}

fn lines<S>(frames: S, follow: bool) -> impl Stream<Item = Result<LogLine, EngineError>>
where
    S: Stream<Item = Result<LogOutput, EngineError>> + Unpin,
{
    let reader = Reader { frames, follow, ready: VecDeque::new(), lines: Joiner::default(), ended: false };
    futures::stream::unfold(reader, |mut reader| async move {
        loop {
            if let Some(line) = reader.ready.pop_front() {
                return Some((line, reader));
            }
            if reader.ended {
                return None;
            }
            reader.read().await;
        }
    })
}

impl<S: Stream<Item = Result<LogOutput, EngineError>> + Unpin> Reader<S> {
    async fn read(&mut self) {
        // A reader that follows may wait without limit for a silent container; a reader of existing output may not.
        let frame = if self.follow {
            self.frames.next().await
        } else {
            let stalled = EngineError::Timeout { verb: "logs", after: DEADLINE };
            tokio::time::timeout(DEADLINE, self.frames.next()).await.unwrap_or(Some(Err(stalled)))
        };
        match frame {
            Some(Ok(LogOutput::StdOut { message } | LogOutput::Console { message })) => {
                self.ready.extend(self.lines.push(LogStream::Out, &message).map(Ok));
            }
            Some(Ok(LogOutput::StdErr { message })) => {
                self.ready.extend(self.lines.push(LogStream::Err, &message).map(Ok));
            }
            Some(Ok(LogOutput::StdIn { .. })) => {}
            Some(Err(error)) => {
                self.finish();
                self.ready.push_back(Err(error));
            }
            None => self.finish(),
        }
    }

    fn finish(&mut self) {
        self.ended = true;
        self.ready.extend(self.lines.rest().into_iter().map(Ok));
    }
}

/// Joins pieces to lines, for each output stream.
#[derive(Default)]
struct Joiner {
    out: Option<Piece>,
    err: Option<Piece>,
}

struct Piece {
    timestamp: String,
    bytes: Vec<u8>,
    cut: usize,
}

impl Joiner {
    /// Takes one frame, `STAMP text`; returns the line when it is complete.
    fn push(&mut self, stream: LogStream, frame: &Bytes) -> std::option::IntoIter<LogLine> {
        let (timestamp, text) = split_stamp(frame);
        let whole = text.ends_with(b"\n");
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let slot = self.slot(stream);
        let piece = slot.get_or_insert_with(|| Piece { timestamp, bytes: Vec::new(), cut: 0 });
        let room = LINE_LIMIT.saturating_sub(piece.bytes.len());
        piece.bytes.extend_from_slice(&text[..text.len().min(room)]);
        piece.cut += text.len().saturating_sub(room);
        let line = if whole { slot.take().map(|piece| piece.line(stream)) } else { None };
        line.into_iter()
    }

    /// Incomplete lines at the end of the log.
    fn rest(&mut self) -> Vec<LogLine> {
        let mut rest: Vec<LogLine> = [LogStream::Out, LogStream::Err]
            .into_iter()
            .filter_map(|stream| self.slot(stream).take().map(|piece| piece.line(stream)))
            .collect();
        rest.sort_by(|a, b| a.timestamp.cmp(&b.timestamp));
        rest
    }

    fn slot(&mut self, stream: LogStream) -> &mut Option<Piece> {
        match stream {
            LogStream::Out => &mut self.out,
            LogStream::Err => &mut self.err,
        }
    }
}

impl Piece {
    fn line(self, stream: LogStream) -> LogLine {
        let bytes = self.bytes.strip_suffix(b"\r").unwrap_or(&self.bytes);
        LogLine { stream, timestamp: self.timestamp, text: String::from_utf8_lossy(bytes).into_owned(), cut: self.cut }
    }
}

fn split_stamp(frame: &[u8]) -> (String, &[u8]) {
    match frame.iter().position(|byte| *byte == b' ') {
        Some(at) => (String::from_utf8_lossy(&frame[..at]).into_owned(), &frame[at + 1..]),
        None => (String::new(), frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> Result<LogOutput, EngineError> {
        Ok(LogOutput::StdOut { message: Bytes::copy_from_slice(text.as_bytes()) })
    }

    async fn read(frames: Vec<Result<LogOutput, EngineError>>) -> Vec<LogLine> {
        let lines: Vec<_> = lines(futures::stream::iter(frames), false).collect().await;
        lines.into_iter().map(|line| line.expect("no error among the frames")).collect()
    }

    #[tokio::test]
    async fn pieces_of_a_long_line_are_joined_under_their_first_stamp() {
        let frames = vec![out("2026-01-01T00:00:00.1Z abc"), out("2026-01-01T00:00:00.2Z def\n"), out("T3 next\r\n")];
        let lines = read(frames).await;
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].text.as_str(), lines[0].timestamp.as_str()), ("abcdef", "2026-01-01T00:00:00.1Z"));
        assert_eq!(lines[1].text, "next");
    }

    #[tokio::test]
    async fn a_half_line_of_one_stream_does_not_mix_with_the_other() {
        let err = Ok(LogOutput::StdErr { message: Bytes::from_static(b"T2 bad\n") });
        let lines = read(vec![out("T1 half"), err]).await;
        assert_eq!((lines[0].stream, lines[0].text.as_str()), (LogStream::Err, "bad"));
        assert_eq!((lines[1].stream, lines[1].text.as_str()), (LogStream::Out, "half"));
    }

    #[tokio::test]
    async fn a_line_is_cut_at_its_limit_and_invalid_text_is_replaced() {
        let mut frames: Vec<_> = (0..8).map(|_| out(&format!("T {}", "x".repeat(16 * 1024)))).collect();
        frames.push(out("T end\n"));
        frames.push(Ok(LogOutput::StdOut { message: Bytes::from_static(b"T a\xffb\n") }));
        let lines = read(frames).await;
        assert_eq!((lines[0].text.len(), lines[0].cut), (LINE_LIMIT, 4 * 16 * 1024 + 3));
        assert_eq!(lines[1].text, "a\u{fffd}b");
    }

    #[tokio::test]
    async fn an_error_comes_after_the_lines_read_before_it() {
        let broken = Err(EngineError::Other { verb: "logs", status: None, message: "cut".into() });
        let lines: Vec<_> = lines(futures::stream::iter(vec![out("T half"), broken]), false).collect().await;
        assert!(lines[0].is_ok() && lines[1].is_err() && lines.len() == 2);
    }
}
