//! Resource limits of the worker, and its exit when the parent exits.

use std::io::Read;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};

use crate::error::SourceError;
use crate::limits::Limits;

/// Sets this process's resource limits. They cannot be raised again.
pub(super) fn set_resource_limits(limits: &Limits) -> Result<(), SourceError> {
    let wanted = [
        (Resource::Core, 0),
        (Resource::Nofile, 512),
        (Resource::Fsize, limits.fetch_bytes),
        (Resource::As, limits.memory_bytes),
        // Several threads may use CPU time at once, so it is limited to twice the time limit.
        (Resource::Cpu, limits.total.as_secs().saturating_mul(2).max(1)),
    ];
    for (resource, value) in wanted {
        let ceiling = getrlimit(resource).maximum;
        let value = Some(ceiling.map_or(value, |ceiling| ceiling.min(value)));
        setrlimit(resource, Rlimit { current: value, maximum: value })
            .map_err(|error| SourceError::Worker { why: format!("limit {resource:?} cannot be set: {error}") })?;
    }
    Ok(())
}

/// Kills this process when the parent ends (its end of `stdin` closes, however it ended), or when the time limit has
/// passed although the parent did not kill it.
pub(super) fn exit_with_parent(mut stdin: impl Read + Send + 'static, total: Duration) {
    thread::spawn(move || {
        let mut ignored = [0; 64];
        while let Ok(1..) = stdin.read(&mut ignored) {}
        kill_self();
    });
    thread::spawn(move || {
        thread::sleep(total + Duration::from_secs(5));
        kill_self();
    });
}

/// A kill, not an exit: exit handlers would run while git2 works in another thread.
fn kill_self() {
    let _ = kill_process(getpid(), Signal::KILL);
}
