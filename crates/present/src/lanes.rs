//! What happened to the instances of a deployment, as one lane per component.

use chrono::{DateTime, Utc};
use serde::de::IntoDeserializer;
use serde::de::value::{self, StrDeserializer};
use serde::{Deserialize, Serialize};

use crate::time;

/// What happened to an instance at one moment of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceTransition {
    /// Name of the component.
    pub component_name: String,
    /// `SERVICE` or `WORKER`.
    pub component_type: String,
    /// Name of the container.
    pub instance_name: String,
    /// `COMPONENT-INDEX`.
    pub instance_alias: String,
    /// The index of the alias.
    pub slot: u32,
    /// Number of the deployment that created the instance, if it is on record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_number: Option<u64>,
    /// Identity of what the instance runs.
    pub revision: String,
    /// Restart generation of the instance.
    pub generation: u64,
    /// An earlier deployment created the instance.
    pub existed_before: bool,
    /// What happened.
    pub transition: Transition,
    /// When it happened.
    #[serde(with = "time", skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
}

/// What can happen to an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// The instance existed before the rollout began.
    Existed,
    /// Boatyard has given it a name and an address.
    Intended,
    /// Its container exists.
    Created,
    /// Its process has started.
    Starting,
    /// It passed its health check.
    Ready,
    /// The ingress sends it requests.
    Routed,
    /// It fails its health check, or its process has ended.
    Unready,
    /// It gets no new requests, and finishes the open ones.
    Draining,
    /// It has got its stop signal.
    Stopping,
    /// Its process has ended.
    Stopped,
    /// Its container is removed.
    Gone,
    /// Something that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Transition {
    /// The transition with this name, which is also the name of the phase that it leads to: `ready`.
    pub fn named(name: &str) -> Self {
        let name: StrDeserializer<'_, value::Error> = name.into_deserializer();
        Self::deserialize(name).unwrap_or_default()
    }

    /// Where an instance stands after it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Existed => "running before",
            Self::Intended => "planned",
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Routed => "routed",
            Self::Unready => "not ready",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }
}

/// The instances of one component.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Name of the component.
    pub component_name: String,
    /// `SERVICE` or `WORKER`.
    pub component_type: String,
    /// By slot; within a slot in the order in which they appeared, so that an old instance comes before the new one.
    pub instances: Vec<LaneInstance>,
}

/// One instance in a lane.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneInstance {
    /// Its latest transition, whose other fields do not change.
    pub latest: InstanceTransition,
    /// All its transitions, in time order.
    pub times: Vec<(Transition, Option<DateTime<Utc>>)>,
}

/// The lanes of a timeline that is in time order, in the order in which their components appear in it.
pub fn lanes(timeline: &[InstanceTransition]) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    for it in timeline {
        let index = lanes.iter().position(|lane| lane.component_name == it.component_name).unwrap_or_else(|| {
            let (component_name, component_type) = (it.component_name.clone(), it.component_type.clone());
            lanes.push(Lane { component_name, component_type, instances: Vec::new() });
            lanes.len() - 1
        });
        add(&mut lanes[index].instances, it);
    }
    lanes.iter_mut().for_each(|lane| lane.instances.sort_by_key(|it| it.latest.slot));
    lanes
}

fn add(instances: &mut Vec<LaneInstance>, it: &InstanceTransition) {
    let moment = (it.transition, it.at);
    match instances.iter_mut().find(|known| known.latest.instance_name == it.instance_name) {
        Some(known) => {
            known.latest = it.clone();
            known.times.push(moment);
        }
        None => instances.push(LaneInstance { latest: it.clone(), times: vec![moment] }),
    }
}

#[cfg(test)]
mod tests {
    use super::Transition::*;
    use super::*;

    /// Component, instance, slot and transition.
    type Row<'a> = (&'a str, &'a str, u32, Transition);

    /// The time of a row is its position in seconds.
    fn timeline(rows: &[Row<'_>]) -> Vec<InstanceTransition> {
        let row = |(at, (component, name, slot, transition)): (usize, &Row<'_>)| {
            let component_type = if *component == "mill" { "WORKER" } else { "SERVICE" };
            InstanceTransition {
                component_name: (*component).into(),
                component_type: component_type.into(),
                instance_name: (*name).into(),
                slot: *slot,
                existed_before: name.starts_with("old"),
                transition: *transition,
                at: DateTime::from_timestamp(i64::try_from(at).expect("few rows"), 0),
                ..InstanceTransition::default()
            }
        };
        rows.iter().enumerate().map(row).collect()
    }

    /// `web: old0 gone, new0 routed`.
    fn drawn(timeline: &[InstanceTransition]) -> Vec<String> {
        let mark = |it: &LaneInstance| format!("{} {}", it.latest.instance_name, it.latest.transition.word());
        let lane = |it: &Lane| {
            let marks: Vec<_> = it.instances.iter().map(mark).collect();
            format!("{}: {}", it.component_name, marks.join(", "))
        };
        lanes(timeline).iter().map(lane).collect()
    }

    #[test]
    fn each_component_has_a_lane_with_the_latest_mark_of_each_instance() {
        let table: [(&str, &[Row<'_>], &[&str]); 5] = [
            ("an older version recorded nothing", &[], &[]),
            (
                "components come in the order in which they appear",
                &[("mill", "m", 0, Intended), ("web", "w", 0, Intended), ("api", "a", 0, Created)],
                &["mill: m planned", "web: w planned", "api: a created"],
            ),
            (
                "the old instance of a slot comes before the new one",
                &[
                    ("web", "old0", 0, Existed),
                    ("web", "old1", 1, Existed),
                    ("web", "new0", 0, Ready),
                    ("web", "new0", 0, Routed),
                    ("web", "old0", 0, Draining),
                ],
                &["web: old0 draining, new0 routed, old1 running before"],
            ),
            (
                "slots are numbers",
                &[("web", "ten", 10, Ready), ("web", "nine", 9, Gone)],
                &["web: nine gone, ten ready"],
            ),
            (
                "an instance may lose its health and get it back",
                &[("web", "w", 0, Routed), ("web", "w", 0, Unready), ("web", "w", 0, Ready)],
                &["web: w ready"],
            ),
        ];
        for (name, rows, expected) in table {
            assert_eq!(drawn(&timeline(rows)), expected, "{name}");
        }
    }

    #[test]
    fn an_instance_keeps_all_its_times() {
        let rows = [("web", "w", 0, Ready), ("web", "w", 0, Unready), ("web", "w", 0, Ready)];
        let lanes = lanes(&timeline(&rows));
        let instance = &lanes[0].instances[0];
        let times = [Ready, Unready, Ready].into_iter().zip((0..3).map(|second| DateTime::from_timestamp(second, 0)));
        assert_eq!(instance.times, times.collect::<Vec<_>>());
    }

    #[test]
    fn each_phase_of_an_instance_has_a_transition() {
        assert_eq!(["ready", "unready", "stopped"].map(Transition::named), [Ready, Unready, Stopped]);
        assert_eq!(Transition::named("cloned"), Unknown);
    }

    #[test]
    fn a_transition_of_a_newer_server_is_unknown() {
        let read: InstanceTransition =
            serde_json::from_str(r#"{"transition":"cloned","slot":1}"#).expect("a transition");
        assert_eq!((read.transition, read.slot), (Unknown, 1));
    }
}
