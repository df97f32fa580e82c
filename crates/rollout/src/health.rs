//! Why an instance did not pass its health check: what was asked, and what came back.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One health check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFailure {
    /// Where the instance was asked: its own address in the app's network, and the port of the check.
    pub address: SocketAddr,
    /// The request; `None` where a connection is all that is asked for.
    pub request: Option<ProbeRequest>,
    /// What came back.
    pub fault: ProbeFault,
}

/// A request of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// The path, with its query.
    pub path: String,
    /// The `Host` header that was sent.
    pub host: String,
}

/// How a health check fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ProbeFault {
    /// Nothing listens at the address and port.
    Refused,
    /// No whole answer within the check's time limit.
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// An answer with another status than 2xx or 3xx.
    Status {
        /// The status.
        code: u16,
    },
    /// What came back is no answer in the check's protocol, or the connection ended before one.
    Protocol {
        /// In the library's words.
        detail: String,
    },
    /// The address cannot be reached at all.
    Unreachable {
        /// In the system's words.
        detail: String,
    },
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address;
        match &self.fault {
            ProbeFault::Refused => write!(f, "{address} refused the connection")?,
            ProbeFault::TimedOut { after } => write!(f, "{address} did not answer within {} s", after.as_secs())?,
            ProbeFault::Status { code } => write!(f, "{address} answered with status {code}")?,
            ProbeFault::Protocol { detail } => write!(f, "{address} gave no valid answer: {detail}")?,
            ProbeFault::Unreachable { detail } => write!(f, "{address} cannot be reached: {detail}")?,
        }
        if let Some(ProbeRequest { path, host }) = &self.request {
            write!(f, " (GET {path}, Host: {host})")?;
        }
        Ok(())
    }
}

impl ProbeFailure {
    /// What usually causes it in an app, in one sentence; `None` where the answer itself says it.
    pub fn usual_cause(&self) -> Option<String> {
        let port = self.address.port();
        let causes = format!("the app listens on 127.0.0.1 instead of 0.0.0.0, or on another port than {port}");
        (self.fault == ProbeFault::Refused).then(|| format!("usual causes: {causes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_address_port_path_host_and_what_came_back() {
        let request = Some(ProbeRequest { path: "/health".into(), host: "shop.localhost".into() });
        let second = Duration::from_secs(1);
        let cases = [
            (ProbeFault::Refused, "10.208.0.5:8080 refused the connection (GET /health, Host: shop.localhost)"),
            (
                ProbeFault::TimedOut { after: second },
                "10.208.0.5:8080 did not answer within 1 s (GET /health, Host: shop.localhost)",
            ),
            (
                ProbeFault::Status { code: 401 },
                "10.208.0.5:8080 answered with status 401 (GET /health, Host: shop.localhost)",
            ),
            (
                ProbeFault::Protocol { detail: "invalid HTTP version parsed".into() },
                "10.208.0.5:8080 gave no valid answer: invalid HTTP version parsed (GET /health, Host: shop.localhost)",
            ),
            (
                ProbeFault::Unreachable { detail: "no route to host".into() },
                "10.208.0.5:8080 cannot be reached: no route to host (GET /health, Host: shop.localhost)",
            ),
        ];
        for (fault, expected) in cases {
            let address = ([10, 208, 0, 5], 8080).into();
            assert_eq!(ProbeFailure { address, request: request.clone(), fault }.to_string(), expected);
        }
    }
}
