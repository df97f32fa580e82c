//! Held polls: the answer to `GET …/deployments/{deployment}` waits until the deployment has ended. doctl and Terraform ask
//! every 10 s, so without this they learn of the end up to 10 s late.
//!
//! A poll is held
//! - if it asks for that with `Prefer: wait=SECONDS` (RFC 7240); `wait=0` asks for the contrary;
//! - if Terraform sends it, which reads a deployment only to wait for it;
//! - if doctl sends it as the second or a later request of a connection. `doctl apps … --wait` starts the deployment and
//!   waits for it on one connection, while `doctl apps get-deployment` opens a connection for its one request, and must
//!   show the current state at once. Behind a proxy, connections do not belong to one client.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Mutex;
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, header};
use controller::view::DeploymentView;
use rollout::ids::DeploymentId;
use tokio::time::sleep;
use web::access::token_ended;
use web::{Access, EarlierRequests, HttpError};

use crate::routes::DEPLOYMENT;
use crate::state::ApiState;

/// The longest wait. Many proxies give up after 50 s or 60 s without an answer.
const LONGEST: Duration = Duration::from_secs(45);
/// Polls held at the same time, a quarter of the connections. Further ones are answered at once.
const MAX_HELD: usize = 256;
/// Headers that proxies add.
const PROXY_HEADERS: [&str; 3] = ["forwarded", "via", "x-forwarded-for"];

/// How long the answer to a request may wait for the end of a deployment. Zero for most requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold(pub Duration);

impl Hold {
    /// `earlier_requests`: how many the client has sent on the same connection.
    pub fn of(method: &Method, headers: &HeaderMap, extensions: &Extensions, earlier_requests: usize) -> Self {
        let path = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        match *method == Method::GET && path == Some(DEPLOYMENT) {
            true => Self(wanted(headers, earlier_requests).min(LONGEST)),
            false => Self::default(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Hold {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let earlier = parts.extensions.get::<EarlierRequests>().map_or(0, |it| it.0);
        Ok(Self::of(&parts.method, &parts.headers, &parts.extensions, earlier))
    }
}

fn wanted(headers: &HeaderMap, earlier_requests: usize) -> Duration {
    if let Some(seconds) = preferred_seconds(headers) {
        return Duration::from_secs(seconds);
    }
    let agent = headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let proxied = PROXY_HEADERS.iter().any(|name| headers.contains_key(*name));
    let waits = agent.starts_with("Terraform/") || agent.starts_with("doctl/") && earlier_requests > 0 && !proxied;
    if waits { LONGEST } else { Duration::ZERO }
}

/// The seconds of `Prefer: wait=SECONDS`. Preferences that cannot be read are ignored, as RFC 7240 demands.
fn preferred_seconds(headers: &HeaderMap) -> Option<u64> {
    let lines = headers.get_all("prefer").iter().filter_map(|it| it.to_str().ok());
    let preferences = lines.flat_map(|line| line.split(','));
    let seconds = |preference: &str| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        value.trim().trim_matches('"').parse().ok().filter(|_| is_wait)
    };
    preferences.filter_map(seconds).next()
}

/// The polls that are held.
pub(crate) struct HeldPolls {
    enabled: bool,
    open: Mutex<HashSet<Poll>>,
}

/// The token's hash, and the deployment.
type Poll = (String, DeploymentId);

impl HeldPolls {
    pub fn new(enabled: bool) -> Self {
        Self { enabled, open: Mutex::default() }
    }

    /// `None`: held polls are switched off, too many are open, or this token's poll of the deployment is held already.
    fn hold(&self, poll: Poll) -> Option<HeldPoll<'_>> {
        let mut open = self.open.lock().expect("no code panics while it holds this lock");
        let free = self.enabled && open.len() < MAX_HELD && open.insert(poll.clone());
        // Not `then_some`: its argument would be dropped, and remove the poll that is held already.
        free.then(|| HeldPoll { polls: self, poll })
    }
}

/// Ends with the request, also if the client disconnects.
struct HeldPoll<'a> {
    polls: &'a HeldPolls,
    poll: Poll,
}

impl Drop for HeldPoll<'_> {
    fn drop(&mut self) {
        self.polls.open.lock().expect("no code panics while it holds this lock").remove(&self.poll);
    }
}

/// Returns the deployment once it has ended, or as it is when the hold or the server ends.
pub(crate) async fn until_ended(
    access: &Access,
    state: &ApiState,
    deployment: DeploymentView,
    Hold(limit): Hold,
) -> Result<DeploymentView, HttpError> {
    if deployment.stage.is_ended() || limit.is_zero() {
        return Ok(deployment);
    }
    let poll = (access.caller.token_hash.clone(), deployment.id.clone());
    let Some(_held) = state.held_polls.hold(poll) else { return Ok(deployment) };
    tokio::select! {
        ended = access.control.ended_deployment(&deployment.app, &deployment.id) => return Ok(ended?),
        () = token_ended(access.control.clone(), access.caller.actor.token.clone()) => {
            return Err(HttpError::unauthorized());
        }
        () = sleep(limit) => {}
        () = state.stop.requested() => {}
    }
    Ok(access.control.deployment(&deployment.app, &deployment.id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    const DOCTL: (&str, &str) = ("user-agent", "doctl/1.150.0 (linux amd64) godo/1.202.0");
    const TERRAFORM: (&str, &str) = ("user-agent", "Terraform/1.11.4 godo/1.202.0");

    fn seconds(headers: &[(&'static str, &'static str)], earlier_requests: usize) -> u64 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        wanted(&map, earlier_requests).as_secs()
    }

    #[test]
    fn doctl_waits_from_the_second_request_of_a_connection_on_and_terraform_always() {
        for (agent, first, later) in [
            (DOCTL, 0, 45),
            (TERRAFORM, 45, 45),
            (("user-agent", "azsdk-python-pydo/0.44.0 Python/3.11.7"), 0, 0),
            (("user-agent", "curl/8.5.0"), 0, 0),
            (("accept", "*/*"), 0, 0),
        ] {
            assert_eq!((seconds(&[agent], 0), seconds(&[agent], 1)), (first, later), "{agent:?}");
        }
    }

    #[test]
    fn a_connection_of_a_proxy_says_nothing_about_doctl() {
        for header in ["via", "forwarded", "x-forwarded-for"] {
            assert_eq!(seconds(&[DOCTL, (header, "192.0.2.1")], 5), 0, "{header}");
            assert_eq!(seconds(&[TERRAFORM, (header, "192.0.2.1")], 5), 45, "{header}");
        }
    }

    #[test]
    fn a_preference_decides_for_every_client() {
        for (prefer, expected) in [
            ("wait=10", Some(10)),
            ("wait=0", Some(0)),
            ("respond-async, wait=10", Some(10)),
            ("WAIT = \"7\"; foo=bar", Some(7)),
            ("wait", None),
            ("wait=soon", None),
            ("wait=-1", None),
            ("waiting=5", None),
            ("return=minimal", None),
        ] {
            for (agent, otherwise) in [(TERRAFORM, 45), (("user-agent", "curl/8.5.0"), 0)] {
                let expected = expected.unwrap_or(otherwise);
                assert_eq!(seconds(&[agent, ("prefer", prefer)], 1), expected, "{prefer} {agent:?}");
            }
        }
    }

    #[test]
    fn a_token_has_one_held_poll_of_a_deployment() {
        let polls = HeldPolls::new(true);
        let poll = |token: &str, id: &str| (token.to_owned(), DeploymentId::new(id));
        let held = polls.hold(poll("a", "1")).expect("the first");
        assert!(polls.hold(poll("a", "1")).is_none());
        assert!(polls.hold(poll("b", "1")).is_some() && polls.hold(poll("a", "2")).is_some());
        drop(held);
        assert!(polls.hold(poll("a", "1")).is_some());
        assert!(HeldPolls::new(false).hold(poll("a", "1")).is_none());
    }

    #[test]
    fn held_polls_are_limited() {
        let polls = HeldPolls::new(true);
        let all: Vec<_> =
            (0..MAX_HELD).filter_map(|n| polls.hold(("a".into(), n.to_string().as_str().into()))).collect();
        assert_eq!(all.len(), MAX_HELD);
        assert!(polls.hold(("b".into(), "1".into())).is_none());
    }
}
