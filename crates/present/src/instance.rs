//! An instance's status.

use serde::{Deserialize, Serialize};

/// An instance of a service, worker or job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Instance {
    /// Name of the component.
    pub component_name: String,
    /// Name of the container.
    pub instance_name: String,
    /// `SERVICE`, `WORKER` or `JOB`.
    pub component_type: String,
    /// `COMPONENT-INDEX`.
    pub instance_alias: String,
    /// What Boatyard adds to App Platform's fields.
    pub boatyard: InstanceDetails,
}

/// What Boatyard adds to App Platform's fields of an instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceDetails {
    /// Phase of the instance; null for a job run.
    pub phase: Option<String>,
    /// The engine's id of the container, if known.
    pub container_id: Option<String>,
    /// Start of the process, RFC 3339.
    pub started_at: Option<String>,
    /// How often the process ended unexpectedly and was started again.
    pub restarts: u64,
    /// How the process last ended.
    pub last_end: Option<LastEnd>,
    /// Processes and threads, if known.
    pub processes: Option<u64>,
    /// The limit of processes and threads.
    pub process_limit: Option<u64>,
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastEnd {
    /// RFC 3339.
    pub at: String,
    /// Exit code, if known.
    pub code: Option<i64>,
    /// The kernel killed the process because it exceeded its memory limit.
    pub out_of_memory: bool,
}

impl Instance {
    /// The phase, and whether the instance has reached its process limit.
    pub fn status(&self) -> String {
        let phase = self.boatyard.phase.clone().unwrap_or_default();
        match (self.boatyard.processes, self.boatyard.process_limit) {
            (Some(running), Some(limit)) if running >= limit => format!("{phase} (at its limit of {limit} processes)"),
            _ => phase,
        }
    }

    /// `3 (out of memory)`: how often the process ended and was started again, and how it last ended.
    pub fn restarts(&self) -> String {
        let InstanceDetails { restarts, last_end, .. } = &self.boatyard;
        let why = last_end.as_ref().filter(|_| *restarts > 0).and_then(|end| match end.code {
            _ if end.out_of_memory => Some("out of memory".to_owned()),
            code => code.map(|code| format!("exit code {code}")),
        });
        why.map_or_else(|| restarts.to_string(), |why| format!("{restarts} ({why})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_instance_at_its_process_limit_includes_the_limit() {
        let status = |processes: u64| {
            let phase = Some("ready".into());
            let boatyard =
                InstanceDetails { phase, processes: Some(processes), process_limit: Some(1024), ..Default::default() };
            Instance { boatyard, ..Instance::default() }.status()
        };
        assert_eq!([1023, 1024].map(status), ["ready", "ready (at its limit of 1024 processes)"]);
    }

    #[test]
    fn restarts_include_how_the_process_last_ended() {
        let restarts = |last_end: Option<LastEnd>| {
            let boatyard = InstanceDetails { restarts: 3, last_end, ..Default::default() };
            Instance { boatyard, ..Instance::default() }.restarts()
        };
        let end = |code, out_of_memory| Some(LastEnd { at: String::new(), code: Some(code), out_of_memory });
        assert_eq!(restarts(end(137, true)), "3 (out of memory)");
        assert_eq!(restarts(end(1, false)), "3 (exit code 1)");
        assert_eq!(restarts(None), "3");
        assert_eq!(Instance::default().restarts(), "0");
    }
}
