//! Connecting to an ingress: a separate process, or an ingress in memory in the tests of this crate.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ingress::client::{ClientError, ControlClient, IngressEvent};
use ingress::launch::{ensure_running, program_identity, replace_running};
use ingress::protocol::{
    AccessLogFormat, CertificateSet, Listener, ListenerKind, PROTOCOL_VERSION, RouteTable, Status, TrustedProxies,
};
use tokio::sync::broadcast;
use tracing::{info, warn};

/// Opens connections to an ingress.
#[async_trait]
pub(crate) trait IngressConnector: Send + Sync {
    /// Connects to an ingress that listens on its address. Errors: a sentence.
    async fn open(&self) -> Result<Opened, String>;
    /// Replaces the running ingress by one of this version, and connects to it. Errors: a sentence.
    async fn replace(&self) -> Result<Opened, String>;
}

/// A connection that is in charge of the ingress.
pub(crate) struct Opened {
    pub connection: Arc<dyn IngressConnection>,
    /// The table that was in force when the connection was opened.
    pub table: RouteTable,
    /// What the ingress can do: see [`ingress::features`].
    pub features: u32,
}

/// Why the ingress did not accept a table. A text is a sentence.
#[derive(Debug, Clone)]
pub(crate) enum Unsent {
    /// The ingress does not answer: connect again.
    Gone(String),
    /// The ingress answered and refused: another connection is in charge, or the table is not valid. A new hello shows
    /// which table the ingress has.
    Refused(String),
    /// The table needs a newer ingress, so it was not sent.
    Outdated,
}

impl Unsent {
    pub fn why(self) -> String {
        match self {
            Unsent::Gone(why) | Unsent::Refused(why) => why,
            Unsent::Outdated => "the running ingress is of an older version and is being replaced; try again".into(),
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

/// A connection to a running ingress. Errors are sentences.
#[async_trait]
pub(crate) trait IngressConnection: Send + Sync {
    /// Sends a table. Returns when no new request can use an older one.
    async fn set_table(&self, table: RouteTable) -> Result<(), Unsent>;
    /// Replaces all certificates. Returns when new connections get them.
    async fn set_certificates(&self, certificates: CertificateSet) -> Result<(), Unsent>;
    /// The table in force, open requests and request counts.
    async fn status(&self) -> Result<Status, String>;
    /// Stops the ingress; open requests get `drain` to end. Returns when the process is gone.
    async fn shutdown(&self, drain: Duration) -> Result<(), Unsent>;
    /// Events from now on.
    fn news(&self) -> broadcast::Receiver<IngressEvent>;
}

/// How to start the ingress process and where it listens.
pub(crate) struct IngressProcess {
    pub program: PathBuf,
    pub data_dir: PathBuf,
    pub http: SocketAddr,
    pub https: Option<SocketAddr>,
    pub access_log: AccessLogFormat,
    pub proxies: TrustedProxies,
}

#[async_trait]
impl IngressConnector for IngressProcess {
    /// Starts the process unless one answers.
    async fn open(&self) -> Result<Opened, String> {
        let mut tries = 1;
        loop {
            match self.try_open(false).await {
                // The other process may be an ingress of this data directory that is about to listen in it again: see
                // `ingress::maintenance`.
                Err(Closed::Taken(_)) if tries < TRIES => tokio::time::sleep(BETWEEN_TRIES).await,
                other => return other.map_err(|(Closed::Taken(why) | Closed::Other(why))| why),
            }
            tries += 1;
        }
    }

    async fn replace(&self) -> Result<Opened, String> {
        self.try_open(true).await.map_err(|(Closed::Taken(why) | Closed::Other(why))| why)
    }
}

/// An ingress whose data directory was replaced listens in the new one within about 2 s.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Why the connection could not be opened. Both variants hold a sentence.
enum Closed {
    /// A new ingress was started, but another process already uses its address.
    Taken(String),
    Other(String),
}

impl From<String> for Closed {
    fn from(why: String) -> Self {
        Closed::Other(why)
    }
}

impl IngressProcess {
    /// `replace`: not with the process that runs now.
    async fn try_open(&self, replace: bool) -> Result<Opened, Closed> {
        let http = Listener { address: self.http, kind: ListenerKind::Http };
        let https = self.https.map(|address| Listener { address, kind: ListenerKind::Https });
        let listeners: Vec<Listener> = [http.clone()].into_iter().chain(https).collect();
        let hello = async |control: &ControlClient| control.hello_behind(listeners.clone(), self.proxies.clone()).await;
        let mut control = self.running().await?;
        let mut answer = hello(&control).await;
        if self.https.is_some() && matches!(answer, Err(ClientError::Refused { .. })) {
            // An ingress that is older than HTTPS does not understand the listener. This hello takes charge of it.
            control.hello(vec![http.clone()]).await.map_err(|error| error.to_string())?;
            answer = Err(ClientError::ProtocolMismatch { protocol: PROTOCOL_VERSION });
        }
        let is_outdated = match &answer {
            // An older ingress would write no access log, and ignores proxies.
            Ok(welcome) => {
                self.access_log != AccessLogFormat::Off && welcome.status.features == 0
                    || welcome.status.proxies != self.proxies
            }
            Err(error) => matches!(error, ClientError::ProtocolMismatch { .. }),
        };
        let own = program_identity(&self.program).ok();
        let is_other_program =
            matches!(&answer, Ok(it) if it.status.features > 0 && Some(&it.status.program) != own.as_ref());
        let is_needed = replace || is_outdated;
        if (is_needed || is_other_program)
            && let Some(new) = self.replacement(is_needed, http).await?
        {
            control = new;
            answer = hello(&control).await;
        }
        let welcome = answer.map_err(|error| error.to_string())?;
        if welcome.status.features > 0 {
            control.set_access_log(self.access_log).await.map_err(|error| error.to_string())?;
        }
        let Some(refused) = welcome.refused.first() else {
            let (table, features) = (welcome.table, welcome.status.features);
            return Ok(Opened { connection: Arc::new(control), table, features });
        };
        let (address, reason) = (refused.listener.address, &refused.reason);
        let option = match refused.listener.kind {
            ListenerKind::Http => "--http",
            ListenerKind::Https => "--https",
        };
        let sentence = |kept: &str| {
            format!("the ingress cannot listen on {address}: {reason}{kept}. Choose another address with {option}")
        };
        if !welcome.status.listeners.is_empty() {
            return Err(Closed::Other(sentence("; what was open before stays open")));
        }
        // The ingress listens nowhere, so nothing depends on it: stop it instead of leaving it behind.
        drop(control.shutdown_and_wait(Duration::ZERO).await);
        Err(Closed::Taken(sentence("")))
    }

    fn arguments(&self) -> Vec<OsString> {
        vec!["ingress".into(), "--data-dir".into(), self.data_dir.clone().into_os_string()]
    }

    fn log(&self) -> PathBuf {
        self.data_dir.join("ingress.log")
    }

    /// Connects to the running ingress, or starts one.
    async fn running(&self) -> Result<ControlClient, String> {
        let launched = ensure_running(&self.program, &self.arguments(), &self.data_dir, &self.log()).await;
        launched.map_err(|error| error.to_string())
    }

    /// A new process in place of the running one. `None`: the running one cannot hand over, and goes on because a new one is
    /// not needed.
    async fn replacement(&self, is_needed: bool, http: Listener) -> Result<Option<ControlClient>, String> {
        let mut arguments = self.arguments();
        arguments.push("--replace".into());
        let error = match replace_running(&self.program, &arguments, &self.data_dir, &self.log()).await {
            Ok(new) => {
                info!("a new ingress process took over from one of another version");
                return Ok(Some(new));
            }
            Err(error) => error,
        };
        if !is_needed {
            warn!(%error, "the running ingress, of another version, cannot hand over; it keeps running");
            return Ok(None);
        }
        warn!(%error, "the running ingress, of another version, cannot hand over; connections are refused until the new one listens");
        // On a new connection, because the attempt may have taken charge. A hello takes charge although the versions differ.
        let old = self.running().await?;
        let _ = old.hello(vec![http]).await;
        old.shutdown_and_wait(REPLACED_WITHIN).await.map_err(|error| error.to_string())?;
        self.running().await.map(Some)
    }
}

/// How long the open requests of an ingress get when the controller replaces it. The ingress accepts no new connections
/// during that time, so this is shorter than a normal drain.
const REPLACED_WITHIN: Duration = Duration::from_secs(10);

#[async_trait]
impl IngressConnection for ControlClient {
    async fn set_table(&self, table: RouteTable) -> Result<(), Unsent> {
        Ok(ControlClient::set_table(self, table).await.map(drop)?)
    }

    async fn set_certificates(&self, certificates: CertificateSet) -> Result<(), Unsent> {
        Ok(ControlClient::set_certificates(self, certificates).await?)
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
