//! Translates failures of the engine and of the client library into [`EngineError`]. Only this file interprets the
//! engine's messages.

use std::io;
use std::path::Path;

use bollard::errors::Error;

use crate::error::{EngineError, PullProblem};
use crate::exit_message::command_failure;
use crate::secret::RegistryLogin;

/// The general translation; verbs that know more check [`status`] first.
pub(super) fn translate(socket: &Path, verb: &'static str, error: Error) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code, message } => refused(verb, Some(status_code), message),
        Error::DockerStreamError { error } => refused(verb, None, error),
        Error::SocketNotFoundError(_) => unreachable_at(socket, io::ErrorKind::NotFound.into()),
        Error::IOError { err } => unreachable_at(socket, err),
        Error::HyperResponseError { err } => broken_connection(socket, &err),
        Error::HyperLegacyError { err } => broken_connection(socket, &err),
        other => EngineError::Other { verb, status: None, message: other.to_string() },
    }
}

/// The engine refused the request.
pub(super) fn refused(verb: &'static str, status: Option<u16>, message: String) -> EngineError {
    if is_disk_full(&message) {
        return EngineError::DiskFull { detail: message };
    }
    // The engine has begun to remove the container. It lists the container for a moment longer.
    if message.contains("is marked for removal") {
        return EngineError::NotFound { what: format!("the container of the call {verb}") };
    }
    EngineError::Other { verb, status, message }
}

/// The HTTP status of a refusal that is not translated further.
pub(super) fn status(error: &EngineError) -> Option<u16> {
    match error {
        EngineError::Other { status, .. } => *status,
        _ => None,
    }
}

/// Whether the engine refused to update a container because its process has just ended. containerd notices the end of a
/// process before the engine does.
pub(super) fn is_process_gone(error: &EngineError) -> bool {
    let gone = ["cannot update a stopped container", "cannot update a deleted process"];
    matches!(error, EngineError::Other { message, .. } if gone.iter().any(|text| message.contains(text)))
}

/// Turns a refusal because of the state or use of `what` into a conflict, and leaves other errors unchanged.
pub(super) fn conflict(what: &str, error: EngineError) -> EngineError {
    match error {
        EngineError::Other { status: Some(403 | 409), message, .. } => {
            EngineError::Conflict { what: what.to_owned(), detail: message }
        }
        other => other,
    }
}

/// Why a container did not start.
pub(super) fn start_failure(name: &str, error: EngineError) -> EngineError {
    let EngineError::Other { status, message, verb } = error else { return error };
    let lower = message.to_lowercase();
    if is_port_taken(&lower) {
        return EngineError::PortTaken { name: name.to_owned(), port: port_in(&lower), detail: message };
    }
    if lower.contains("address already in use") {
        return EngineError::AddressTaken { name: name.to_owned(), holder: None, detail: message };
    }
    let understood = quoted_after(&message, "exec: ").and_then(|command| command_failure(name, &command, &lower));
    if let Some(error) = understood {
        return error;
    }
    match status {
        Some(404) => {
            EngineError::NotFound { what: format!("container {name}, or something that it needs ({message}),") }
        }
        Some(409) => EngineError::Conflict { what: format!("container {name}"), detail: message },
        _ => EngineError::Other { verb, status, message },
    }
}

/// The messages of the engine, its proxy, rootlesskit and Docker Desktop. `message` is in lower case.
fn is_port_taken(message: &str) -> bool {
    let in_use = message.contains("address already in use");
    let is_about_ports =
        || ["userland proxy", "portmanager", "host port", "exposing port"].iter().any(|it| message.contains(it));
    message.contains("port is already allocated") || in_use && is_about_ports()
}

fn port_in(message: &str) -> Option<u16> {
    let digits = message.split_once("127.0.0.1:")?.1;
    digits.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}

/// An image that a registry did not provide. `cause`: the engine's message. `login`: the one that the registry was given.
pub(super) fn pull_failure(reference: &str, cause: String, login: Option<&RegistryLogin>) -> EngineError {
    if is_disk_full(&cause) {
        return EngineError::DiskFull { detail: cause };
    }
    EngineError::PullFailed { reference: reference.to_owned(), problem: pull_problem(&cause, login), cause }
}

fn pull_problem(cause: &str, login: Option<&RegistryLogin>) -> PullProblem {
    let lower = cause.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["toomanyrequests", "too many requests", "rate limit"]) {
        return PullProblem::RateLimited;
    }
    // "access denied" comes before "does not exist": registries use both words for an image that they may have.
    let words = [
        "unauthorized",
        "access denied",
        "denied:",
        "no basic auth credentials",
        "authorization failed",
        "403 forbidden",
    ];
    if says(&words) {
        return match login {
            Some(login) => PullProblem::LoginRefused { username: login.username.clone() },
            None => PullProblem::NoLogin,
        };
    }
    if says(&["manifest unknown", "name unknown", "not found", "does not exist", "no matching manifest"]) {
        return PullProblem::UnknownImage;
    }
    let network = [
        "connection refused",
        "connection reset",
        "no such host",
        "no route to host",
        "network is unreachable",
        "server misbehaving",
        "timeout",
        "deadline exceeded",
        "canceled while waiting",
        "x509:",
        "http response to https client",
        "unexpected eof",
        ": eof",
    ];
    if says(&network) {
        return PullProblem::Unreachable;
    }
    PullProblem::Other
}

pub(super) fn is_disk_full(message: &str) -> bool {
    let lower = message.to_lowercase();
    lower.contains("no space left on device") || lower.contains("disk quota exceeded")
}

/// The text in double quotes that follows `marker`.
fn quoted_after(message: &str, marker: &str) -> Option<String> {
    let after = message.split_once(marker)?.1.strip_prefix('"')?;
    Some(after.split_once('"')?.0.to_owned())
}

pub(super) fn broken_connection(socket: &Path, error: &(dyn std::error::Error + 'static)) -> EngineError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return unreachable_at(socket, io::Error::new(io.kind(), io.to_string()));
        }
        cause = error.source();
    }
    // There is no I/O error below: the engine closed the connection before it answered.
    let text = error.source().map_or_else(|| error.to_string(), |source| source.to_string());
    unreachable_at(socket, io::Error::new(io::ErrorKind::ConnectionAborted, text))
}

pub(super) fn unreachable_at(socket: &Path, source: io::Error) -> EngineError {
    let socket = socket.to_owned();
    if source.kind() == io::ErrorKind::PermissionDenied {
        return EngineError::Forbidden { socket };
    }
    EngineError::Unreachable { socket, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, message: &str) -> EngineError {
        refused("start", Some(status), message.into())
    }

    #[test]
    fn start_errors_become_sentences() {
        let not_in_path = r#"OCI runtime create failed: container_linux.go:380: starting container process caused: exec: "serve": executable file not found in $PATH: unknown"#;
        let no_shell = r#"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: "/bin/sh": stat /bin/sh: no such file or directory: unknown"#;
        let not_executable = r#"OCI runtime create failed: starting container process caused: exec: "/app/run": permission denied: unknown"#;
        let case = |status, text| start_failure("web.0", refusal(status, text));
        assert!(matches!(case(400, not_in_path), EngineError::CommandNotFound { command, .. } if command == "serve"));
        assert!(matches!(case(400, no_shell), EngineError::NoShell { shell, .. } if shell == "/bin/sh"));
        assert!(matches!(case(400, not_executable), EngineError::CommandNotExecutable { .. }));
        assert!(matches!(case(403, "Address already in use"), EngineError::AddressTaken { .. }));
        for taken in [
            "driver failed programming external connectivity on endpoint web (1f): Bind for 127.0.0.1:20001 failed: port is already allocated",
            "Error starting userland proxy: listen tcp4 127.0.0.1:20001: bind: address already in use",
            "Error starting userland proxy: error while calling PortManager.AddPort(): listen tcp4 127.0.0.1:20001: bind: address already in use",
            "failed to bind host port 127.0.0.1:20001/tcp: address already in use",
            "Ports are not available: exposing port TCP 127.0.0.1:20001 -> 127.0.0.1:0: listen tcp4 127.0.0.1:20001: bind: address already in use",
        ] {
            let error = case(500, taken);
            assert!(matches!(error, EngineError::PortTaken { port: Some(20_001), .. }), "{error}");
        }
        assert!(matches!(case(404, "network 1f not found"), EngineError::NotFound { .. }));
        assert!(matches!(case(409, "is being removed"), EngineError::Conflict { .. }));
        assert!(matches!(case(500, "else"), EngineError::Other { status: Some(500), .. }));
    }

    #[test]
    fn a_full_disk_is_recognised_behind_any_status() {
        let full = "mkdir /var/lib/docker/overlay2/1f: no space left on device";
        assert!(matches!(refusal(500, full), EngineError::DiskFull { .. }));
        assert!(matches!(start_failure("web.0", refusal(500, full)), EngineError::DiskFull { .. }));
    }

    #[test]
    fn a_container_that_is_being_removed_counts_as_gone() {
        let text = r#"Cannot update container 84c3: container is marked for removal and cannot be "update""#;
        assert!(matches!(refusal(500, text), EngineError::NotFound { .. }));
        let text = "container is marked for removal and cannot be started";
        assert!(matches!(start_failure("web.0", refusal(409, text)), EngineError::NotFound { .. }));
    }

    #[test]
    fn the_problem_with_a_registry_is_recognised() {
        use PullProblem::*;
        let login = RegistryLogin { username: "ada".into(), password: crate::Secret::new("x") };
        let refused = || LoginRefused { username: "ada".into() };
        let cases = [
            // Docker Engine 20.10 and newer ones, and BuildKit, with Docker Hub and with the registry of Docker.
            ("Head \"http://127.0.0.1:5000/v2/shop/manifests/1\": no basic auth credentials", NoLogin, refused()),
            ("unauthorized: authentication required", NoLogin, refused()),
            (
                "pull access denied for acme/shop, repository does not exist or may require 'docker login': denied: requested \
                 access to the resource is denied",
                NoLogin,
                refused(),
            ),
            (
                "pull access denied, repository does not exist or may require authorization: authorization failed: no basic \
                 auth credentials",
                NoLogin,
                refused(),
            ),
            ("failed to authorize: rpc error: code = Unknown desc = 401 Unauthorized", NoLogin, refused()),
            ("manifest for shop:2 not found: manifest unknown: manifest unknown", UnknownImage, UnknownImage),
            ("ghcr.io/acme/shop:2: not found", UnknownImage, UnknownImage),
            (
                "Get \"https://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                Unreachable,
                Unreachable,
            ),
            ("dial tcp: lookup registry.example: no such host", Unreachable, Unreachable),
            ("net/http: TLS handshake timeout", Unreachable, Unreachable),
            ("x509: certificate signed by unknown authority", Unreachable, Unreachable),
            (
                "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating",
                RateLimited,
                RateLimited,
            ),
            ("invalid reference format", Other, Other),
        ];
        for (cause, without, with) in cases {
            assert_eq!(pull_problem(cause, None), without, "{cause}");
            assert_eq!(pull_problem(cause, Some(&login)), with, "{cause}");
        }
        let full = pull_failure("shop:1", "write /var/lib/docker/tmp/x: no space left on device".into(), None);
        assert!(matches!(full, EngineError::DiskFull { .. }), "{full}");
    }

    #[test]
    fn a_socket_without_permission_differs_from_one_without_a_listener() {
        let socket = Path::new("/run/x.sock");
        let denied = unreachable_at(socket, io::ErrorKind::PermissionDenied.into());
        assert!(matches!(denied, EngineError::Forbidden { .. }), "{denied}");
        let refused = unreachable_at(socket, io::ErrorKind::ConnectionRefused.into());
        assert!(matches!(refused, EngineError::Unreachable { .. }), "{refused}");
    }
}
