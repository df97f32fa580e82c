//! How the front reaches an ingress. Behind it stands a process of its own; the tests of this crate put one in memory there.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ingress::control::{Control, ControlError, News};
use ingress::protocol::{Listener, ListenerKind, RouteTable, Status};
use tokio::sync::broadcast;
use tracing::info;

/// Finds an ingress.
#[async_trait]
pub(crate) trait Doors: Send + Sync {
    /// A connection to one that listens where it should. Errors: a sentence.
    async fn open(&self) -> Result<Opened, String>;
}

/// A connection that is in charge.
pub(crate) struct Opened {
    pub door: Arc<dyn Door>,
    /// The table in force when it was opened.
    pub table: RouteTable,
}

/// Why a table is not in force. Both are sentences.
#[derive(Debug, Clone)]
pub(crate) enum Unsent {
    /// The ingress does not answer: it is to be had again.
    Gone(String),
    /// Nothing is wrong with the ingress; the same may be tried later.
    Refused(String),
}

/// A connection to a living ingress. Errors are sentences.
#[async_trait]
pub(crate) trait Door: Send + Sync {
    /// Returns when no new request can see an older table.
    async fn set_table(&self, table: RouteTable) -> Result<(), Unsent>;
    /// What is in force, open and counted.
    async fn status(&self) -> Result<Status, String>;
    /// Ends it; open requests get `drain`. Returns when it is gone.
    async fn shutdown(&self, drain: Duration) -> Result<(), String>;
    /// News from now on.
    fn news(&self) -> broadcast::Receiver<News>;
}

/// How to start the ingress process and where it listens.
pub(crate) struct IngressProcess {
    pub program: PathBuf,
    pub data_dir: PathBuf,
    pub http: SocketAddr,
}

#[async_trait]
impl Doors for IngressProcess {
    /// Starts the process where none answers.
    async fn open(&self) -> Result<Opened, String> {
        let args = ["ingress".into(), "--data-dir".into(), self.data_dir.clone().into_os_string()];
        let log = self.data_dir.join("ingress.log");
        let running = || async {
            let launched = ingress::launch::ensure_running(&self.program, &args, &self.data_dir, &log).await;
            launched.map_err(|error| error.to_string())
        };
        let listeners = vec![Listener { address: self.http, kind: ListenerKind::Http }];
        let mut control = running().await?;
        let mut answer = control.hello(listeners.clone()).await;
        if let Err(ControlError::OtherProtocol { theirs }) = answer {
            info!(theirs, "the ingress that runs is of another version; replacing it");
            // Its hello has put us in charge all the same.
            control.end(REPLACED_WITHIN).await.map_err(|error| error.to_string())?;
            control = running().await?;
            answer = control.hello(listeners).await;
        }
        let welcome = answer.map_err(|error| error.to_string())?;
        let Some(refused) = welcome.refused.first() else {
            return Ok(Opened { door: Arc::new(control), table: welcome.table });
        };
        let kept = match welcome.status.listeners.is_empty() {
            false => "; what was open before stays open",
            // It has no door at all: nobody would miss it, or know of it.
            true => {
                drop(control.shutdown(Duration::ZERO).await);
                ""
            }
        };
        let (address, reason) = (refused.listener.address, &refused.reason);
        Err(format!("the front door cannot listen on {address}: {reason}{kept}. Choose another address with --http"))
    }
}

/// Open requests of an ingress that is replaced get this long: ours. Nobody is let in meanwhile.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

#[async_trait]
impl Door for Control {
    async fn set_table(&self, table: RouteTable) -> Result<(), Unsent> {
        Control::set_table(self, table).await.map(drop).map_err(|error| match error.is_transient() {
            true => Unsent::Gone(error.to_string()),
            false => Unsent::Refused(error.to_string()),
        })
    }

    async fn status(&self) -> Result<Status, String> {
        Control::status(self).await.map_err(|error| error.to_string())
    }

    async fn shutdown(&self, drain: Duration) -> Result<(), String> {
        self.end(drain).await.map_err(|error| error.to_string())
    }

    fn news(&self) -> broadcast::Receiver<News> {
        Control::news(self)
    }
}
