//! The HTTP server: connections, limits and deadlines, and the headers of every response.

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
use tokio::time::timeout;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::allowed_hosts;
use crate::base_url::{OutsideUrl, Scheme, base_url};
use crate::error::HttpError;
use crate::stop::Stop;
use crate::tls::Tls;

/// Deadline of a response. A stream only has to start within it.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time from the start of the connection, or from the last response, to the end of the request headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest request headers.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Open connections. At the limit, a new connection closes one that never presented the token.
const MAX_CONNECTIONS: usize = 1024;
/// How long a shutdown waits for open responses.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Where the server listens, and how clients reach it.
pub struct Listeners {
    /// Plain HTTP.
    pub http: TcpListener,
    /// HTTPS.
    pub tls: Option<(TcpListener, Tls)>,
    /// The address of a proxy in front of the server, or another name of this host.
    pub outside: Option<OutsideUrl>,
}

/// The deadline of the response to a request. The number says how many requests the client sent before on the same
/// connection.
type Deadline = fn(&Request, usize) -> Duration;

/// Serves the router until `until` completes, and returns its result. Then requests `stop`, and waits 3 s for open
/// responses. Errors: a listener has no address.
pub async fn serve<T>(
    listeners: Listeners,
    router: Router,
    deadline: Deadline,
    stop: Stop,
    until: impl Future<Output = T> + Send,
) -> io::Result<T> {
    let Listeners { http, tls, outside } = listeners;
    let settings = Settings { outside, deadline };
    let app = router.layer(from_fn_with_state(Arc::new(settings), middleware));
    let connections = ConnectionLimit::new(MAX_CONNECTIONS);
    let listener = |socket: TcpListener, tls: Option<Arc<Tls>>| {
        let bound = socket.local_addr()?;
        let (app, connections) = (app.clone(), connections.clone());
        Ok::<_, io::Error>(Listener { socket, bound, tls, app, connections, stop: stop.clone() })
    };
    let http = listener(http, None)?;
    let tls = tls.map(|(socket, tls)| listener(socket, Some(Arc::new(tls)))).transpose()?;
    let ended = tokio::select! {
        never = http.accept() => match never {},
        never = with_tls(tls.as_ref()) => match never {},
        ended = until => ended,
    };
    stop.request();
    // Each open connection holds a place.
    if timeout(SHUTDOWN_TIMEOUT + Duration::from_secs(1), connections.all_released()).await.is_err() {
        warn!("connections were still open after the shutdown");
    }
    Ok(ended)
}

/// What the middleware needs.
struct Settings {
    outside: Option<OutsideUrl>,
    deadline: Deadline,
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
    stop: Stop,
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
    stop: Stop,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    // Responses are small and clients wait for them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return Ok(until_stopped(connection(stream, app), stop).await?) };
    let stream = tokio::select! {
        stream = tls.handshake(stream) => stream?,
        () = stop.requested() => return Ok(()),
    };
    Ok(until_stopped(connection(stream, app), stop).await?)
}

/// The connection of a request. An extension of every request.
#[derive(Clone)]
pub struct ClientConnection {
    place: Arc<ConnectionSlot>,
    trusted: Arc<OnceLock<BusyGuard>>,
    requests: Arc<AtomicUsize>,
    peer: IpAddr,
    bound: SocketAddr,
    scheme: Scheme,
}

/// The beginning of links in the answer to a request. An extension of every request.
#[derive(Clone)]
pub struct BaseUrl(pub String);

/// Identifies a request in answers and in the log. An extension of every request.
#[derive(Clone)]
pub struct RequestId(pub String);

/// How many requests the client sent before on the same connection. An extension of every request.
#[derive(Clone, Copy)]
pub struct EarlierRequests(pub usize);

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

    /// The address at which the server accepted the connection.
    pub fn bound(&self) -> SocketAddr {
        self.bound
    }

    /// Whether the server accepted the connection over TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
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
    stop: Stop,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = stop.requested() => connection.as_mut().graceful_shutdown(),
    }
    // A client that never completes its request must not delay the shutdown.
    timeout(SHUTDOWN_TIMEOUT, connection).await.unwrap_or(Ok(()))
}

/// For every request: assigns an id, checks the Host header, sets the deadline and renders errors.
async fn middleware(
    State(settings): State<Arc<Settings>>,
    Extension(client): Extension<ClientConnection>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = Uuid::new_v4().to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let earlier = client.count_request();
    let for_person = is_for_person(&request);
    let within = (settings.deadline)(&request, earlier);
    let result = match base_of(settings.outside.as_ref(), &client, &request) {
        Ok(base) => {
            request.extensions_mut().insert(base);
            request.extensions_mut().insert(EarlierRequests(earlier));
            request.extensions_mut().insert(RequestId(id.clone()));
            timeout(within, next.run(request)).await.map_err(|_| timed_out())
        }
        Err(error) => Err(error),
    };
    let mut response = match result {
        Ok(mut response) => match response.extensions_mut().remove::<HttpError>() {
            Some(error) => error.render(&id),
            None => response,
        },
        Err(error) if for_person => error.render_as_text(&id),
        Err(error) => error.render(&id),
    };
    // Without the query, which may contain a ticket.
    debug!(request_id = id, %method, path, status = response.status().as_u16(), "answered");
    add_headers(response.headers_mut(), &id);
    response
}

/// Whether a browser shows the answer to a person.
fn is_for_person(request: &Request) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|it| it.to_str().ok());
    accept.is_some_and(|it| it.contains("text/html"))
}

/// The address that the client used. Errors: it is not one of this server.
fn base_of(outside: Option<&OutsideUrl>, client: &ClientConnection, request: &Request) -> Result<BaseUrl, HttpError> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(only), None) = (hosts.next(), hosts.next()) else {
        return Err(HttpError::bad_request("a request must have exactly one Host header"));
    };
    // RFC 9112, section 3.2.2: a host in the request line replaces the one in the header.
    let named = match request.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => only.to_str().ok(),
    };
    match named {
        Some(host) if allowed_hosts::is_allowed(host, client.bound, outside) => {
            Ok(BaseUrl(base_url(host, client.scheme, outside)))
        }
        _ => Err(HttpError::forbidden(match outside {
            None => {
                "the Host header must be localhost or an address of this server. Start `boatyard serve` with --api-url \
                     to add another name"
            }
            Some(_) => "the Host header must be localhost, an address of this server or the name of --api-url",
        })),
    }
}

/// An accepted request continues after the timeout. A client that repeats a restart gets the same deployment.
fn timed_out() -> HttpError {
    HttpError::gateway_timeout(
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
    // Only files whose address changes with their content say otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
}
