//! Connections, limits and deadlines, and the headers of every response.

use std::io;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ingress::connection_limit::{BusyGuard, ConnectionLimit, ConnectionSlot};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::allowed_hosts;
use crate::error::ApiError;
use crate::routes::router;
use crate::state::{ApiState, MAX_LOG_STREAMS};
use controller::Control;

/// Deadline of a response. A stream only has to start within it.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Deadline of `down`, which drains open requests (60 s) and gives every container its grace period (at most 600 s).
const DOWN_TIMEOUT: Duration = Duration::from_secs(29 * 60);
/// Time from the start of the connection, or from the last response, to the end of the request headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest request headers.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Open connections. At the limit, a new connection closes one that never presented the token.
const MAX_CONNECTIONS: usize = 1024;
/// How long a shutdown waits for open responses.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the server stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShutdownReason {
    /// `shutdown` completed.
    Requested,
    /// A client sent `down`, and it has completed.
    Down,
}

/// Serves the API until `shutdown` completes or a client sends `down`. A shutdown ends log streams and waits 3 s for open
/// responses. Errors: the listener has no address.
pub async fn serve(
    listener: TcpListener,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<ShutdownReason> {
    let state = ApiState::new(control, listener.local_addr()?);
    let app = router().layer(from_fn_with_state(state.clone(), middleware)).with_state(state.clone());
    let connections = ConnectionLimit::new(MAX_CONNECTIONS);
    let mut down = state.down.subscribe();
    let ended = tokio::select! {
        never = accept(&listener, &app, &connections, &state.stop) => match never {},
        () = shutdown => ShutdownReason::Requested,
        _ = down.wait_for(|down| *down) => ShutdownReason::Down,
    };
    state.stop.send_replace(true);
    // Each open connection holds a place and each open log stream a permit.
    let all_ended = async {
        connections.all_released().await;
        let _streams = state.log_streams.acquire_many(MAX_LOG_STREAMS as u32).await;
    };
    if timeout(SHUTDOWN_TIMEOUT + Duration::from_secs(1), all_ended).await.is_err() {
        warn!("log streams were still open after the shutdown");
    }
    Ok(ended)
}

async fn accept(
    listener: &TcpListener,
    app: &Router,
    connections: &Arc<ConnectionLimit>,
    stop: &watch::Sender<bool>,
) -> std::convert::Infallible {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Probably out of file descriptors. Other connections will close and free some.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = connections.acquire(address.ip()) else {
            debug!(%address, "closed a new connection: clients with the token hold all of them");
            continue;
        };
        let client = ClientConnection::new(place);
        // Each request carries its connection, so that a request with the token can protect the connection.
        let app = app.clone().layer(Extension(client.clone()));
        let (connection, stop) = (connection(stream, app), stop.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                ended = until_stopped(connection, stop) => if let Err(error) = ended {
                    debug!(%error, "connection ended");
                },
                () = client.lost() => debug!(%address, "closed to make room for another connection"),
            }
        });
    }
}

/// The connection of a request.
#[derive(Clone)]
pub(crate) struct ClientConnection {
    place: Arc<ConnectionSlot>,
    trusted: Arc<OnceLock<BusyGuard>>,
}

impl ClientConnection {
    fn new(place: ConnectionSlot) -> Self {
        Self { place: Arc::new(place), trusted: Arc::default() }
    }

    /// Call this for a request with the token or with a ticket. The connection then counts as busy until it closes, so new
    /// connections replace other ones first.
    pub fn trust(&self) {
        self.trusted.get_or_init(|| self.place.busy());
    }

    async fn lost(&self) {
        self.place.evicted().await;
    }
}

type Connection = http1::UpgradeableConnection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, app: Router) -> Connection {
    // Responses are small and clients wait for them.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades()
}

/// After `stop`, finishes the open response and accepts no further request.
async fn until_stopped(connection: Connection, mut stop: watch::Receiver<bool>) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    // A client that never completes its request must not delay the shutdown.
    timeout(SHUTDOWN_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

/// For every request: assigns an id, checks the Host header, sets the deadline and renders errors.
async fn middleware(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let within = if path == "/v2/boatyard/down" { DOWN_TIMEOUT } else { RESPONSE_TIMEOUT };
    let result = match check_host(&state, request.headers()) {
        Ok(()) => timeout(within, next.run(request)).await.map_err(|_| timed_out()),
        Err(error) => Err(error),
    };
    let mut response = match result {
        Ok(mut response) => match response.extensions_mut().remove::<ApiError>() {
            Some(error) => error.render(&id),
            None => response,
        },
        Err(error) => error.render(&id),
    };
    // Without the query, which may contain a ticket.
    debug!(request_id = id, %method, path, status = response.status().as_u16(), "answered");
    add_headers(response.headers_mut(), &id);
    response
}

fn check_host(state: &ApiState, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(only), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::bad_request("a request must have exactly one Host header"));
    };
    match only.to_str() {
        Ok(name) if allowed_hosts::is_allowed(name, state.bound) => Ok(()),
        _ => Err(ApiError::forbidden("the Host header must be localhost or an address of this server")),
    }
}

/// An accepted request continues after the timeout. A client that repeats a restart gets the same deployment.
fn timed_out() -> ApiError {
    ApiError::gateway_timeout(
        "the request was not answered within 30 s and may still take effect. Check before you repeat it: boatyard apps list",
    )
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let number = |number: u64| HeaderValue::from(number);
    // Clients only display these. The API does not limit rates.
    headers.insert(HeaderName::from_static("ratelimit-limit"), number(5000));
    headers.insert(HeaderName::from_static("ratelimit-remaining"), number(4999));
    headers.insert(HeaderName::from_static("ratelimit-reset"), number(now + 3600));
    headers.insert(HeaderName::from_static("x-request-id"), HeaderValue::from_str(id).expect("a UUID is ASCII"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
