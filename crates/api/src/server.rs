//! Connections, limits and deadlines, and what every answer has in common.

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

use crate::control::Control;
use crate::error::ApiError;
use crate::host;
use crate::routes::router;
use crate::state::{ApiState, LOG_STREAMS};

/// A request is answered within this, or told that it was not. Streams only have to begin.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Bringing everything down drains open requests (60 s), then gives every container its grace (600 s at most).
const DOWN_WITHIN: Duration = Duration::from_secs(29 * 60);
/// From the connection, or the last answer, to the end of a request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Largest head of a request.
const HEAD_BYTES: usize = 64 * 1024;
/// Connections at once. When all are taken, those that never showed the token give way to new ones.
const CONNECTIONS: usize = 1024;
/// At the end, answers under way get this long.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// Why the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// `shutdown` completed.
    Asked,
    /// A client asked for everything to come down, and it has.
    Down,
}

/// Serves the API until `shutdown` completes or a client brings everything down. Log streams are ended, answers under way
/// get 3 s. Errors: the listener's own address cannot be told.
pub async fn serve(
    listener: TcpListener,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<Ended> {
    let state = ApiState::new(control, listener.local_addr()?);
    let app = router().layer(from_fn_with_state(state.clone(), around)).with_state(state.clone());
    let connections = ConnectionLimit::new(CONNECTIONS);
    let mut down = state.down.subscribe();
    let ended = tokio::select! {
        never = accept(&listener, &app, &connections, &state.stop) => match never {},
        () = shutdown => Ended::Asked,
        _ = down.wait_for(|down| *down) => Ended::Down,
    };
    state.stop.send_replace(true);
    // Each connection holds a place and each log stream a permit until it has ended.
    let all_ended = async {
        connections.all_released().await;
        let _streams = state.log_streams.acquire_many(LOG_STREAMS as u32).await;
    };
    if timeout(FINISH_WITHIN + Duration::from_secs(1), all_ended).await.is_err() {
        warn!("log streams were still open after the end");
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
                // Out of descriptors, most likely: others will be closed.
                warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = connections.acquire(address.ip()) else {
            debug!(%address, "too many connections of trusted clients; a new one is closed");
            continue;
        };
        let client = Client::new(place);
        // Each request carries its client, so that a client that shows the token keeps its place.
        let app = app.clone().layer(Extension(client.clone()));
        let (connection, stop) = (connection(stream, app), stop.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                ended = until_stopped(connection, stop) => if let Err(error) = ended {
                    debug!(%error, "a connection ended");
                },
                () = client.lost() => debug!(%address, "closed to make room for another connection"),
            }
        });
    }
}

/// Whose connection a request came on.
#[derive(Clone)]
pub(crate) struct Client {
    place: Arc<ConnectionSlot>,
    trusted: Arc<OnceLock<BusyGuard>>,
}

impl Client {
    fn new(place: ConnectionSlot) -> Self {
        Self { place: Arc::new(place), trusted: Arc::default() }
    }

    /// It showed the token, or a ticket that somebody got by it: the connection counts as busy as long as it is open, so
    /// that connections of strangers give way before it.
    pub fn trust(&self) {
        self.trusted.get_or_init(|| self.place.busy());
    }

    async fn lost(&self) {
        self.place.evicted().await;
    }
}

type Connection = http1::UpgradeableConnection<TokioIo<TcpStream>, TowerToHyperService<Router>>;

fn connection(stream: TcpStream, app: Router) -> Connection {
    // Answers are small and are waited for.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades()
}

/// At the end it finishes the answer under way and takes no further request.
async fn until_stopped(connection: Connection, mut stop: watch::Receiver<bool>) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    // A client that never finishes its request would hold the end up.
    timeout(FINISH_WITHIN, connection).await.unwrap_or(Ok(()))
}

/// Around every request: its id, whether it may be meant for us, its deadline; and the form of errors.
async fn around(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let within = if path == "/v2/boatyard/down" { DOWN_WITHIN } else { ANSWER_WITHIN };
    let answered = match check_host(&state, request.headers()) {
        Ok(()) => timeout(within, next.run(request)).await.map_err(|_| late()),
        Err(error) => Err(error),
    };
    let mut response = match answered {
        Ok(mut response) => match response.extensions_mut().remove::<ApiError>() {
            Some(error) => error.answer(&id),
            None => response,
        },
        Err(error) => error.answer(&id),
    };
    // No query: it may hold a ticket.
    debug!(request_id = id, %method, path, status = response.status().as_u16(), "answered");
    add_headers(response.headers_mut(), &id);
    response
}

fn check_host(state: &ApiState, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(only), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::bad_request("a request has exactly one Host header"));
    };
    match only.to_str() {
        Ok(name) if host::is_ours(name, state.bound) => Ok(()),
        _ => Err(ApiError::forbidden(
            "this server answers to localhost and to addresses of its own, not to the name in the Host header",
        )),
    }
}

/// What was accepted is written down and goes on, so a client that repeats a restart gets the same deployment.
fn late() -> ApiError {
    let message = "no answer within 30 s; what was accepted goes on. Look before you ask again: boatyard apps list";
    ApiError::server_error(message, "the handler did not end in time".into())
}

fn add_headers(headers: &mut HeaderMap, id: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    let number = |number: u64| HeaderValue::from(number);
    // Clients only show these; nothing is counted.
    headers.insert(HeaderName::from_static("ratelimit-limit"), number(5000));
    headers.insert(HeaderName::from_static("ratelimit-remaining"), number(4999));
    headers.insert(HeaderName::from_static("ratelimit-reset"), number(now + 3600));
    headers.insert(HeaderName::from_static("x-request-id"), HeaderValue::from_str(id).expect("a UUID is plain"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
