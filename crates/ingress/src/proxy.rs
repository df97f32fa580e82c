//! One request: checked, admitted at an instance, forwarded, its response returned.
//!
//! A request may be sent again, so that the client sees no error:
//! - if nothing of it was written to any instance: always, to another instance or on a new connection;
//! - if a kept connection died without a byte of a response, and the method is GET, HEAD or OPTIONS without a body:
//!   once.
//!
//! Everything else that fails is a 502 or 504 that says what happened. Bodies are streamed, never buffered as a whole.

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE};
use hyper::http::request;
use hyper::http::uri::PathAndQuery;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};

use crate::access_log::{AccessLog, AccessLogEntry, LoggedBody};
use crate::admission::{Admitted, RouteSearch};
use crate::body::{ExchangeGuard, ResponseBody};
use crate::certificates::Certificates;
use crate::client_response::ClientResponse;
use crate::cors::CorsRequest;
use crate::counters::{CutKind, RequestRecord};
use crate::error_response::{ProxyError, SentAmount, accepted};
use crate::files;
use crate::forwarded;
use crate::headers::{self, Origin};
use crate::host;
use crate::http2_upstream::{self, Attempt};
use crate::internal::{CallListener, InternalListener};
use crate::limits::Limits;
use crate::listeners::SocketState;
use crate::message_writer::BodyFraming;
use crate::path::{BadPath, NormalPath};
use crate::protocol::{Address, TrustedProxies};
use crate::refusals::Refusals;
use crate::request_id;
use crate::routing_state::RoutingState;
use crate::table::Table;
use crate::tunnel::Tunnels;
use crate::upload::{Exchange, RequestBody, has_body};
use crate::upstream_http1::{self, Answer, Connection, HeadRules, RequestHead, SendError, SendErrorCause, Upload};

/// State shared by all requests; one per process.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub routing: Arc<RoutingState>,
    pub limits: Arc<Limits>,
    pub tunnels: Tunnels,
    pub refusals: Refusals,
    pub access_log: Arc<AccessLog>,
    pub certificates: Certificates,
    pub trusted: ArcSwap<TrustedProxies>,
    /// The port of an HTTPS listener, or 0 if there is none.
    pub https_port: AtomicU16,
    /// Connections of HTTP/1 end after their next response.
    pub closing: AtomicBool,
}

/// A request as it arrived. `None`: it has no body.
pub(crate) type ClientRequest = Request<Option<Incoming>>;

/// The client connection that a request arrived on.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub origin: Origin,
    /// Set if the connection is one of a trusted proxy.
    pub behind: Option<Arc<TrustedProxies>>,
    pub socket: Arc<SocketState>,
    /// The host name in the TLS handshake, in normal form. `None`: there is no TLS.
    pub server_name: Option<Box<str>>,
    /// Set if the client is a container, which connected to this listener from this address.
    pub internal: Option<(Arc<InternalListener>, IpAddr)>,
}

impl Client {
    /// Set if another component of an app calls a service.
    fn call(&self) -> Option<(&CallListener, IpAddr)> {
        match self.internal.as_ref() {
            Some((listener, peer)) => match &**listener {
                InternalListener::Calls(listener) => Some((listener, *peer)),
                InternalListener::Public(_) => None,
            },
            None => None,
        }
    }

    /// Whether this host name is out of reach: a container reaches those of its own app.
    fn is_of_another_app(&self, host: &str, table: &Table) -> bool {
        let Some((_, peer)) = self.internal.as_ref().filter(|_| self.call().is_none()) else { return false };
        let own = table.app_of_container(*peer);
        table.app(host).is_none_or(|app| own.is_none_or(|own| own.id != app.id))
    }
}

impl Proxy {
    pub fn new(routing: Arc<RoutingState>, limits: Limits, tunnels: Tunnels, access_log: Arc<AccessLog>) -> Self {
        Proxy {
            routing,
            limits: Arc::new(limits),
            tunnels,
            refusals: Refusals::default(),
            access_log,
            certificates: Certificates::default(),
            trusted: ArcSwap::default(),
            https_port: AtomicU16::new(0),
            closing: AtomicBool::new(false),
        }
    }

    /// Never fails: every error becomes a response.
    pub async fn respond(&self, client: &Client, request: ClientRequest) -> ClientResponse<LoggedBody<ResponseBody>> {
        self.respond_unless(None, client, request).await
    }

    /// Refuses a request of HTTP/2, because too many are open in this process.
    pub async fn refuse_stream(
        &self,
        client: &Client,
        request: ClientRequest,
    ) -> ClientResponse<LoggedBody<ResponseBody>> {
        let error = ProxyError::TooManyRequests;
        self.refusals.count(error.code());
        self.respond_unless(Some(error), client, request).await
    }

    async fn respond_unless(
        &self,
        refused: Option<ProxyError>,
        client: &Client,
        mut request: ClientRequest,
    ) -> ClientResponse<LoggedBody<ResponseBody>> {
        let id = request_id::ensure(request.headers_mut());
        let request_line = (request.method(), request.uri(), request.version());
        let mut entry =
            AccessLogEntry::begin(&self.access_log, (&id, &client.origin.address), request_line, request.headers());
        let (accept, is_http1) = (accepted(request.headers()), request.version() < Version::HTTP_2);
        let mut error_page = None;
        let response = match refused {
            Some(error) => Err(error),
            None => self.try_respond(client, request, &mut error_page, entry.as_deref_mut()).await,
        };
        let mut response = response.unwrap_or_else(|error| {
            tracing::debug!(code = error.code(), request = ?id, "request answered by the ingress");
            if let Some(entry) = &mut entry {
                entry.refused(error.code());
            }
            error.response(accept.as_ref(), error_page.as_deref(), &id).into()
        });
        response.add_request_id(id);
        let status = response.head.status();
        if is_http1 && self.closing.load(Relaxed) && status != StatusCode::SWITCHING_PROTOCOLS {
            response.head.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(entry) = &mut entry {
            entry.answered(status);
        }
        response.map(|body| LoggedBody { body, entry })
    }

    /// `error_page`: set to the page that the app wants browsers to show if it cannot be reached.
    async fn try_respond(
        &self,
        client: &Client,
        mut request: ClientRequest,
        error_page: &mut Option<Arc<str>>,
        entry: Option<&mut AccessLogEntry>,
    ) -> Result<ClientResponse<ResponseBody>, ProxyError> {
        let started = Instant::now();
        let uri = request.uri().clone();
        let has_body = has_body(request.body().as_ref());
        if client.call().is_none()
            && let Some(text) = self.certificates.answer(uri.path())
        {
            return Ok(Response::new(ResponseBody::generated(text.into())).into());
        }
        let given_host = check(&request).inspect_err(|error| self.refusals.count(error.code()))?;
        let checked = host::normal(given_host.to_str().unwrap_or_default())
            .ok_or(ProxyError::BadRequest("The Host header is not a host name."))
            .and_then(|host| {
                let path = match client.call() {
                    // A service gets every path that another component calls.
                    Some(_) => NormalPath::Plain("/"),
                    None => NormalPath::parse(uri.path()).map_err(bad_path)?,
                };
                Ok((host, path))
            });
        let (host, path) = checked.inspect_err(|error| self.refusals.count(error.code()))?;
        let cors = CorsRequest::of(request.method(), request.headers());

        let origin = match &client.behind {
            None => Cow::Borrowed(&client.origin),
            Some(trusted) => Cow::Owned(forwarded::origin(&client.origin, request.headers(), trusted)),
        };
        let mut entry = entry;
        if let Some(entry) = &mut entry {
            entry.came_from(&origin.address);
        }
        let https = if client.call().is_none() { self.https_port_for(&origin, &host) } else { None };
        let table = self.routing.table();
        if client.is_of_another_app(&host, &table) {
            self.refusals.count(ProxyError::NoSuchHost.code());
            return Err(ProxyError::NoSuchHost);
        }
        if table.has_files
            && client.call().is_none()
            && https.is_none()
            && let Some(found) = files::find(&table, &host, &path, client.server_name.as_deref())
        {
            drop(table);
            client.socket.set_body_unread(has_body);
            return files::respond(found, &request, started, cors.as_ref(), entry).await.map(Into::into);
        }
        drop(table);

        // The handshake of RFC 6455 (4.1) is a GET without a body. With another method the body would pass by all
        // rules.
        let upgrade_requested = headers::asks_for_websocket(request.headers())
            && request.version() == Version::HTTP_11
            && request.method() == Method::GET;
        let upgrade = upgrade_requested.then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        let version = parts.version;
        let wait = self.wait_for_continue(&mut parts, has_body);
        if version == Version::HTTP_2 {
            headers::from_http2(&mut parts.headers, has_body);
        }
        let framing = BodyFraming::of(&parts.headers, has_body)
            .map_err(|_| ProxyError::BadRequest("The Content-Length is not one number."))
            .inspect_err(|error| self.refusals.count(error.code()))?;
        let body = RequestBody::new(body, &client.socket, wait);
        let outgoing = Outgoing {
            method: parts.method,
            uri: &uri,
            host: &given_host,
            origin: client.call().is_none().then_some(&*origin),
            upload: Upload::new(body, framing, &parts.headers),
            headers: parts.headers,
            framing,
            upgrade: upgrade.is_some(),
        };

        let mut search = RouteSearch {
            host: &host,
            path: &path,
            uri: &uri,
            cors: cors.as_ref(),
            server_name: client.server_name.as_deref(),
            internal: client.call(),
            https,
            is_safe: matches!(outgoing.method, Method::GET | Method::HEAD),
            error_page: None,
            started,
            tried: Vec::new(),
            record: None,
            cut: None,
            was_admitted: false,
            entry,
        };
        let result = self.send(&mut search, outgoing).await;
        *error_page = search.error_page.take();
        let mut record = search.record.take();
        match (result, &mut record) {
            (Ok(Reply::Http1(received)), _) => {
                let record = record.expect("a request is counted before it is admitted");
                let (admitted, mut response) = self.forward(client, version, upgrade, received, record)?;
                if let Some(policy) = &admitted.rule().cors {
                    policy.apply(cors.as_ref(), response.headers_mut());
                }
                Ok(response)
            }
            (Ok(Reply::Http2(mut received)), _) => {
                let record = record.expect("a request is counted before it is admitted");
                if let Some(policy) = &received.admitted.rule().cors {
                    policy.apply(cors.as_ref(), received.response.headers_mut());
                }
                let reset_when_cut = (version == Version::HTTP_10).then(|| Arc::clone(&client.socket));
                received.forward(record, version != Version::HTTP_2, reset_when_cut).map(Into::into)
            }
            (Err(error), record) => {
                match record {
                    Some(record) => count_error(record, &error, search.cut),
                    None => self.refusals.count(error.code()),
                }
                Err(error)
            }
        }
    }

    /// The port of HTTPS, if the request came by HTTP and is redirected there.
    fn https_port_for(&self, origin: &Origin, host: &str) -> Option<u16> {
        let port = self.https_port.load(Relaxed);
        (origin.scheme != "https" && port != 0 && self.certificates.redirects_http(host)).then_some(port)
    }

    /// How long to hold back the client's body until the instance asks for it. An expectation in HTTP/1.0 or without a
    /// body has no meaning and is removed.
    fn wait_for_continue(&self, parts: &mut request::Parts, has_body: bool) -> Option<Duration> {
        let expects = headers::expects_continue(&parts.headers);
        if expects && (parts.version != Version::HTTP_11 || !has_body) {
            parts.headers.remove(EXPECT);
            return None;
        }
        expects.then_some(self.limits.continue_wait)
    }

    /// Sends the request until it has a response or may not be sent again.
    async fn send(&self, search: &mut RouteSearch<'_>, mut outgoing: Outgoing<'_>) -> Result<Reply, ProxyError> {
        let mut unreachable = None;
        // After a failed attempt: kept connections that were opened before this time may be closing, too.
        let mut opened_after = None;
        let mut replayed = false;
        loop {
            let admitted = match search.admit(&self.routing, &self.limits).await {
                Ok(admitted) => admitted,
                // All were tried. The failed attempt is more specific than "no ready instance".
                Err(error @ ProxyError::NoInstance { .. }) => return Err(unreachable.unwrap_or(error)),
                Err(error) => return Err(error),
            };
            if let Some(connections) = admitted.upstream().http2() {
                let attempt = Attempt { admitted: &admitted, limits: &self.limits, opened_after };
                let head = outgoing.http2_head(&admitted);
                let failed = match attempt.send(connections, head, &mut outgoing.upload.body, &mut replayed).await {
                    Ok((response, stream)) => {
                        return Ok(Reply::Http2(http2_upstream::Received { response, stream, admitted }));
                    }
                    Err(failed) => failed,
                };
                if !failed.reused {
                    search.tried.push(Arc::clone(admitted.upstream()));
                }
                // Requests whose connection died share the one that the first of them opens.
                opened_after = Some(failed.opened.map_or(search.started, |it| it.max(search.started)));
                if !failed.may_be_sent_again || search.tried.len() >= self.limits.upstreams_tried {
                    search.cut = admitted.exchange.cut_by_stop().filter(|_| failed.error.is_no_answer());
                    return Err(failed.error);
                }
                unreachable = Some(failed.error);
                continue;
            }
            let connection = match self.connection(&admitted, opened_after.is_some()).await {
                Ok(connection) => connection,
                Err(cause) => {
                    search.tried.push(Arc::clone(admitted.upstream()));
                    let error = for_socket(&admitted, connect_error(&admitted, &cause));
                    if search.tried.len() >= self.limits.upstreams_tried {
                        return Err(error);
                    }
                    unreachable = Some(error);
                    continue;
                }
            };
            let reused = connection.reused;
            outgoing.prepare(&admitted);
            let failure = match self.answer_to(connection, &mut outgoing, &admitted.exchange).await {
                Some(Ok(Answer { head, body })) => {
                    let body = body.with_upload(outgoing.upload, &admitted.exchange);
                    return Ok(Reply::Http1(Received { answer: Answer { head, body }, admitted }));
                }
                Some(Err(failure)) => failure,
                None => {
                    let component = admitted.rule().component.clone();
                    return Err(for_socket(&admitted, ProxyError::AnswerTimedOut { component }));
                }
            };
            if !reused {
                search.tried.push(Arc::clone(admitted.upstream()));
            }
            opened_after = Some(search.started);
            let cut = admitted.exchange.cut_by_stop();
            if outgoing.may_be_sent_again(&failure, reused, &mut replayed) {
                let component = admitted.rule().component.clone();
                let error = for_socket(&admitted, ProxyError::NoAnswer { component, sent: SentAmount::Nothing });
                if search.tried.len() >= self.limits.upstreams_tried {
                    return Err(error);
                }
                unreachable = Some(error);
            } else {
                let error = send_error(&failure, &admitted);
                search.cut = cut.filter(|_| error.is_no_answer());
                return Err(for_socket(&admitted, error));
            }
        }
    }

    async fn connection(&self, admitted: &Admitted, new_connection_only: bool) -> io::Result<Connection> {
        let upstream = admitted.upstream();
        if !new_connection_only && let Some(connection) = upstream.pool().take(self.limits.upstream_idle) {
            return Ok(connection);
        }
        Connection::open(&upstream.address, self.limits.connect).await
    }

    /// Waits for the response head. `None`: it did not come in time. The deadline counts from the last byte of the request
    /// body, which may take long.
    async fn answer_to(
        &self,
        connection: Connection,
        outgoing: &mut Outgoing<'_>,
        exchange: &Exchange,
    ) -> Option<Result<Answer, SendError>> {
        let rules = HeadRules { is_head: outgoing.method == Method::HEAD, most_lines: self.limits.headers };
        let answer = upstream_http1::exchange(connection, &mut outgoing.upload, exchange, rules);
        tokio::select! {
            biased;
            result = answer => Some(result),
            () = exchange.stalled(self.limits.response_head) => None,
        }
    }

    /// Returns what admitted the request, too.
    fn forward(
        &self,
        client: &Client,
        version: Version,
        upgrade: Option<OnUpgrade>,
        received: Received,
        record: RequestRecord,
    ) -> Result<(Admitted, ClientResponse<ResponseBody>), ProxyError> {
        let Received { answer: Answer { head, body }, admitted } = received;
        record.response_started(head.status);
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let instance = body.into_upgraded().filter(|_| head.offers_websocket);
            let (Some(client_side), Some(instance)) = (upgrade, instance) else {
                let mut record = record;
                record.failed(None);
                return Err(ProxyError::BadAnswer { component: admitted.rule().component.clone() });
            };
            self.tunnels.open(client_side, instance, &admitted.exchange, record.upgrade(), &client.socket);
            let mut response = ClientResponse::new(head, ResponseBody::Generated(None));
            headers::announce_websocket(response.head.headers_mut());
            return Ok((admitted, response));
        }
        if head.status.is_server_error() {
            record.app_error();
        }
        let exchange = &admitted.exchange;
        // Tells the client that it need not send the rest.
        let says_close =
            exchange.is_uploading() && (exchange.stopped_reading() || !exchange.body_requested() || head.says_close);
        // HTTP/1.0 without a length ends a body by closing the connection. Only a reset shows that it was cut off.
        let reset_when_cut = (version == Version::HTTP_10).then(|| Arc::clone(&client.socket));
        let exchange = Arc::clone(exchange);
        let guard = ExchangeGuard { exchange, record, limits: Arc::clone(&self.limits), reset_when_cut };
        let mut response = ClientResponse::new(head, ResponseBody::proxied(body, guard));
        if says_close {
            response.head.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok((admitted, response))
    }
}

/// A request whose response head has arrived, by the protocol of the instance.
enum Reply {
    Http1(Received),
    Http2(http2_upstream::Received),
}

struct Received {
    answer: Answer,
    admitted: Admitted,
}

/// A request that has no response yet.
struct Outgoing<'a> {
    method: Method,
    uri: &'a Uri,
    headers: HeaderMap,
    host: &'a HeaderValue,
    origin: Option<&'a Origin>,
    framing: BodyFraming,
    upgrade: bool,
    upload: Upload,
}

impl Outgoing<'_> {
    /// Writes the head for the instance that admitted the request.
    fn prepare(&mut self, admitted: &Admitted) {
        let target = admitted.rule().target(self.uri);
        let head = RequestHead {
            method: &self.method,
            target: &path_and_query(&target),
            headers: &self.headers,
            host: self.host,
            origin: self.origin,
            added: self.added_header(admitted),
            framing: self.framing,
            upgrade: self.upgrade,
        };
        self.upload.begin(&head);
        self.upload.body.attach(&admitted.exchange);
        if !self.upload.body.expects_continue() {
            admitted.exchange.request_body();
        }
    }

    /// The header that the app's policy adds to requests from outside.
    fn added_header<'b>(&self, admitted: &'b Admitted) -> Option<&'b (HeaderName, HeaderValue)> {
        let added = admitted.app().policy.request_header.as_ref().filter(|_| !admitted.is_internal());
        added.filter(|(name, _)| !headers::is_of_connection(name))
    }

    /// The head for an instance that speaks HTTP/2. `None`: the host name cannot be part of an address.
    fn http2_head(&self, admitted: &Admitted) -> Option<request::Parts> {
        let target = admitted.rule().target(self.uri);
        let uri = Uri::builder().scheme("http").authority(self.host.as_bytes());
        let uri = uri.path_and_query(&*path_and_query(&target)).build().ok()?;
        let request = Request::builder().method(self.method.clone()).uri(uri).version(Version::HTTP_2).body(());
        let (mut head, ()) = request.ok()?.into_parts();
        headers::for_upstream(&self.headers, self.host, self.origin, |name, value| {
            // HTTP/2 has `:authority` in place of `Host`. The ingress itself asks the client for a body that it holds back.
            if *name != HOST && *name != EXPECT {
                head.headers.append(name, value.clone());
            }
        });
        if headers::accepts_trailers(&self.headers) {
            head.headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        if let Some((name, value)) = self.added_header(admitted) {
            head.headers.insert(name.clone(), value.clone());
        }
        Some(head)
    }

    /// Whether a failed request may be sent once more, by the rules at the top of this module.
    fn may_be_sent_again(&self, failure: &SendError, reused: bool, replayed: &mut bool) -> bool {
        if !matches!(failure.cause, SendErrorCause::Closed) || failure.read {
            return false;
        }
        if !failure.wrote {
            return true;
        }
        reused && !self.upload.has_body() && is_repeatable(&self.method) && !std::mem::replace(replayed, true)
    }
}

/// The path and query for an instance. The path of `http://shop?query` is empty, which means the root. `*` is the target of a
/// request for the whole server.
fn path_and_query(target: &Uri) -> Cow<'_, str> {
    match target.path_and_query().map_or("/", PathAndQuery::as_str) {
        query if !query.starts_with(['/', '*']) => Cow::Owned(format!("/{query}")),
        given => Cow::Borrowed(given),
    }
}

/// The error for a request that may not be sent again.
fn send_error(failure: &SendError, admitted: &Admitted) -> ProxyError {
    let component = admitted.rule().component.clone();
    match &failure.cause {
        SendErrorCause::RequestBody => ProxyError::BrokenUpload,
        SendErrorCause::Answer(cause) => {
            tracing::debug!(upstream = %admitted.upstream().id, %cause, "unusable answer");
            ProxyError::BadAnswer { component }
        }
        SendErrorCause::Closed => {
            let exchange = &admitted.exchange;
            let sent = match failure.wrote {
                false => SentAmount::Nothing,
                true if exchange.is_uploading() || exchange.stopped_reading() => SentAmount::Part,
                true => SentAmount::All,
            };
            ProxyError::NoAnswer { component, sent }
        }
    }
}

pub(crate) fn is_repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Checks that hyper does not make. Returns the host as the client wrote it.
///
/// A request with both a length and a chunked body is left to hyper: it reads the chunked body, drops the length and
/// closes the connection afterwards, as RFC 9112 (6.3) requires. So no later reader sees two framings.
fn check(request: &ClientRequest) -> Result<HeaderValue, ProxyError> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(ProxyError::MethodNotAllowed);
    }
    if headers::has_odd_transfer_encoding(request.headers()) {
        return Err(ProxyError::BadRequest("The Transfer-Encoding is not chunked."));
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let given = hosts.next();
    if hosts.next().is_some() {
        return Err(ProxyError::BadRequest("There is more than one Host header."));
    }
    let authority = request.uri().authority().map(|authority| authority.as_str());
    match (given, authority) {
        // Clients of HTTP/2 send `:authority` in place of `Host` (RFC 9113, 8.3.1).
        (None, _)
            if request.version() == Version::HTTP_11
                || (request.version() == Version::HTTP_2 && authority.is_none()) =>
        {
            Err(ProxyError::BadRequest("The Host header is missing."))
        }
        (None, None) => Err(ProxyError::NoSuchHost),
        (None, Some(authority)) => {
            HeaderValue::from_str(authority).map_err(|_| ProxyError::BadRequest("The request target is not a URI."))
        }
        (Some(given), None) => Ok(given.clone()),
        (Some(given), Some(authority)) => {
            let agree = given.to_str().is_ok_and(|given| host::same(given, authority));
            agree.then(|| given.clone()).ok_or(ProxyError::BadRequest("Host and request target name different hosts."))
        }
    }
}

fn bad_path(bad: BadPath) -> ProxyError {
    ProxyError::BadRequest(match bad {
        BadPath::NotAbsolute => "The request target is not an absolute path.",
        BadPath::DotSegment => "The path contains a dot segment.",
        BadPath::BadEncoding => "The path is not encoded correctly.",
    })
}

pub(crate) fn connect_error(admitted: &Admitted, cause: &io::Error) -> ProxyError {
    let component = admitted.rule().component.clone();
    tracing::debug!(upstream = %admitted.upstream().id, %cause, "cannot connect");
    if cause.kind() == io::ErrorKind::TimedOut {
        return ProxyError::ConnectTimedOut { component };
    }
    ProxyError::ConnectFailed { component, cause: cause.kind().to_string() }
}

/// Behind a socket in the file system is a process of this installation, and no component of an app.
fn for_socket(admitted: &Admitted, error: ProxyError) -> ProxyError {
    match admitted.upstream().address {
        Address::Unix { .. } if error.status().is_server_error() => ProxyError::NotRunning,
        _ => error,
    }
}

fn count_error(record: &mut RequestRecord, error: &ProxyError, cut: Option<CutKind>) {
    record.answered_by_ingress(error.status(), error.error_code());
    match error {
        // The client disconnected; the record counts that when it is dropped.
        ProxyError::BrokenUpload => {}
        ProxyError::Maintenance => record.finish(),
        error if error.status().is_server_error() => record.failed(cut),
        _ => record.finish(),
    }
}
