//! The API as a server: its deadlines, and what a shutdown waits for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use controller::Control;
use tokio::time::timeout;
use tracing::warn;
use web::{Listeners, RESPONSE_TIMEOUT, Stop};

use crate::held_polls::Hold;
use crate::routes::router;
use crate::state::{ApiState, MAX_LOG_STREAMS};

/// Deadline of `down`, which drains open requests (60 s) and gives every container its grace period (at most 600 s).
const DOWN_TIMEOUT: Duration = Duration::from_secs(29 * 60);
/// How long a shutdown waits for open log streams.
const STREAMS_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a shutdown waits for the shells of consoles. What is left then, the next `serve` ends.
const CONSOLES_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the server stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// `shutdown` completed.
    Requested,
    /// A client sent `down`, and it has completed.
    Down,
}

/// Options of [`serve`].
pub struct Options {
    /// Whether clients that wait for a deployment get the answer when it ends, instead of asking again and again.
    pub hold_polls: bool,
    /// Answers all paths outside of `/v1` and `/v2`. `None`: they do not exist.
    pub pages: Option<Router>,
    /// What else ends when the server stops.
    pub stop: Stop,
}

/// Serves the API until `shutdown` completes or a client sends `down`. A shutdown ends log streams and consoles. It waits
/// 3 s for open responses, and 10 s for the shells of consoles. Errors: a listener has no address.
pub async fn serve(
    listeners: Listeners,
    control: Arc<dyn Control>,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<ShutdownReason> {
    let Options { hold_polls, pages, stop } = options;
    let state = ApiState::new(control, stop.clone(), hold_polls);
    let router = router(&state, pages).with_state(state.clone());
    let mut down = state.down.subscribe();
    let until = async {
        tokio::select! {
            () = shutdown => ShutdownReason::Requested,
            _ = down.wait_for(|down| *down) => ShutdownReason::Down,
        }
    };
    let ended = web::serve(listeners, router, deadline, stop.clone(), until).await?;
    // Each open log stream holds a permit.
    let streams = state.log_streams.acquire_many(MAX_LOG_STREAMS as u32);
    if timeout(STREAMS_TIMEOUT, streams).await.is_err() {
        warn!("log streams were still open after the shutdown");
    }
    let consoles = async { tokio::join!(state.consoles.all_closed(), stop.completed()) };
    if timeout(CONSOLES_TIMEOUT, consoles).await.is_err() {
        warn!("shells of consoles still ran after the shutdown; the next serve ends them");
    }
    Ok(ended)
}

fn deadline(request: &Request, earlier_requests: usize) -> Duration {
    match request.uri().path() {
        "/v2/boatyard/down" => DOWN_TIMEOUT,
        _ => RESPONSE_TIMEOUT + Hold::of(request.method(), request.headers(), request.extensions(), earlier_requests).0,
    }
}
