//! Why an instance did not pass its health check: the request and the response.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One health check that did not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFailure {
    /// The instance's address in the app's network, and the port of the check.
    pub address: SocketAddr,
    /// The HTTP request; `None` if the check only opens a TCP connection.
    pub request: Option<ProbeRequest>,
    /// What went wrong.
    pub fault: ProbeFault,
}

/// The HTTP request of a health check.
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
    /// No complete response within the check's time limit.
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// A response with a status other than 2xx or 3xx.
    Status {
        /// The status.
        code: u16,
    },
    /// The response is not valid HTTP, or the connection ended before a response.
    Protocol {
        /// The HTTP library's message.
        detail: String,
    },
    /// The address cannot be reached at all.
    Unreachable {
        /// The operating system's message.
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
    /// The usual cause in an app, in one sentence; `None` where the failure itself is clear enough.
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
    fn a_failure_names_address_port_path_host_and_response() {
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
