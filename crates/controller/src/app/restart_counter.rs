//! Counts unrequested ends of serving processes. The engine restarts most of them within a moment, so no list shows
//! them. An event reports that a process ended, and an inspection of the container shows how.

use std::collections::HashMap;

use engine::{ContainerDetails, EngineError};
use rollout::ids::InstanceName;
use store::StoreError;
use store::records::{Change, LastEnd, Restarts};
use tracing::warn;

use super::LOOK_AT_LEAST_EVERY;
use super::actions::{ActionResult, Subject};
use super::context::Context;
use super::observe::Snapshot;
use crate::engine_watch::Ends;

/// What was known at an inspection: how often events may have been missed, and the ends that events reported.
type Reported = (u64, Ends);

/// The exit code of a killed process: 128 + SIGKILL.
const KILLED: i64 = 137;

/// What events had reported about each serving instance when it was last inspected.
#[derive(Default)]
pub(super) struct RestartCounter(HashMap<InstanceName, Reported>);

impl RestartCounter {
    /// Inspects every serving instance if an event reported an end or may have been missed.
    pub fn follow(&mut self, cx: &mut Context, snapshot: &Snapshot) {
        if !snapshot.has_engine() {
            return;
        }
        let serving = cx.records.instances.iter().filter(|it| it.phase.has_served());
        let serving: Vec<_> = serving.map(|it| it.name.clone()).collect();
        self.0.retain(|name, _| serving.contains(name));
        for name in serving {
            let reported =
                (snapshot.engine.missed, snapshot.engine.ends.get(name.as_str()).copied().unwrap_or_default());
            let subject = Subject::Inspection(name.clone());
            if self.0.get(&name) == Some(&reported) || cx.actions.is_running(&subject) {
                continue;
            }
            let known = self.0.insert(name.clone(), reported).map_or(0, |(_, ends)| ends.out_of_memory);
            let (code, out_of_memory) = (reported.1.code, reported.1.out_of_memory > known);
            let engine = cx.shared.engine.clone();
            cx.actions.begin(subject, async move {
                let result = engine.inspect(name.as_str()).await;
                if result.is_err() {
                    // The report leads to the next inspection.
                    tokio::time::sleep(LOOK_AT_LEAST_EVERY).await;
                }
                ActionResult::Inspected { name, code, out_of_memory, result }
            });
        }
    }

    pub async fn inspected(
        &mut self,
        cx: &mut Context,
        name: &InstanceName,
        reported: (Option<i64>, bool),
        result: Result<Option<ContainerDetails>, EngineError>,
    ) -> Result<(), StoreError> {
        let Ok(details) = result else {
            self.0.remove(name);
            return Ok(());
        };
        let (Some(details), Some(mut row)) = (details, cx.records.instance(name).cloned()) else { return Ok(()) };
        // A stopping instance was asked to end, so its end does not count.
        let Some(restarts) = counted(&row.restarts, &details, reported).filter(|_| row.phase.has_served()) else {
            return Ok(());
        };
        let (last, count) = (restarts.last.as_ref(), restarts.count);
        let (code, out_of_memory) = (last.and_then(|it| it.code), last.is_some_and(|it| it.out_of_memory));
        warn!(instance = %name, code, out_of_memory, count, "its process exited without a request and was restarted");
        row.restarts = restarts;
        cx.commit(vec![Change::Instance(row)]).await
    }
}

/// The count after an inspection. `None` if the inspection shows nothing new. `reported`: the exit code and whether memory
/// ran out, from events, because the engine forgets both when it restarts the process.
fn counted(before: &Restarts, details: &ContainerDetails, reported: (Option<i64>, bool)) -> Option<Restarts> {
    let (code, reported_memory) = reported;
    let at = details.finished_at.as_ref()?;
    let code = details.exit_code.or(code);
    let out_of_memory = details.oom_killed || reported_memory && code == Some(KILLED);
    let is_known = before.last.as_ref().filter(|it| it.at == *at);
    if is_known.is_some_and(|it| it.out_of_memory || !out_of_memory) {
        return None;
    }
    let new = match is_known {
        // Only the reason is new.
        Some(_) => 0,
        None => details.restart_count.saturating_sub(before.by_engine).max(1),
    };
    let last = Some(LastEnd { at: at.clone(), code, out_of_memory });
    Some(Restarts { count: before.count + new, by_engine: details.restart_count, last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::samples::container_details;

    fn details(finished_at: Option<&str>, restart_count: u64, oom_killed: bool) -> ContainerDetails {
        let finished_at = finished_at.map(str::to_owned);
        ContainerDetails { finished_at, oom_killed, restart_count, ..container_details() }
    }

    #[test]
    fn each_end_is_counted_once_whether_the_engine_or_a_person_restarted_the_process() {
        let last = |at: &str, out_of_memory| Some(LastEnd { at: at.into(), code: Some(137), out_of_memory });
        let before = Restarts { count: 2, by_engine: 2, last: last("t1", false) };
        let killed = (Some(137), false);
        let cases = [
            ("never ended", details(None, 0, false), killed, None),
            ("seen before", details(Some("t1"), 2, false), killed, None),
            ("once more, by the engine", details(Some("t2"), 3, false), killed, Some((3, false))),
            ("twice between two inspections", details(Some("t3"), 4, false), killed, Some((4, false))),
            (
                "started by hand: the engine counts from zero again",
                details(Some("t2"), 0, false),
                killed,
                Some((3, false)),
            ),
            ("out of memory by the engine's state", details(Some("t2"), 3, true), killed, Some((3, true))),
            ("out of memory by an event", details(Some("t2"), 3, false), (Some(137), true), Some((3, true))),
            (
                "a child ran out of memory, the process ended otherwise",
                details(Some("t2"), 3, false),
                (Some(1), true),
                Some((3, false)),
            ),
            ("the reason arrived late", details(Some("t1"), 2, false), (Some(137), true), Some((2, true))),
        ];
        for (name, details, reported, expected) in cases {
            let counted = counted(&before, &details, reported);
            let result = counted.map(|it| (it.count, it.last.is_some_and(|it| it.out_of_memory)));
            assert_eq!(result, expected, "{name}");
        }
    }
}
