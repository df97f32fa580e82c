//! The server for deliveries to webhooks. The ingress forwards them to it; it has no other path, so that the API cannot be
//! reached through the ingress.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use controller::Control;
use controller::view::{WebhookAnswer, WebhookRequest};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::error;
use web::Stop;

/// Largest delivery. Our choice: hosts shorten long pushes far below it.
const MAX_BODY_BYTES: usize = 5 * 1024 * 1024;
/// How long a delivery may take to arrive. GitHub gives up after 10 s.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// How many deliveries are in memory at once, with at most 5 MiB each. Our choice: so many clients have to be slow before
/// others wait.
const AT_ONCE: usize = 32;

#[derive(Clone)]
struct Receiver {
    control: Arc<dyn Control>,
    at_once: Arc<Semaphore>,
}

/// Serves deliveries until `stop`. Errors: the listener fails.
pub async fn serve_webhooks(listener: TcpListener, control: Arc<dyn Control>, stop: Stop) -> io::Result<()> {
    let stopped = async move { stop.requested().await };
    axum::serve(listener, router(control)).with_graceful_shutdown(stopped).await
}

fn router(control: Arc<dyn Control>) -> Router {
    let receiver = Receiver { control, at_once: Arc::new(Semaphore::new(AT_ONCE)) };
    Router::new().route("/{webhook}", post(receive)).with_state(receiver)
}

async fn receive(State(receiver): State<Receiver>, Path(name): Path<String>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let delivery = timeout(BODY_TIMEOUT, async {
        // Never closed.
        let permit = receiver.at_once.acquire().await;
        (read(body).await, permit)
    });
    let body = match delivery.await {
        // The permit is held until the answer.
        Ok((Ok(body), permit)) => (body, permit),
        Ok((Err(refusal), _)) => return refusal.into_response(),
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n").into_response(),
    };
    let (body, _permit) = body;
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

async fn read(body: Body) -> Result<bytes::Bytes, (StatusCode, &'static str)> {
    axum::body::to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| {
        match std::error::Error::source(&error).is_some_and(|it| it.to_string().contains("length limit")) {
            true => (StatusCode::PAYLOAD_TOO_LARGE, "the delivery is larger than 5 MiB\n"),
            false => (StatusCode::BAD_REQUEST, "the body ended too early\n"),
        }
    })
}
