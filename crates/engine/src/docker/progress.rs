//! Turns BuildKit's trace of a build into events. Pure: takes messages, returns events.

use std::collections::{BTreeMap, HashMap};

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

use crate::error::EngineError;
use crate::port::{BuildEvent, BuildStepState};
use crate::reference;
use crate::secret::RegistryLogin;

use super::failure;

/// Longest incomplete line of output that is held back until it ends.
const LINE_LIMIT: usize = 64 * 1024;

/// The known steps of one build.
#[derive(Default)]
pub(super) struct Progress {
    steps: HashMap<String, Step>,
    /// Incomplete lines of output, by step.
    partial: HashMap<String, Vec<u8>>,
    failed: Option<FailedStep>,
}

#[derive(Default)]
struct Step {
    started: bool,
    ended: bool,
}

struct FailedStep {
    name: String,
    message: String,
}

impl Progress {
    /// The events of one message, in order.
    pub(super) fn apply(&mut self, status: StatusResponse) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        // Output comes before step ends, because a step's last output arrives in the message that ends the step.
        for vertex in status.vertexes.iter().filter(|vertex| vertex.completed.is_none()) {
            self.begin(vertex, &mut events);
        }
        for log in status.logs {
            self.output(log, &mut events);
        }
        for vertex in status.vertexes.iter().filter(|vertex| vertex.completed.is_some()) {
            self.end(vertex, &mut events);
        }
        for warning in status.warnings {
            events.push(BuildEvent::Log(format!("warning: {}", String::from_utf8_lossy(&warning.short))));
        }
        events
    }

    fn begin(&mut self, vertex: &Vertex, events: &mut Vec<BuildEvent>) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if vertex.started.is_some() && !step.started {
            step.started = true;
            events.push(BuildEvent::Step { name: vertex.name.clone(), state: BuildStepState::Started });
        }
    }

    fn end(&mut self, vertex: &Vertex, events: &mut Vec<BuildEvent>) {
        self.flush(&vertex.digest, events);
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        if std::mem::replace(&mut step.ended, true) {
            return;
        }
        let state = match (vertex.error.as_str(), vertex.cached) {
            ("", true) => BuildStepState::Cached,
            ("", false) => BuildStepState::Done,
            _ => BuildStepState::Failed,
        };
        // Steps that run beside a failing step end as cancelled. They are not the cause.
        if state == BuildStepState::Failed && self.failed.is_none() && !vertex.error.contains("context canceled") {
            self.failed = Some(FailedStep { name: vertex.name.clone(), message: vertex.error.clone() });
        }
        events.push(BuildEvent::Step { name: vertex.name.clone(), state });
    }

    fn output(&mut self, log: VertexLog, events: &mut Vec<BuildEvent>) {
        let held = self.partial.entry(log.vertex).or_default();
        held.extend_from_slice(&log.msg);
        while let Some(at) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=at).collect();
            events.push(BuildEvent::Log(text_of(&line[..at])));
        }
        while held.len() > LINE_LIMIT {
            let line: Vec<u8> = held.drain(..LINE_LIMIT).collect();
            events.push(BuildEvent::Log(text_of(&line)));
        }
    }

    fn flush(&mut self, digest: &str, events: &mut Vec<BuildEvent>) {
        if let Some(rest) = self.partial.remove(digest).filter(|rest| !rest.is_empty()) {
            events.push(BuildEvent::Log(text_of(&rest)));
        }
    }

    /// Translates the failure of the whole build, using the step that failed. `logins`: those that registries were given.
    pub(super) fn failure(self, message: &str, logins: &BTreeMap<String, RegistryLogin>) -> EngineError {
        let cause = plain(message).to_owned();
        if failure::is_disk_full(&cause) {
            return EngineError::DiskFull { detail: cause };
        }
        let Some(FailedStep { name, message }) = self.failed else {
            return EngineError::DockerfileInvalid { message: cause };
        };
        let message = plain(&message).to_owned();
        if let Some(frontend) = name.strip_prefix("resolve image config for ") {
            let frontend = frontend.trim_start_matches("docker-image://").to_owned();
            return EngineError::FrontendUnavailable { frontend, cause: message };
        }
        if let Some(reference) = name.strip_prefix("[internal] load metadata for ") {
            return failure::pull_failure(reference, message, logins.get(reference::host(reference)));
        }
        if cause.contains("dockerfile parse error") || name.starts_with("[internal] load build definition") {
            return EngineError::DockerfileInvalid { message: cause };
        }
        EngineError::BuildFailed { step: name, message }
    }
}

/// Human-readable text: the last state of a progress bar (the part after the last carriage return), with invalid UTF-8
/// replaced.
fn text_of(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let last = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
    String::from_utf8_lossy(last).into_owned()
}

/// Removes the builder's "failed to …" prefixes, which describe BuildKit's internals.
fn plain(message: &str) -> &str {
    let layers = [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve with frontend gateway.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
        "rpc error: code = Unknown desc = ",
    ];
    let mut rest = message.trim();
    while let Some(inner) = layers.iter().find_map(|layer| rest.strip_prefix(layer)) {
        rest = inner;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(digest: &str, name: &str) -> Vertex {
        Vertex { digest: digest.into(), name: name.into(), started: Some(Default::default()), ..Default::default() }
    }

    fn ended(digest: &str, name: &str, cached: bool, error: &str) -> Vertex {
        Vertex { completed: Some(Default::default()), cached, error: error.into(), ..vertex(digest, name) }
    }

    fn vertexes(vertexes: Vec<Vertex>) -> StatusResponse {
        StatusResponse { vertexes, ..Default::default() }
    }

    fn output(digest: &str, text: &[u8]) -> StatusResponse {
        let log = VertexLog { vertex: digest.into(), msg: text.into(), ..Default::default() };
        StatusResponse { logs: vec![log], ..Default::default() }
    }

    fn step(name: &str, state: BuildStepState) -> BuildEvent {
        BuildEvent::Step { name: name.into(), state }
    }

    #[test]
    fn a_step_starts_and_ends_once_even_if_reported_several_times() {
        let mut progress = Progress::default();
        let run = "[2/2] RUN make";
        let started = vec![step(run, BuildStepState::Started)];
        assert_eq!(progress.apply(vertexes(vec![vertex("a", run)])), started);
        assert_eq!(progress.apply(vertexes(vec![vertex("a", run)])), vec![]);
        let done = vec![step(run, BuildStepState::Done)];
        assert_eq!(progress.apply(vertexes(vec![ended("a", run, false, "")])), done);
        assert_eq!(progress.apply(vertexes(vec![ended("a", run, false, "")])), vec![]);
    }

    #[test]
    fn a_cached_step_is_reported_as_cached() {
        let mut progress = Progress::default();
        let events = progress.apply(vertexes(vec![ended("a", "[2/2] COPY . .", true, "")]));
        assert_eq!(events, vec![step("[2/2] COPY . .", BuildStepState::Cached)]);
    }

    #[test]
    fn output_is_split_into_lines_per_step_and_a_half_line_comes_when_its_step_ends() {
        let mut progress = Progress::default();
        assert_eq!(progress.apply(output("a", b"one\ntw")), vec![BuildEvent::Log("one".into())]);
        assert_eq!(progress.apply(output("b", b"other\n")), vec![BuildEvent::Log("other".into())]);
        assert_eq!(progress.apply(output("a", b"o\r\n10%\r20%")), vec![BuildEvent::Log("two".into())]);
        let events = progress.apply(vertexes(vec![ended("a", "[1/1] RUN x", false, "")]));
        assert_eq!(events, vec![BuildEvent::Log("20%".into()), step("[1/1] RUN x", BuildStepState::Done)]);
    }

    #[test]
    fn a_line_without_an_end_is_not_held_back_for_ever() {
        let mut progress = Progress::default();
        let events = progress.apply(output("a", &vec![b'x'; LINE_LIMIT + 1]));
        assert!(matches!(&events[..], [BuildEvent::Log(text)] if text.len() == LINE_LIMIT));
    }

    #[test]
    fn a_failure_names_the_step_that_failed_not_the_ones_cancelled_with_it() {
        let mut progress = Progress::default();
        progress.apply(vertexes(vec![
            ended("a", "[a 1/2] RUN sleep", false, "context canceled"),
            ended("b", "[b 2/2] RUN false", false, "executor failed running [/bin/sh -c false]: exit code: 1"),
        ]));
        match progress
            .failure("failed to solve: executor failed running [/bin/sh -c false]: exit code: 1", &BTreeMap::new())
        {
            EngineError::BuildFailed { step, message } => {
                assert_eq!(step, "[b 2/2] RUN false");
                assert!(message.contains("exit code: 1"), "{message}");
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn failures_outside_the_steps_have_specific_errors() {
        let failure_at = |step: &str, error: &str| {
            let mut progress = Progress::default();
            progress.apply(vertexes(vec![ended("a", step, false, error)]));
            progress.failure(&format!("failed to solve: {error}"), &BTreeMap::new())
        };
        let syntax = failure_at("resolve image config for docker.io/docker/dockerfile:1", "no such host");
        assert!(
            matches!(syntax, EngineError::FrontendUnavailable { frontend, .. } if frontend == "docker.io/docker/dockerfile:1")
        );
        let base = failure_at("[internal] load metadata for docker.io/library/nope:1", "not found");
        assert!(matches!(base, EngineError::PullFailed { reference, .. } if reference == "docker.io/library/nope:1"));
        let full = failure_at("[2/2] COPY . .", "write /x: no space left on device");
        assert!(matches!(full, EngineError::DiskFull { .. }));
        let unread = Progress::default().failure("failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 1: unknown instruction: FORM", &BTreeMap::new());
        match unread {
            EngineError::DockerfileInvalid { message } => {
                assert!(message.starts_with("dockerfile parse error"), "{message}")
            }
            other => panic!("{other}"),
        }
    }
}
