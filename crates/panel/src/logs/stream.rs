//! Streams of log lines: events for the page, and a text file.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use controller::view::LogEntry;
use controller::{ControlError, LogLines};
use futures::{Stream, StreamExt, stream};
use serde_json::json;
use web::Stop;

use crate::limit::Permit;

/// How many lines an event has at most. A line has up to 60 KiB.
const LINES_PER_EVENT: usize = 100;
/// A comment this often shows the browser and proxies that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Why a stream ends early. A reload of the page leads to the sign-in.
const SIGNED_OUT: &str = "You are signed out: the session or its token has ended. Reload the page to sign in again.";

/// What a stream of lines consists of.
enum Item {
    Lines(Vec<LogEntry>),
    /// The lines cannot be read any more, and why.
    Failed(String),
    /// No lines follow.
    Complete,
}

/// Lines as events: `lines` with JSON `[[time, component, text], …]`, and at the end `end` with JSON
/// `{"failed": bool, "text": sentence}`. If the server stops, there is no `end`, so that the browser connects again.
pub(super) fn events(
    lines: LogLines,
    ended: impl Future<Output = ()> + Send + 'static,
    stop: Stop,
    permit: Permit,
) -> impl IntoResponse {
    let events = items(lines, ended).take_until(stopped(stop)).map(move |item| {
        let _permit = &permit;
        Ok::<_, Infallible>(event(item))
    });
    answer(events)
}

/// The only event of a stream that is refused.
pub(super) fn refusal(why: String) -> impl IntoResponse {
    answer(stream::iter([Ok::<_, Infallible>(event(Item::Failed(why)))]))
}

fn answer(events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> impl IntoResponse {
    // A proxy that collects the answer would delay the lines.
    ([("x-accel-buffering", "no")], Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn event(item: Item) -> Event {
    match item {
        Item::Lines(lines) => {
            let lines: Vec<_> = lines.iter().map(|it| json!([it.timestamp, it.component, it.text])).collect();
            Event::default().event("lines").data(json!(lines).to_string())
        }
        Item::Failed(why) => Event::default().event("end").data(json!({ "failed": true, "text": why }).to_string()),
        Item::Complete => {
            let text = "This log is complete: no more lines follow.";
            Event::default().event("end").data(json!({ "failed": false, "text": text }).to_string())
        }
    }
}

/// The lines as a file that the browser saves. If they cannot be read to their end, the last line says so.
pub(super) fn file(
    name: &str,
    lines: LogLines,
    ended: impl Future<Output = ()> + Send + 'static,
    stop: Stop,
    permit: Permit,
) -> Response {
    let body = items(lines, ended).take_until(stopped(stop)).map(move |item| {
        let _permit = &permit;
        Ok::<_, Infallible>(Bytes::from(match item {
            Item::Lines(lines) => {
                lines.iter().map(|it| format!("{} {} {}\n", it.timestamp, it.component, it.text)).collect()
            }
            Item::Failed(why) => format!("(the log ends here: {why})\n"),
            Item::Complete => String::new(),
        }))
    });
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, Body::from_stream(body)).into_response()
}

async fn stopped(stop: Stop) {
    stop.requested().await;
}

/// All lines, those together that are there at the same time, and then why there are no more.
fn items(lines: LogLines, ended: impl Future<Output = ()> + Send + 'static) -> impl Stream<Item = Item> + Send {
    let open = Some((lines.ready_chunks(LINES_PER_EVENT), Box::pin(ended), None));
    stream::unfold(open, async |open| {
        let (mut lines, mut ended, failed) = open?;
        if let Some(failed) = failed {
            return Some((Item::Failed(failed), None));
        }
        tokio::select! {
            biased;
            () = &mut ended => Some((Item::Failed(SIGNED_OUT.into()), None)),
            next = lines.next() => {
                let Some(next) = next else { return Some((Item::Complete, None)) };
                let (read, failed) = until_error(next);
                Some((Item::Lines(read), Some((lines, ended, failed))))
            }
        }
    })
}

fn until_error(lines: Vec<Result<LogEntry, ControlError>>) -> (Vec<LogEntry>, Option<String>) {
    let mut read = Vec::with_capacity(lines.len());
    for line in lines {
        match line {
            Ok(line) => read.push(line),
            Err(error) => return (read, Some(error.to_string())),
        }
    }
    (read, None)
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;
    use crate::limit::Limit;

    fn line(text: &str) -> Result<LogEntry, ControlError> {
        Ok(LogEntry { component: "web".into(), timestamp: "2026-03-01T10:00:00Z".into(), text: text.into() })
    }

    fn failure() -> Result<LogEntry, ControlError> {
        Err(ControlError::Unavailable("the engine is gone. Check it: docker info".into()))
    }

    fn permit() -> Permit {
        Limit::new("log streams", 1, 1).open("a").expect("none is open")
    }

    async fn text(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a whole body");
        String::from_utf8(bytes.into()).expect("text")
    }

    async fn events_of(
        lines: LogLines,
        ended: impl Future<Output = ()> + Send + 'static,
        stop: Stop,
    ) -> Vec<(String, serde_json::Value)> {
        let text = text(events(lines, ended, stop, permit()).into_response()).await;
        let event = |it: &str| {
            let (name, data) = it.split_once('\n').expect("a name and data");
            let data = serde_json::from_str(data.trim_start_matches("data: ")).expect("JSON");
            (name.trim_start_matches("event: ").to_owned(), data)
        };
        text.split_terminator("\n\n").map(event).collect()
    }

    #[tokio::test]
    async fn lines_that_are_there_become_one_event_as_text_and_the_end_is_told() {
        let markup = "<img src=x onerror=alert(1)>\u{2028}</script>";
        let lines = stream::iter([line(markup), line("b")]).boxed();
        let time = "2026-03-01T10:00:00Z";
        let end = json!({ "failed": false, "text": "This log is complete: no more lines follow." });
        let expected =
            [("lines".to_owned(), json!([[time, "web", markup], [time, "web", "b"]])), ("end".to_owned(), end)];
        assert_eq!(events_of(lines, pending(), Stop::default()).await, expected);
    }

    #[tokio::test]
    async fn many_lines_become_several_events() {
        let lines = stream::iter((0..LINES_PER_EVENT * 2 + 1).map(|_| line("a"))).boxed();
        assert_eq!(events_of(lines, pending(), Stop::default()).await.len(), 4);
    }

    #[tokio::test]
    async fn an_error_comes_after_the_lines_before_it_and_ends_the_stream() {
        let lines = stream::iter([line("a"), failure(), line("never")]).boxed();
        let found = events_of(lines, pending(), Stop::default()).await;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].1[0][2], "a");
        assert_eq!(found[1].1, json!({ "failed": true, "text": "the engine is gone. Check it: docker info" }));
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_session_and_without_a_word_with_the_server() {
        let endless = || stream::iter([line("a")]).chain(stream::pending()).boxed();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let of_session = events_of(endless(), async { drop(ended.await) }, Stop::default());
        drop(end);
        assert_eq!(of_session.await.last().expect("an event").1["text"], SIGNED_OUT);
        let stop = Stop::default();
        let of_server = events_of(endless(), pending(), stop.clone());
        stop.request();
        assert!(of_server.await.iter().all(|(name, _)| name == "lines"));
    }

    #[tokio::test]
    async fn a_file_has_a_name_and_says_where_it_ends_early() {
        let lines = stream::iter([line("a"), failure()]).boxed();
        let response = file("shop-run.log", lines, pending(), Stop::default(), permit());
        assert_eq!(response.headers()["content-disposition"], "attachment; filename=\"shop-run.log\"");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        let expected = "2026-03-01T10:00:00Z web a\n(the log ends here: the engine is gone. Check it: docker info)\n";
        assert_eq!(text(response).await, expected);
    }
}
