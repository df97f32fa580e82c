//! How the client reaches an ingress: another process, or in the tests of this crate one in memory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ingress::client::{ClientError, ControlClient, IngressEvent};
use ingress::protocol::{Listener, ListenerKind, RouteTable, Status};
use tokio::sync::broadcast;
use tracing::info;

/// Finds an ingress.
#[async_trait]
pub(crate) trait IngressConnector: Send + Sync {
    /// A connection to one that listens where it should. Errors: a sentence.
    async fn open(&self) -> Result<Opened, String>;
}

/// A connection that is in charge.
pub(crate) struct Opened {
    pub connection: Arc<dyn IngressConnection>,
    /// The table in force when it was opened.
    pub table: RouteTable,
}

/// Why a table is not in force. Both are sentences.
#[derive(Debug, Clone)]
pub(crate) enum Unsent {
    /// The ingress does not answer: it is to be had again.
    Gone(String),
    /// It lives, and refused: another connection is in charge of it, or it cannot use the table. A new hello says which
    /// table it has.
    Refused(String),
}

impl Unsent {
    pub fn why(self) -> String {
        match self {
            Unsent::Gone(why) | Unsent::Refused(why) => why,
        }
    }
}

impl From<ClientError> for Unsent {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { .. } => Unsent::Refused(error.to_string()),
            _ => Unsent::Gone(error.to_string()),
        }
    }
}

/// A connection to a living ingress. Errors are sentences.
#[async_trait]
pub(crate) trait IngressConnection: Send + Sync {
    /// Returns when no new request can see an older table.
    async fn set_table(&self, table: RouteTable) -> Result<(), Unsent>;
    /// What is in force, open and counted.
    async fn status(&self) -> Result<Status, String>;
    /// Ends it; open requests get `drain`. Returns when it is gone.
    async fn shutdown(&self, drain: Duration) -> Result<(), Unsent>;
    /// IngressEvent from now on.
    fn news(&self) -> broadcast::Receiver<IngressEvent>;
}

/// How to start the ingress process and where it listens.
pub(crate) struct IngressProcess {
    pub program: PathBuf,
    pub data_dir: PathBuf,
    pub http: SocketAddr,
}

#[async_trait]
impl IngressConnector for IngressProcess {
    /// Starts the process where none answers.
    async fn open(&self) -> Result<Opened, String> {
        let mut tries = 1;
        loop {
            match self.try_open().await {
                // It may be an ingress of this directory that finds its way back into it: see `ingress::maintenance`.
                Err(Closed::Taken(_)) if tries < TRIES => tokio::time::sleep(BETWEEN_TRIES).await,
                other => return other.map_err(|(Closed::Taken(why) | Closed::Other(why))| why),
            }
            tries += 1;
        }
    }
}

/// An ingress whose data directory was replaced under it listens in the new one within about 2 s.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Why there is no ingress. Both are sentences.
enum Closed {
    /// One was started, and another process has its address.
    Taken(String),
    Other(String),
}

impl From<String> for Closed {
    fn from(why: String) -> Self {
        Closed::Other(why)
    }
}

impl IngressProcess {
    async fn try_open(&self) -> Result<Opened, Closed> {
        let args = ["ingress".into(), "--data-dir".into(), self.data_dir.clone().into_os_string()];
        let log = self.data_dir.join("ingress.log");
        let running = || async {
            let launched = ingress::launch::ensure_running(&self.program, &args, &self.data_dir, &log).await;
            launched.map_err(|error| error.to_string())
        };
        let listeners = vec![Listener { address: self.http, kind: ListenerKind::Http }];
        let mut control = running().await?;
        let mut answer = control.hello(listeners.clone()).await;
        if let Err(ClientError::ProtocolMismatch { protocol }) = answer {
            info!(protocol, "the ingress that runs is of another version; replacing it");
            // Its hello has put us in charge all the same.
            control.shutdown_and_wait(REPLACED_WITHIN).await.map_err(|error| error.to_string())?;
            control = running().await?;
            answer = control.hello(listeners).await;
        }
        let welcome = answer.map_err(|error| error.to_string())?;
        let Some(refused) = welcome.refused.first() else {
            return Ok(Opened { connection: Arc::new(control), table: welcome.table });
        };
        let (address, reason) = (refused.listener.address, &refused.reason);
        let sentence = |kept: &str| {
            format!("the ingress cannot listen on {address}: {reason}{kept}. Choose another address with --http")
        };
        if !welcome.status.listeners.is_empty() {
            return Err(Closed::Other(sentence("; what was open before stays open")));
        }
        // It listens nowhere: nobody would miss it, or know of it.
        drop(control.shutdown_and_wait(Duration::ZERO).await);
        Err(Closed::Taken(sentence("")))
    }
}

/// Open requests of an ingress that is replaced get this long: ours. Nobody is let in meanwhile.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

#[async_trait]
impl IngressConnection for ControlClient {
    async fn set_table(&self, table: RouteTable) -> Result<(), Unsent> {
        Ok(ControlClient::set_table(self, table).await.map(drop)?)
    }

    async fn status(&self) -> Result<Status, String> {
        ControlClient::status(self).await.map_err(|error| error.to_string())
    }

    async fn shutdown(&self, drain: Duration) -> Result<(), Unsent> {
        Ok(self.shutdown_and_wait(drain).await?)
    }

    fn news(&self) -> broadcast::Receiver<IngressEvent> {
        ControlClient::events(self)
    }
}
