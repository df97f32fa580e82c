//! Connections, limits and deadlines, and the headers of every response.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::allowed_hosts;
use crate::base_url::{OutsideUrl, Scheme, base_url};
use crate::error::ApiError;
use crate::held_polls::Hold;
use crate::routes::router;
use crate::state::{ApiState, MAX_LOG_STREAMS};
use crate::tls::Tls;
use controller::Control;

/// Deadline of a response, without the time for which a poll is held. A stream only has to start within it.
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

/// Where the API listens, and how clients reach it.
pub struct Listeners {
    /// Plain HTTP.
    pub http: TcpListener,
    /// HTTPS.
    pub tls: Option<(TcpListener, Tls)>,
    /// The address of a proxy in front of the API, or another name of this host.
    pub outside: Option<OutsideUrl>,
    /// Whether clients that wait for a deployment get the answer when it ends, instead of asking again and again.
    pub hold_polls: bool,
}

/// Serves the API until `shutdown` completes or a client sends `down`. A shutdown ends log streams and consoles. It waits
/// 3 s for open responses, and 10 s for the shells of consoles. Errors: a listener has no address.
pub async fn serve(
    listeners: Listeners,
    control: Arc<dyn Control>,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<ShutdownReason> {
    let Listeners { http, tls, outside, hold_polls } = listeners;
    let state = ApiState::new(control, outside, hold_polls);
    let app = router(&state).layer(from_fn_with_state(state.clone(), middleware)).with_state(state.clone());
    let connections = ConnectionLimit::new(MAX_CONNECTIONS);
    let listener = |socket: TcpListener, tls: Option<Arc<Tls>>| {
        let bound = socket.local_addr()?;
        let (app, connections) = (app.clone(), connections.clone());
        Ok::<_, io::Error>(Listener { socket, bound, tls, app, connections, stop: state.stop.subscribe() })
    };
    let http = listener(http, None)?;
    let tls = tls.map(|(socket, tls)| listener(socket, Some(Arc::new(tls)))).transpose()?;
    let mut down = state.down.subscribe();
    let ended = tokio::select! {
        never = http.accept() => match never {},
        never = with_tls(tls.as_ref()) => match never {},
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
    if timeout(CONSOLES_TIMEOUT, state.consoles.all_closed()).await.is_err() {
        warn!("shells of consoles still ran after the shutdown; the next serve ends them");
    }
    Ok(ended)
}

/// Accepts connections over TLS, if the API has a listener for them, and renews the certificate.
async fn with_tls(listener: Option<&Listener>) -> Infallible {
    let Some((listener, tls)) = listener.and_then(|it| Some((it, it.tls.as_ref()?))) else {
        return std::future::pending().await;
    };
    tokio::select! {
        never = listener.accept() => never,
        never = tls.renew() => never,
    }
}

/// A listening socket, with what its connections need.
struct Listener {
    socket: TcpListener,
    bound: SocketAddr,
    tls: Option<Arc<Tls>>,
    app: Router,
    connections: Arc<ConnectionLimit>,
    stop: watch::Receiver<bool>,
}

impl Listener {
    async fn accept(&self) -> Infallible {
        loop {
            let (stream, address) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Probably out of file descriptors. Other connections will close and free some.
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = self.connections.acquire(address.ip()) else {
                debug!(%address, "closed a new connection: clients with the token hold all of them");
                continue;
            };
            let client = ClientConnection::new(place, address.ip(), self);
            // Each request carries its connection, so that a request with the token can protect the connection.
            let app = self.app.clone().layer(Extension(client.clone()));
            let (tls, stop) = (self.tls.clone(), self.stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    ended = answer(stream, tls, app, stop) => if let Err(error) = ended {
                        debug!(error = &*error, "connection ended");
                    },
                    () = client.lost() => debug!(%address, "closed to make room for another connection"),
                }
            });
        }
    }
}

/// Answers the requests of one connection until it ends or the server stops.
async fn answer(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    app: Router,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Responses are small and clients wait for them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return Ok(until_stopped(connection(stream, app), stop).await?) };
    let stream = tokio::select! {
        stream = tls.handshake(stream) => stream?,
        _ = stop.wait_for(|stop| *stop) => return Ok(()),
    };
    Ok(until_stopped(connection(stream, app), stop).await?)
}

/// The connection of a request.
#[derive(Clone)]
pub(crate) struct ClientConnection {
    place: Arc<ConnectionSlot>,
    trusted: Arc<OnceLock<BusyGuard>>,
    requests: Arc<AtomicUsize>,
    peer: IpAddr,
    bound: SocketAddr,
    scheme: Scheme,
}

/// The beginning of links in the answer to a request.
#[derive(Clone)]
pub(crate) struct BaseUrl(pub String);

impl ClientConnection {
    fn new(place: ConnectionSlot, peer: IpAddr, listener: &Listener) -> Self {
        let scheme = if listener.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let (place, trusted, requests) = (Arc::new(place), Arc::default(), Arc::default());
        Self { place, trusted, requests, peer, bound: listener.bound, scheme }
    }

    /// The address of the other end: of the client, or of a proxy in front of the API.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Call this for a request with the token or with a ticket. The connection then counts as busy until it closes, so new
    /// connections replace other ones first.
    pub fn trust(&self) {
        self.trusted.get_or_init(|| self.place.busy());
    }

    /// Counts a request and returns how many came before it.
    fn count_request(&self) -> usize {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Completes when the connection has to close, so that another one gets its place.
    pub async fn lost(&self) {
        self.place.evicted().await;
    }
}

type Connection<S> = http1::UpgradeableConnection<TokioIo<S>, TowerToHyperService<Router>>;

fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, app: Router) -> Connection<S> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .with_upgrades()
}

/// After `stop`, finishes the open response and accepts no further request.
async fn until_stopped<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    connection: Connection<S>,
    mut stop: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        _ = stop.wait_for(|stop| *stop) => connection.as_mut().graceful_shutdown(),
    }
    // A client that never completes its request must not delay the shutdown.
    timeout(SHUTDOWN_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

/// For every request: assigns an id, checks the Host header, sets the deadline and renders errors.
async fn middleware(
    State(state): State<ApiState>,
    Extension(client): Extension<ClientConnection>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = Uuid::new_v4().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let hold = Hold::of(&request, client.count_request());
    let within = if path == "/v2/boatyard/down" { DOWN_TIMEOUT } else { RESPONSE_TIMEOUT + hold.0 };
    let result = match base_of(&state, &client, &request) {
        Ok(base) => {
            request.extensions_mut().insert(base);
            request.extensions_mut().insert(hold);
            timeout(within, next.run(request)).await.map_err(|_| timed_out())
        }
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

/// The address that the client used. Errors: it is not one of this server.
fn base_of(state: &ApiState, client: &ClientConnection, request: &Request) -> Result<BaseUrl, ApiError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(only), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::bad_request("a request must have exactly one Host header"));
    };
    let outside = state.outside.as_ref();
    // RFC 9112, section 3.2.2: a host in the request line replaces the one in the header.
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => only.to_str().ok(),
    };
    match named {
        Some(host) if allowed_hosts::is_allowed(host, client.bound, outside) => {
            Ok(BaseUrl(base_url(host, client.scheme, outside)))
        }
        _ => Err(ApiError::forbidden(match outside {
            None => {
                "the Host header must be localhost or an address of this server. Start `boatyard serve` with --api-url \
                     to add another name"
            }
            Some(_) => "the Host header must be localhost, an address of this server or the name of --api-url",
        })),
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
