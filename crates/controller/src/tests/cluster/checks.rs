//! What must hold in a cluster: at all times, and when an app has settled.

use std::collections::{BTreeMap, BTreeSet};

use engine::{ContainerState, Engine, RestartPolicy};
use engine_fake::Verb;
use ingress::protocol::Rule;
use rollout::deployment::Stage;
use rollout::ids::AppId;
use rollout::instance::InstancePhase;
use store::records::AppState;

use super::{TestCluster, WANTED};

impl TestCluster {
    /// Checks that every table since `since` in the journal left each component as many listening upstreams as the spec
    /// wants.
    pub fn check_capacity(&self, since: usize) {
        for taken in self.ingress.taken().iter().filter(|it| it.calls >= since) {
            assert_eq!(taken.listening.get("web").copied().unwrap_or_default().min(2), 2, "{:#?}", taken.table);
        }
    }

    /// Checks that no work is in progress and that a record explains every container.
    pub async fn is_quiet(&self, app: &AppId) -> Result<(), String> {
        let state = self.state(app).await;
        ensure(state.deployments.iter().all(|it| it.stage.is_ended()), || "something is under way".into())?;
        ensure(state.job_runs.iter().all(|it| it.collected), || format!("{:?}", state.job_runs))?;
        self.engine_matches(&state)
    }

    pub(super) async fn is_settled(&self, app: &AppId, stage: Stage) -> Result<(), String> {
        let state = self.state(app).await;
        let newest = state.deployments.iter().max_by_key(|it| it.number).unwrap();
        ensure(newest.stage == stage, || format!("newest is {:?}: {:?}", newest.stage, newest.failure))?;
        ensure(state.deployments.iter().all(|it| it.stage.is_ended()), || "something is under way".into())?;
        for (component, wanted) in WANTED.into_iter().filter(|_| state.app.active.is_some()) {
            let target = state.targets_in_force().iter().find(|it| it.component.as_str() == component);
            let target = target.ok_or("no target")?;
            let rows: Vec<_> = state.instances.iter().filter(|it| it.component.as_str() == component).collect();
            let good = |it: &store::records::Instance| {
                it.phase == InstancePhase::Ready
                    && it.kept_alive
                    && it.revision == target.revision
                    && it.generation >= target.min_generation
            };
            let slots: BTreeSet<_> = rows.iter().map(|it| it.slot).collect();
            ensure(rows.len() == wanted && slots.len() == wanted && rows.iter().all(|it| good(it)), || {
                format!("{component}: {rows:#?}")
            })?;
        }
        ensure(state.job_runs.iter().all(|it| it.collected), || format!("{:?}", state.job_runs))?;
        self.engine_matches(&state)?;
        self.routes_match(&state)
    }

    /// Checks that the engine holds exactly what the records explain.
    fn engine_matches(&self, state: &AppState) -> Result<(), String> {
        let rows = state.instances.iter().map(|it| (it.name.to_string(), it.address));
        let databases = state
            .databases
            .iter()
            .filter(|it| it.created && it.wanted)
            .map(|it| (it.container.to_string(), it.address));
        let recorded: BTreeMap<_, _> = rows.chain(databases).collect();
        let containers = self.engine.containers();
        let running = containers.iter().filter(|it| it.state == ContainerState::Running);
        let there: BTreeMap<_, _> = running.filter_map(|it| Some((it.name.clone(), *it.addresses.first()?))).collect();
        ensure(there == recorded && containers.len() == there.len(), || {
            format!("recorded {recorded:#?}, there {containers:#?}")
        })?;
        let networks = self.networks_of_apps();
        ensure(networks <= 1 && (networks == 1 || recorded.is_empty()), || format!("{networks} networks"))
    }

    fn routes_match(&self, state: &AppState) -> Result<(), String> {
        let web = state.instances.iter().filter(|it| it.component.as_str() == "web");
        let wanted: BTreeMap<_, _> = web.map(|it| (it.name.to_string(), it.reached_at(8080).into())).collect();
        let taken = self.ingress.taken();
        let apps = taken.last().into_iter().flat_map(|it| &it.table.apps);
        let rules = apps.filter(|it| it.app == state.app.id.as_str()).flat_map(|it| &it.rules);
        let upstreams = rules.flat_map(Rule::upstreams);
        let routed: BTreeMap<_, _> = upstreams.map(|it| (it.id.clone(), it.address.clone())).collect();
        ensure(routed == wanted, || format!("routed {routed:?}, wanted {wanted:?}"))
    }

    pub(super) async fn check_policies(&self, app: &AppId) {
        for row in self.state(app).await.instances {
            // The first try may hit a fault that was planned for another call.
            let look = async || self.engine.inspect(row.name.as_str()).await.map_err(|error| error.to_string());
            let details = self.until(look).await.unwrap();
            assert_eq!(details.restart_policy, RestartPolicy::Always, "{}", row.name);
        }
    }

    /// Checks that no instance was stopped or removed while a table named it, and that versions only grew.
    pub(super) fn check_order(&self) {
        let taken = self.ingress.taken();
        assert!(taken.is_sorted_by(|a, b| a.table.version < b.table.version), "versions grow");
        for (at, call) in self.engine.calls().iter().enumerate() {
            if !matches!(call.verb, Verb::Stop | Verb::Remove) {
                continue;
            }
            let in_force = taken.iter().rfind(|it| it.calls <= at);
            let rules = in_force.into_iter().flat_map(|it| &it.table.apps).flat_map(|app| &app.rules);
            let routed = rules.flat_map(Rule::upstreams).any(|it| it.id == call.what);
            assert!(!routed, "{call} while it was routed");
        }
    }
}

fn ensure(good: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if good { Ok(()) } else { Err(why()) }
}
