//! What can go wrong at an engine. Each error is named for what failed.
//!
//! Every message names the object and the next action. `docker/failure.rs` turns raw engine answers into these errors,
//! so no crate above this one interprets engine messages.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::reference;

/// Failures of the verbs of [`crate::Engine`].
#[derive(Debug, Error)]
pub enum EngineError {
    /// No engine answers at the socket, or the connection broke before the answer.
    #[error(
        "no engine answers at {}: is it running? Try `systemctl status docker`, or name another socket",
        socket.display()
    )]
    Unreachable {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The socket exists, but this user may not open it.
    #[error(
        "this user may not open the engine's socket {}: add the user to the group that owns it (usually `docker`, whose members are equivalent to root) and log in again",
        socket.display()
    )]
    Forbidden { socket: PathBuf },
    /// The engine took longer than the verb's deadline. The effect may have happened: check before trying again.
    #[error("the engine did not finish `{verb}` within {} s{}", after.as_secs_f32(), uncertain(verb))]
    Timeout { verb: &'static str, after: Duration },
    /// The engine does not answer a question that a person waits for. Nothing was changed.
    #[error("{why}")]
    NoAnswer { why: String },
    /// The named object is not on the engine, or belongs to another owner.
    #[error("{what} is not on the engine, or does not belong to this installation")]
    NotFound { what: String },
    /// Another owner's object has a name that Boatyard needs. Boatyard did not touch it.
    #[error("another owner's object on the engine has the name {name}; Boatyard did not touch it: remove or rename it")]
    NameTaken { name: String },
    /// The subnet overlaps an existing one.
    #[error("the subnet {subnet} is in use already ({detail}); choose another one")]
    SubnetTaken { subnet: String, detail: String },
    /// Another endpoint has the address that this container needs.
    #[error(
        "{name} cannot start: its address is held by {}",
        holder.as_ref().map_or_else(|| format!("something that the engine does not name ({detail})"), Holder::to_string)
    )]
    AddressTaken { name: String, holder: Option<Holder>, detail: String },
    /// Something else on the engine's host has a port of 127.0.0.1 that this container publishes.
    #[error("{name} cannot start: its port {}on 127.0.0.1 is taken: {detail}", port.map_or_else(String::new, |it| format!("{it} ")))]
    PortTaken { name: String, port: Option<u16>, detail: String },
    /// Containers are on the network, so it cannot be removed.
    #[error(
        "the network {network} cannot be removed while {} on it. Run: docker network disconnect --force {network} {}",
        containers_are(by),
        by.first().map_or("CONTAINER", String::as_str)
    )]
    NetworkInUse { network: String, by: Vec<String> },
    /// The image is not on this engine.
    #[error("the image {reference} is not on the engine; build or pull it again")]
    ImageMissing { reference: String },
    /// The command needs a shell that the image does not have.
    #[error(
        "{name} cannot start: its image has no shell at {shell}; write the run command without shell syntax, or use an image that has a shell"
    )]
    NoShell { name: String, shell: String },
    /// The image does not contain the program.
    #[error(
        "{name} cannot start: its image has no command {command}, or not the interpreter that it names; check the run command and the image's PATH"
    )]
    CommandNotFound { name: String, command: String },
    /// The program exists and is not executable.
    #[error("{name} cannot start: {command} is not executable; give it the executable bit in the image")]
    CommandNotExecutable { name: String, command: String },
    /// The program is built for another processor architecture.
    #[error(
        "{name} cannot start: {command} is built for another processor architecture; use an image made for this host's"
    )]
    WrongArchitecture { name: String, command: String },
    /// The engine's disk has no free bytes or no free inodes.
    #[error("the engine's disk is full: {detail}. No running container was changed; free space there and try again")]
    DiskFull { detail: String },
    /// A step of a build failed.
    #[error("the build failed at {step}: {message}")]
    BuildFailed { step: String, message: String },
    /// The Dockerfile is not valid, or names a stage or file that does not exist.
    #[error("the Dockerfile cannot be built: {message}")]
    DockerfileInvalid { message: String },
    /// The build arguments do not fit into one request.
    #[error(
        "the build variables have {bytes} bytes, and the engine takes at most about {limit} as it receives them; put large \
         values into files of the repository, or give variables that the build does not need the scope RUN_TIME"
    )]
    BuildArgumentsTooLarge { bytes: usize, limit: usize },
    /// The frontend named in the Dockerfile's `# syntax=` line cannot be fetched.
    #[error(
        "the Dockerfile asks for the frontend {frontend} by its `# syntax=` line, and it cannot be fetched ({cause}); remove that line, or make the registry reachable"
    )]
    FrontendUnavailable { frontend: String, cause: String },
    /// The build context ended with an error; the engine built nothing.
    #[error("the build context could not be sent; nothing was built")]
    ContextFailed {
        #[source]
        source: io::Error,
    },
    /// A registry did not provide the image. `cause`: the engine's message.
    #[error("cannot pull {reference}: {}", problem.explain(reference, cause))]
    PullFailed { reference: String, problem: PullProblem, cause: String },
    /// A registry did not say which image a tag names.
    #[error("the registry of {reference} could not be asked: {cause}")]
    RegistryQueryFailed { reference: String, cause: String },
    /// The object's state or use does not allow this now. Nothing was changed.
    #[error("{what} cannot be changed now: {detail}")]
    Conflict { what: String, detail: String },
    /// Any other failure; `status` is the engine's HTTP status, if it sent one.
    #[error("the engine refused `{verb}`{}: {message}", status.map(|s| format!(" (status {s})")).unwrap_or_default())]
    Other { verb: &'static str, status: Option<u16>, message: String },
}

/// Why a registry did not provide an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullProblem {
    /// The registry asks for a login, and none was given. Some registries also answer so for an image that they lack.
    NoLogin,
    /// The registry refused the login of this user, or the user may not have the image.
    LoginRefused { username: String },
    /// The registry has no such repository, tag or digest.
    UnknownImage,
    /// The registry did not answer, or not in a way that can be trusted.
    Unreachable,
    /// Too many requests came from this host or this user.
    RateLimited,
    /// Anything else.
    Other,
}

impl PullProblem {
    /// What happened at the registry, and what to do.
    fn explain(&self, reference: &str, cause: &str) -> String {
        let host = reference::host(reference);
        match self {
            Self::NoLogin => format!(
                "{host} has no such image, or gives it only after a login ({cause}). Run: boatyard registries add {host} \
                 --username NAME --password-file FILE"
            ),
            Self::LoginRefused { username } => format!(
                "{host} refused the login of {username} ({cause}). Check that the user may pull the image, or replace the \
                 login: boatyard registries add {host} --username {username} --password-file FILE"
            ),
            Self::UnknownImage => {
                format!("{host} does not have it ({cause}). Check registry, repository and tag in the app spec")
            }
            Self::Unreachable => {
                format!(
                    "{host} cannot be reached ({cause}). Check its name, and the network of this host; then deploy again"
                )
            }
            Self::RateLimited => format!(
                "{host} limits how often it is asked ({cause}). Deploy again later, or log in: boatyard registries add {host} \
                 --username NAME --password-file FILE"
            ),
            Self::Other => cause.to_owned(),
        }
    }
}

/// The container that has an address, and its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The name that the engine shows for the container.
    pub container: String,
    pub network: String,
    pub address: Ipv4Addr,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { container, network, address } = self;
        write!(
            f,
            "the container {container}, which has {address} on network {network}. Run: docker network disconnect {network} {container}"
        )
    }
}

/// What to know about an action that may have taken effect. A question has no effect.
fn uncertain(verb: &str) -> &'static str {
    match verb {
        "events" | "image" | "info" | "inspect" | "list" | "logs" | "networks" | "stats" | "tags" | "version"
        | "volumes" => "",
        _ => "; the action may have taken effect, check before trying again",
    }
}

fn containers_are(names: &[String]) -> String {
    match names {
        [one] => format!("the container {one} is"),
        several => format!("the containers {} are", several.join(", ")),
    }
}

impl EngineError {
    /// Whether the same call may succeed later without any change to the request.
    pub fn is_transient(&self) -> bool {
        match self {
            EngineError::Unreachable { .. }
            | EngineError::Timeout { .. }
            | EngineError::NoAnswer { .. }
            | EngineError::Conflict { .. }
            | EngineError::NetworkInUse { .. } => true,
            // A 5xx without a known cause: the container runtime below the engine may be unavailable for a moment.
            EngineError::Other { status, .. } => status.is_none_or(|code| code >= 500),
            EngineError::Forbidden { .. }
            | EngineError::NotFound { .. }
            | EngineError::NameTaken { .. }
            | EngineError::SubnetTaken { .. }
            | EngineError::AddressTaken { .. }
            | EngineError::PortTaken { .. }
            | EngineError::ImageMissing { .. }
            | EngineError::NoShell { .. }
            | EngineError::CommandNotFound { .. }
            | EngineError::CommandNotExecutable { .. }
            | EngineError::WrongArchitecture { .. }
            | EngineError::DiskFull { .. }
            | EngineError::BuildFailed { .. }
            | EngineError::DockerfileInvalid { .. }
            | EngineError::BuildArgumentsTooLarge { .. }
            | EngineError::FrontendUnavailable { .. }
            | EngineError::ContextFailed { .. }
            | EngineError::PullFailed { .. }
            | EngineError::RegistryQueryFailed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_without_a_change_are_transient() {
        let passing = [
            EngineError::Timeout { verb: "list", after: Duration::from_secs(15) },
            EngineError::Conflict { what: "network a".into(), detail: "has active endpoints".into() },
            EngineError::Other { verb: "create", status: Some(500), message: "containerd is down".into() },
            EngineError::Unreachable {
                socket: "/var/run/docker.sock".into(),
                source: io::ErrorKind::ConnectionRefused.into(),
            },
        ];
        let lasting = [
            EngineError::NameTaken { name: "a".into() },
            EngineError::ImageMissing { reference: "a:1".into() },
            EngineError::Other { verb: "create", status: Some(400), message: "bad parameter".into() },
        ];
        assert!(passing.iter().all(EngineError::is_transient));
        assert!(!lasting.iter().any(EngineError::is_transient));
    }

    #[test]
    fn only_an_action_may_have_taken_effect_after_its_deadline() {
        let text = |verb| EngineError::Timeout { verb, after: Duration::from_secs(15) }.to_string();
        assert_eq!(text("list"), "the engine did not finish `list` within 15 s");
        assert!(text("stop").ends_with("check before trying again"), "{}", text("stop"));
    }

    #[test]
    fn an_obstacle_is_named_with_the_command_that_removes_it() {
        let address = Ipv4Addr::new(10, 192, 7, 3);
        let holder = Holder { container: "theirs".into(), network: "by-i-shop".into(), address };
        let taken = EngineError::AddressTaken { name: "web.0".into(), holder: Some(holder), detail: "in use".into() };
        let text = taken.to_string();
        assert!(text.contains("theirs, which has 10.192.7.3"), "{text}");
        assert!(text.ends_with("docker network disconnect by-i-shop theirs"), "{text}");
        let unknown = EngineError::AddressTaken { name: "web.0".into(), holder: None, detail: "in use".into() };
        assert!(unknown.to_string().contains("in use"), "{unknown}");
        let in_use = EngineError::NetworkInUse { network: "by-i-shop".into(), by: vec!["a".into(), "b".into()] };
        let text = in_use.to_string();
        assert!(text.contains("the containers a, b are on it") && text.ends_with("by-i-shop a"), "{text}");
        assert!(in_use.is_transient(), "it passes once the containers have left");
    }

    #[test]
    fn a_failed_pull_names_the_registry_and_the_next_command() {
        let text = |problem| {
            let (reference, cause) = ("ghcr.io/acme/shop:1".into(), "its message".into());
            EngineError::PullFailed { reference, problem, cause }.to_string()
        };
        for (problem, next) in [
            (PullProblem::NoLogin, "boatyard registries add ghcr.io --username NAME"),
            (PullProblem::LoginRefused { username: "ada".into() }, "boatyard registries add ghcr.io --username ada"),
            (PullProblem::UnknownImage, "Check registry, repository and tag"),
            (PullProblem::Unreachable, "then deploy again"),
            (PullProblem::RateLimited, "boatyard registries add ghcr.io"),
        ] {
            let text = text(problem);
            assert!(text.starts_with("cannot pull ghcr.io/acme/shop:1: ghcr.io "), "{text}");
            assert!(text.contains("(its message)") && text.contains(next), "{text}");
        }
        assert_eq!(text(PullProblem::Other), "cannot pull ghcr.io/acme/shop:1: its message");
    }

    #[test]
    fn an_unreachable_engine_error_names_the_socket_and_the_next_action() {
        let error = EngineError::Unreachable {
            socket: "/run/here.sock".into(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        let text = error.to_string();
        assert!(text.contains("/run/here.sock") && text.contains("is it running?"), "{text}");
    }
}
