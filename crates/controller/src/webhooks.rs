//! Webhooks: addresses at which hosts of repositories report pushes. A delivery is verified before it is parsed, and is only
//! a reason to look at the apps that use the repository ([`crate::pushes`]).
//!
//! - [`signature`]: whether the sender knows the secret; [`payload`]: what happened; [`answer`]: which apps are looked at.

mod answer;
mod payload;
mod signature;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use hyper::HeaderMap;
use rand::Rng;
use store::records::Webhook;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio::time::Instant;
use tracing::warn;

use crate::supervise::lock;

pub(crate) use answer::{Concerned, answer, refs};
pub(crate) use payload::{Content, Report};

/// At most one line about refused deliveries is logged in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// The webhooks on record, in memory, so that a request of an unauthenticated client reads nothing from the disk.
pub(crate) struct Webhooks {
    known: Mutex<BTreeMap<String, Webhook>>,
    /// For names that no webhook has, so that a request takes as long as for one with a wrong signature.
    decoy: String,
    refused: Mutex<Refused>,
    changing: AsyncMutex<()>,
}

/// Refused deliveries since the process started.
#[derive(Default)]
struct Refused {
    by_webhook: BTreeMap<String, u64>,
    /// Also those under names that no webhook has.
    total: u64,
    logged: Option<Instant>,
}

/// A delivery whose signature is right, and what it says.
pub(crate) struct Verified {
    pub webhook: Webhook,
    pub report: Report,
}

/// Why a delivery is not processed.
pub(crate) enum Unusable {
    /// There is no such webhook, or the signature is wrong. The sender does not learn which.
    Refused,
    /// The sender knows the secret, but the body cannot be read. The sentence says why.
    Unreadable(String),
}

impl Webhooks {
    pub fn new(all: Vec<Webhook>) -> Self {
        let decoy: [u8; 32] = rand::rng().random();
        Self {
            known: Mutex::new(all.into_iter().map(|it| (it.name.clone(), it)).collect()),
            decoy: hex::encode(decoy),
            refused: Mutex::default(),
            changing: AsyncMutex::default(),
        }
    }

    /// Held while a webhook is added or removed.
    pub async fn lock(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// All webhooks, by name.
    pub fn all(&self) -> Vec<Webhook> {
        lock(&self.known).values().cloned().collect()
    }

    pub fn add(&self, webhook: Webhook) {
        lock(&self.known).insert(webhook.name.clone(), webhook);
    }

    pub fn remove(&self, name: &str) {
        lock(&self.known).remove(name);
        lock(&self.refused).by_webhook.remove(name);
    }

    /// How many deliveries to the webhook were refused since the process started.
    pub fn refused(&self, name: &str) -> u64 {
        lock(&self.refused).by_webhook.get(name).copied().unwrap_or_default()
    }

    /// Checks the signature of a delivery, and then parses it.
    pub fn verify(&self, name: &str, headers: &HeaderMap, body: &[u8]) -> Result<Verified, Unusable> {
        let found = lock(&self.known).get(name).cloned();
        let secret = found.as_ref().map_or(&self.decoy, |it| &it.secret);
        let is_valid = signature::is_valid(secret, headers, body);
        let Some(webhook) = found.filter(|_| is_valid) else {
            self.refuse(name);
            return Err(Unusable::Refused);
        };
        let report = payload::read(headers, body).map_err(Unusable::Unreadable)?;
        Ok(Verified { webhook, report })
    }

    fn refuse(&self, name: &str) {
        let is_known = lock(&self.known).contains_key(name);
        let mut refused = lock(&self.refused);
        refused.total += 1;
        if is_known {
            *refused.by_webhook.entry(name.to_owned()).or_default() += 1;
        }
        if refused.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            refused.logged = Some(Instant::now());
            // Unauthenticated clients chose the other names.
            let webhook = if is_known { name } else { "unknown" };
            warn!(
                webhook,
                refused = refused.total,
                "refused a delivery: there is no such webhook, or its signature is wrong. Further ones are only counted for \
                 a minute. See: boatyard webhooks list"
            );
        }
    }
}
