//! How long the parts of a deployment took, in App Platform's form: seconds with their unit.

use std::time::Duration;

use rollout::durations::Durations;
use rollout::progress::Progress;
use rollout::time::Timestamp;
use serde_json::{Value, json};

use super::object::Object;

/// `None` before the build starts. Parts that have not ended are left out. `build_billable` is the time that builds of
/// components took, although nothing is billed.
pub(super) fn timing(accepted: Timestamp, progress: &Progress) -> Option<Value> {
    let Durations { pending, building, components, databases, deploying } = Durations::of(accepted, progress)?;
    let built = building.map(|_| components.iter().map(|(_, duration)| *duration).sum());
    let component = |(name, duration): (_, Duration)| json!({ "name": name, "build_billable": seconds(duration) });
    let object = Object::new()
        .maybe("pending", pending.map(seconds))
        .maybe("build_total", building.map(seconds))
        .maybe("build_billable", built.map(seconds))
        .maybe("database_provision", databases.map(seconds))
        .maybe("deploying", deploying.map(seconds))
        .set("components", components.into_iter().map(component).collect::<Vec<_>>());
    Some(object.build())
}

fn seconds(duration: Duration) -> String {
    let fraction = format!(".{:03}", duration.subsec_millis());
    format!("{}{}s", duration.as_secs(), fraction.trim_end_matches(['0', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_with_their_unit() {
        let cases = [(0, "0s"), (1, "0.001s"), (1_860, "1.86s"), (10_000, "10s"), (123_400, "123.4s"), (100, "0.1s")];
        for (millis, expected) in cases {
            assert_eq!(seconds(Duration::from_millis(millis)), expected);
        }
    }
}
