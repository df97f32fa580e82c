//! What can go wrong at an engine, named for what failed.
//!
//! Every message names the thing and the next move. Raw engine answers are turned into these in `docker/failure.rs`; nobody
//! above this crate reads an engine's prose.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Failures of the verbs of [`crate::Engine`].
#[derive(Debug, Error)]
pub enum EngineError {
    /// Nobody answers at the socket, or the connection broke before the answer.
    #[error(
        "no engine answers at {}: is it running? Try `systemctl status docker`, or name another socket",
        socket.display()
    )]
    Unreachable {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The socket is there, but this user may not open it.
    #[error(
        "this user may not open the engine's socket {}: add the user to the group that owns it (usually `docker`, which equals root) and log in again",
        socket.display()
    )]
    Forbidden { socket: PathBuf },
    /// The engine took longer than the verb's deadline. The effect may have happened all the same: look before trying again.
    #[error("the engine did not finish `{verb}` within {} s; it may have happened all the same, look again", after.as_secs_f32())]
    Timeout { verb: &'static str, after: Duration },
    /// The thing named is not on the engine, or is not ours.
    #[error("{what} is not on the engine, or does not belong to this installation")]
    NotFound { what: String },
    /// A name we need belongs to something that is not ours. It was left alone.
    #[error(
        "the name {name} is taken on the engine by something that is not ours; it was left alone: remove or rename it"
    )]
    NameTaken { name: String },
    /// The subnet overlaps one that exists.
    #[error("the subnet {subnet} is in use already ({detail}); choose another one")]
    SubnetTaken { subnet: String, detail: String },
    /// Something else holds the address that this container was to have.
    #[error(
        "{name} cannot start: its address is held by {}",
        holder.as_ref().map_or_else(|| format!("something that the engine does not name ({detail})"), Holder::to_string)
    )]
    AddressTaken { name: String, holder: Option<Holder>, detail: String },
    /// A network cannot be removed while containers are on it.
    #[error(
        "the network {network} cannot be removed while {} on it. Run: docker network disconnect --force {network} {}",
        containers_are(by),
        by.first().map_or("CONTAINER", String::as_str)
    )]
    NetworkInUse { network: String, by: Vec<String> },
    /// The image is not on this engine.
    #[error("the image {reference} is not on the engine; build or pull it again")]
    ImageMissing { reference: String },
    /// The container's command asks for a shell that its image does not have.
    #[error(
        "{name} cannot start: its image has no shell at {shell}; write the run command without shell syntax, or use an image that has a shell"
    )]
    NoShell { name: String, shell: String },
    /// The image has no such program.
    #[error(
        "{name} cannot start: its image has no command {command}, or not the interpreter that it names; check the run command and the image's PATH"
    )]
    CommandNotFound { name: String, command: String },
    /// The program is there and may not be run.
    #[error("{name} cannot start: {command} is not executable; give it the executable bit in the image")]
    CommandNotExecutable { name: String, command: String },
    /// The program is for another kind of processor.
    #[error(
        "{name} cannot start: {command} is built for another processor architecture; use an image made for this host's"
    )]
    WrongArchitecture { name: String, command: String },
    /// The engine's disk is full, in bytes or in inodes.
    #[error("the engine's disk is full: {detail}. Nothing that runs was touched; free space there and try again")]
    DiskFull { detail: String },
    /// A step of a build failed.
    #[error("the build failed at {step}: {message}")]
    BuildFailed { step: String, message: String },
    /// The Dockerfile cannot be read as one, or names a stage or file that is not there.
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
    /// The build context ended with an error of its own; nothing was built.
    #[error("the build context could not be sent; nothing was built")]
    ContextFailed {
        #[source]
        source: io::Error,
    },
    /// A registry did not give the image.
    #[error("cannot pull {reference}: {cause}")]
    PullFailed { reference: String, cause: String },
    /// The thing is in a state, or in a use, that forbids this now. Nothing was changed.
    #[error("{what} cannot be changed now: {detail}")]
    Conflict { what: String, detail: String },
    /// Anything else; `status` is the engine's HTTP status where there was one.
    #[error("the engine refused `{verb}`{}: {message}", status.map(|s| format!(" (status {s})")).unwrap_or_default())]
    Other { verb: &'static str, status: Option<u16>, message: String },
}

/// Who has an address, and where.
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

fn containers_are(names: &[String]) -> String {
    match names {
        [one] => format!("the container {one} is"),
        several => format!("the containers {} are", several.join(", ")),
    }
}

impl EngineError {
    /// Whether the same call may succeed later without anybody changing what was asked.
    pub fn is_transient(&self) -> bool {
        match self {
            EngineError::Unreachable { .. }
            | EngineError::Timeout { .. }
            | EngineError::Conflict { .. }
            | EngineError::NetworkInUse { .. } => true,
            // A 5xx without a cause that we know: the runtime below the engine may be down for a moment.
            EngineError::Other { status, .. } => status.is_none_or(|code| code >= 500),
            EngineError::Forbidden { .. }
            | EngineError::NotFound { .. }
            | EngineError::NameTaken { .. }
            | EngineError::SubnetTaken { .. }
            | EngineError::AddressTaken { .. }
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
            | EngineError::PullFailed { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_transient() {
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
    fn what_is_in_the_way_is_named_with_the_command_that_helps() {
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
        assert!(in_use.is_transient(), "it goes once they are gone");
    }

    #[test]
    fn an_unreachable_engine_is_named_with_its_socket_and_a_next_move() {
        let error = EngineError::Unreachable {
            socket: "/run/here.sock".into(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        let text = error.to_string();
        assert!(text.contains("/run/here.sock") && text.contains("is it running?"), "{text}");
    }
}
