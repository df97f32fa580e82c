//! The server for deliveries to webhooks. The ingress forwards them to it; it has no other path, so that the API cannot be
//! reached through the ingress.
//!
//! Everybody can send to it, so nothing that an unverified sender controls, such as the speed of its body, may hold up
//! the deliveries of others.

mod body_budget;

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use bytes::{Bytes, BytesMut};
use controller::Control;
use controller::view::{WebhookAnswer, WebhookRequest};
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::error;
use web::Stop;

use self::body_budget::{BodyBudget, Reservation, Sender};

/// Largest delivery. Our choice: hosts shorten long pushes far below it.
const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// How long a delivery may take to arrive. GitHub gives up after 10 s.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How many deliveries are verified and recorded at once. Others wait, with their bodies. Our choice.
const AT_ONCE: usize = 32;

#[derive(Clone)]
struct Receiver {
    control: Arc<dyn Control>,
    bodies: Arc<BodyBudget>,
    at_once: Arc<Semaphore>,
}

/// Why a delivery is refused before it is verified.
type Refusal = (StatusCode, &'static str);

/// Serves deliveries until `stop`. Errors: the listener fails.
pub async fn serve_webhooks<L>(listener: L, control: Arc<dyn Control>, stop: Stop) -> io::Result<()>
where
    L: Listener,
    L::Addr: Debug,
{
    let stopped = async move { stop.requested().await };
    axum::serve(listener, router(control)).with_graceful_shutdown(stopped).await
}

fn router(control: Arc<dyn Control>) -> Router {
    let receiver = Receiver { control, bodies: Arc::default(), at_once: Arc::new(Semaphore::new(AT_ONCE)) };
    Router::new().route("/{webhook}", post(receive)).with_state(receiver)
}

async fn receive(State(receiver): State<Receiver>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (body, _reservation) = match receiver.body(&parts.headers, body).await {
        Ok(read) => read,
        Err(refusal) => return refusal.into_response(),
    };
    // Never closed.
    let _permit = receiver.at_once.acquire().await;
    let request = WebhookRequest { name, headers: parts.headers, body };
    let (status, text) = match receiver.control.receive_webhook(request).await {
        Ok(WebhookAnswer::Refused) => (
            StatusCode::UNAUTHORIZED,
            "refused: there is no such webhook, or the signature does not fit its secret".to_owned(),
        ),
        Ok(WebhookAnswer::Unreadable(why)) => (StatusCode::BAD_REQUEST, why),
        Ok(WebhookAnswer::Done(text)) => (StatusCode::OK, text),
        Ok(WebhookAnswer::Accepted(text)) => (StatusCode::ACCEPTED, text),
        Err(failed) => {
            error!(error = %failed, "a delivery could not be recorded");
            (StatusCode::SERVICE_UNAVAILABLE, "the delivery could not be recorded; deliver it again".to_owned())
        }
    };
    (status, text + "\n").into_response()
}

impl Receiver {
    /// Reads the body. Its memory stays reserved until the second value is dropped.
    async fn body(&self, headers: &HeaderMap, body: Body) -> Result<(Bytes, Reservation), Refusal> {
        let sender = Sender::of(sender_address(headers));
        let mut reservation = self.bodies.reserve(sender).ok_or(TOO_MANY)?;
        let read = timeout(BODY_TIMEOUT, read(body, &mut reservation)).await;
        let body = read.unwrap_or(Err((StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n")))?;
        Ok((body, reservation))
    }
}

const TOO_MANY: Refusal =
    (StatusCode::SERVICE_UNAVAILABLE, "too many deliveries arrive at the same time; deliver it again\n");

async fn read(body: Body, reservation: &mut Reservation) -> Result<Bytes, Refusal> {
    let mut frames = body.into_data_stream();
    let mut read = BytesMut::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the body ended too early\n"))?;
        if read.len() + frame.len() > MAX_BODY_BYTES {
            return Err((StatusCode::PAYLOAD_TOO_LARGE, "the delivery is larger than 5 MiB\n"));
        }
        if !reservation.grow(frame.len()) {
            return Err(TOO_MANY);
        }
        read.extend_from_slice(&frame);
    }
    Ok(read.freeze())
}

/// The address that the ingress saw. The ingress replaces this header, and nothing else reaches this server.
fn sender_address(headers: &HeaderMap) -> Option<IpAddr> {
    headers.get("x-forwarded-for")?.to_str().ok()?.parse().ok()
}
