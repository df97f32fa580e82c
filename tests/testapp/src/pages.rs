//! The answer of each path.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONNECTION, UPGRADE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::sleep;

use crate::settings::Settings;

/// `/stream` sends a line this often.
const STREAM_PERIOD: Duration = Duration::from_millis(100);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// The page `/`.
#[derive(Debug)]
pub struct Site {
    greeting: String,
}

impl Site {
    pub fn new(settings: Settings) -> Site {
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".into());
        Site { greeting: format!("{} {} {}\n", settings.name, settings.version, hostname.trim()) }
    }
}

/// Answers a request. Errors: the connection broke.
pub async fn answer(site: Arc<Site>, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    Ok(match request.uri().path() {
        "/" if reads => text(StatusCode::OK, site.greeting.clone()),
        "/health" if reads => text(StatusCode::OK, "ok\n"),
        "/env" if reads => env(&request),
        "/stream" if reads => stream(&request),
        "/upgrade" if reads => upgrade(request),
        "/echo" => text(StatusCode::OK, request.into_body().collect().await?.to_bytes()),
        "/upload" => text(StatusCode::OK, format!("{}\n", length(request.into_body()).await?)),
        _ => text(StatusCode::NOT_FOUND, "no such page\n"),
    })
}

/// `/env?key=KEY`: the value of one environment variable, 404 if it is not set.
fn env(request: &Request<Incoming>) -> Answer {
    match query(request, "key").and_then(|key| std::env::var(key).ok()) {
        Some(value) => text(StatusCode::OK, value),
        None => text(StatusCode::NOT_FOUND, "not set\n"),
    }
}

/// `/stream?seconds=N`: ten numbered lines a second, and `end` as the last one.
fn stream(request: &Request<Incoming>) -> Answer {
    let seconds: u64 = query(request, "seconds").and_then(|it| it.parse().ok()).unwrap_or(1);
    let count = seconds * 10;
    let lines = futures::stream::iter(0..=count).then(move |number| async move {
        if number > 0 {
            sleep(STREAM_PERIOD).await;
        }
        let line = if number < count { format!("{}\n", number + 1) } else { "end\n".into() };
        Ok(Frame::data(Bytes::from(line)))
    });
    Response::new(StreamBody::new(lines).boxed_unsync())
}

/// Switches to a protocol that returns every byte. Clients may call it websocket, because the ingress forwards no
/// other.
fn upgrade(mut request: Request<Incoming>) -> Answer {
    let Some(protocol) = request.headers().get(UPGRADE).cloned() else {
        return text(StatusCode::UPGRADE_REQUIRED, "send: Connection: Upgrade, Upgrade: websocket\n");
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(connection) = upgraded.await {
            let (mut from, mut to) = tokio::io::split(TokioIo::new(connection));
            let _ = tokio::io::copy(&mut from, &mut to).await;
        }
    });
    let mut switched = text(StatusCode::SWITCHING_PROTOCOLS, "");
    switched.headers_mut().insert(CONNECTION, UPGRADE.into());
    switched.headers_mut().insert(UPGRADE, protocol);
    switched
}

/// Counts a body without keeping it.
async fn length(mut body: Incoming) -> Result<usize, hyper::Error> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(bytes)
}

fn query<'a>(request: &'a Request<Incoming>, key: &str) -> Option<&'a str> {
    let mut pairs = request.uri().query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(name, value)| (name == key).then_some(value))
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed_unsync());
    *answer.status_mut() = status;
    answer
}
