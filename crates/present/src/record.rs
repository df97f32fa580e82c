//! What a deployment record reports about a rollout.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::text::{counted, grouped, list};
use crate::time;

/// What happened during a rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// When the ingress acknowledged the last route.
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub serving_since: Option<DateTime<Utc>>,
    /// Start of the rollout.
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub roll_began: Option<DateTime<Utc>>,
    /// End of the rollout.
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub roll_ended: Option<DateTime<Utc>>,
    /// The rollout failed and the previous version could not be restored. The notes say what serves instead.
    pub rollback_abandoned: bool,
    /// Traffic through the ingress during the rollout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub served: Option<Traffic>,
    /// What a restart left unchanged.
    pub unchanged: Vec<Unchanged>,
    /// Human-readable notes.
    pub notes: Vec<String>,
}

/// Traffic through the ingress during a rollout. Requests between components do not pass through the ingress.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    /// Requests that started during the rollout.
    pub requests: u64,
    /// Requests that were open when the rollout started.
    pub open_at_start: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Responses of the app with a 5xx status.
    pub app_errors: u64,
    /// Requests whose client disconnected.
    pub client_gone: u64,
    /// Failed requests that the stop of an instance cut.
    pub requests_cut: u64,
    /// Failed requests that the stop of an instance cut while they were sending a body.
    pub uploads_cut: u64,
    /// Upgraded connections, such as WebSockets.
    pub upgraded: u64,
    /// Upgraded connections that the stop of an instance cut.
    pub upgraded_cut: u64,
    /// The slowest request.
    pub slowest_ms: u64,
    /// An ingress process died, so the real counts may be higher.
    pub at_least: bool,
}

/// A component that a restart left unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Unchanged {
    /// Name of the component.
    pub component: String,
    /// The engine's image id.
    pub image: String,
    /// Keyed hash of the environment.
    pub environment_hash: String,
    /// The revision.
    pub revision: String,
}

impl Traffic {
    /// `served 48,211 requests through the ingress during this rollout, 0 failed, slowest 212 ms`.
    pub fn summary(&self) -> String {
        let at_least = if self.at_least { "at least " } else { "" };
        let requests = counted(self.requests, "request");
        let mut text = format!("served {at_least}{requests} through the ingress during this rollout");
        if self.open_at_start > 0 {
            text.push_str(&format!(" and {} already open when it started", grouped(self.open_at_start)));
        }
        text.push_str(&format!(", {} failed", grouped(self.failed)));
        if self.requests > 0 {
            text.push_str(&format!(", slowest {} ms", grouped(self.slowest_ms)));
        }
        if let Some(cut) = self.cut() {
            text.push_str(&format!(", {cut} cut at the drain limit"));
        }
        if self.at_least {
            text.push_str("; the ingress was restarted, and its counts since the last reading are lost");
        }
        text
    }

    /// `1 request, 2 uploads and 1 websocket`; `None` if nothing was cut.
    fn cut(&self) -> Option<String> {
        let kinds = [(self.requests_cut, "request"), (self.uploads_cut, "upload"), (self.upgraded_cut, "websocket")];
        let parts: Vec<_> =
            kinds.iter().filter(|(count, _)| *count > 0).map(|(count, noun)| counted(*count, noun)).collect();
        list(&parts)
    }
}

impl Unchanged {
    /// `web: same image 0123456789ab, environment e1, revision r1`.
    pub fn line(&self) -> String {
        let short = |text: &str| text.trim_start_matches("sha256:").chars().take(12).collect::<String>();
        let (image, environment) = (short(&self.image), short(&self.environment_hash));
        format!("{}: same image {image}, environment {environment}, revision {}", self.component, short(&self.revision))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_names_requests_failures_and_each_kind_of_cut_connection() {
        let traffic = Traffic {
            requests: 5,
            open_at_start: 2,
            failed: 2,
            slowest_ms: 3,
            requests_cut: 1,
            uploads_cut: 1,
            upgraded_cut: 2,
            ..Traffic::default()
        };
        let expected = "served 5 requests through the ingress during this rollout and 2 already open when it started, \
                        2 failed, slowest 3 ms, 1 request, 1 upload and 2 websockets cut at the drain limit";
        assert_eq!(traffic.summary(), expected);
    }

    #[test]
    fn traffic_with_lost_counts_is_a_lower_bound() {
        let summary = Traffic { requests: 7, at_least: true, ..Traffic::default() }.summary();
        assert!(summary.contains("served at least 7 requests"), "{summary}");
        assert!(summary.ends_with("counts since the last reading are lost"), "{summary}");
    }

    #[test]
    fn hashes_are_shortened() {
        let unchanged = Unchanged {
            component: "web".into(),
            image: "sha256:0123456789abcdef".into(),
            environment_hash: "e1".into(),
            revision: "r1".into(),
        };
        assert_eq!(unchanged.line(), "web: same image 0123456789ab, environment e1, revision r1");
    }
}
