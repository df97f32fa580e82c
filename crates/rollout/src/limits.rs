//! How long each stage of a deployment may take. A stage that passes its deadline ends: see `docs/deployments.md`.

use std::time::Duration;

use crate::target::Target;

/// Limit of a whole deployment without its rollback, from the fetch to the last job: 2 h, enough for an hour of
/// building and an hour of rolling. It also limits how long an outage of the engine or the ingress may last before the
/// deployment fails.
pub const DEPLOYMENT: Duration = Duration::from_secs(2 * 60 * 60);

/// Limit of one build, without its time in the queue: 1 h.
pub const BUILD: Duration = Duration::from_secs(60 * 60);

/// Limit of one run of a job: 30 min, as on App Platform.
pub const JOB: Duration = Duration::from_secs(30 * 60);

/// From the start of a database's container to its first connection: 180 s. The first start initializes the database
/// cluster, which takes a while on a slow disk.
pub const DATABASE: Duration = Duration::from_secs(180);

/// Every rollback gets this much on top of the times of its instances, for the engine's work: 60 s.
pub const ROLLBACK_AT_LEAST: Duration = Duration::from_secs(60);

/// How long a rollback from `failed` to `previous` may take: the start-up times of all instances to restore, one after
/// the other, then the longest drain and grace of one replaced instance, plus [`ROLLBACK_AT_LEAST`]. Unchanged
/// components add nothing.
pub fn rollback(previous: &[Target], failed: &[Target]) -> Duration {
    let is_restored = |target: &&Target| {
        let same = |it: &&Target| it.component == target.component;
        failed.iter().find(same).is_none_or(|it| !target.wants(&it.revision, it.generation) || it.count != target.count)
    };
    let starts: Duration = previous.iter().filter(is_restored).map(|it| it.timing.ready_within * it.count).sum();
    let ends = failed.iter().chain(previous).map(|it| it.timing.drain + it.timing.grace).max().unwrap_or_default();
    ROLLBACK_AT_LEAST + starts + ends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::wants;

    #[test]
    fn a_rollback_may_take_the_start_up_times_of_restored_instances_plus_one_stop() {
        let seconds = Duration::from_secs;
        let old = |it: Target| Target { revision: "old".into(), ..it };
        let (web, api) = (old(wants("web", 2)), old(wants("api", 1)));
        let way_out = web.timing.drain + web.timing.grace;
        let new = |it: &Target| Target { revision: "new".into(), generation: 2, min_generation: 2, ..it.clone() };
        let restarted = Target { generation: 2, min_generation: 2, ..web.clone() };
        let cases = [
            ("one of two components changed", vec![new(&web), api.clone()], 2 * web.timing.ready_within),
            ("both changed", vec![new(&web), new(&api)], 3 * web.timing.ready_within),
            ("one was removed", vec![web.clone()], api.timing.ready_within),
            (
                "one has fewer instances",
                vec![Target { count: 1, ..web.clone() }, api.clone()],
                2 * web.timing.ready_within,
            ),
            ("a restart: new instances are as good as the old", vec![restarted, api.clone()], seconds(0)),
        ];
        for (name, failed, starts) in cases {
            assert_eq!(rollback(&[web.clone(), api.clone()], &failed), ROLLBACK_AT_LEAST + starts + way_out, "{name}");
        }
    }
}
