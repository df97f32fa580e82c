//! One look: our records joined with what engine, probes and ingress show.

use engine::{Container, Limits};
use rollout::ids::{InstanceName, RevisionId};
use rollout::instance::InstancePhase;
use rollout::observed::{ContainerSeen, Instance, Observed, Open};
use rollout::plan::{RolloutStatus, rollout_status_of};
use rollout::target::Target;
use store::records;

use super::drift::{self, Difference, Expected};
use super::{AppTask, databases};
use crate::clock;
use crate::engine_watch::EngineView;
use crate::probe::{Health, Prober, Question};

impl AppTask {
    /// What is there now.
    pub(super) fn observe(&mut self) -> Observed {
        let view = self.engine_view.borrow_and_update().clone();
        if let Some(asked) = view.asked {
            // A list that was asked for after our act knows better than we do.
            self.acted.retain(|_, (_, at)| *at >= asked);
        }
        if view.unreachable.is_some() {
            // It is not the containers' fault.
            self.stop_attempts.clear();
        }
        let instances = self.state.instances.iter().map(|it| self.seen(it, &view)).collect();
        let routes = self.routes.as_ref().map(|(routes, _)| routes.clone());
        Observed { instances, routes, retry_backoffs: self.retry_backoffs.clone() }
    }

    fn seen(&self, row: &records::Instance, view: &EngineView) -> Instance {
        Instance {
            name: row.name.clone(),
            component: row.component.clone(),
            kind: row.kind,
            slot: row.slot,
            revision: row.revision.clone(),
            generation: row.generation,
            stop_times: self.state.stop_times(row),
            phase: row.phase,
            since: row.since,
            container: self.container(&row.name, view),
            probe: self.health.get(&row.name).map(|it| it.seen).unwrap_or_default(),
            probe_failure: self.health.get(&row.name).and_then(|it| it.failure.clone()),
            open: self.open(row),
            kept_alive: row.kept_alive,
            busy: self.busy.contains(&row.name),
            refused: row.refused.clone(),
            stop_attempt: self.stop_attempts.get(&row.name).copied(),
        }
    }

    /// The state of a container of ours, by the newest that is known.
    pub(super) fn container(&self, name: &InstanceName, view: &EngineView) -> ContainerSeen {
        if let Some((seen, _)) = self.acted.get(name) {
            return *seen;
        }
        if view.asked.is_none() || view.unreachable.is_some() {
            return ContainerSeen::Unknown;
        }
        let Some(container) = view.containers.get(name.as_str()) else { return ContainerSeen::Missing };
        match self.expected(name) {
            Some(expected) => drift::seen(container, &self.differences(&expected, container, view)),
            None => ContainerSeen::Unknown,
        }
    }

    /// In what a container differs from its record, as far as the newest look tells.
    pub(super) fn differences(&self, expected: &Expected, container: &Container, view: &EngineView) -> Vec<Difference> {
        let settings = view.settings.get(&container.id);
        // What was looked at before our last act on it may be the state before that act.
        let acted_on = self.touched.get(&InstanceName::new(expected.name.clone()));
        let settings = settings.filter(|it| acted_on.is_none_or(|at| it.asked > *at));
        drift::differences(expected, container, settings)
    }

    /// What its record says of a container.
    pub(super) fn expected(&self, name: &InstanceName) -> Option<Expected> {
        let limits = |revision: &RevisionId| {
            let revision = self.revision(revision)?;
            let limits = Limits { cpu_millis: revision.cpu_millis, memory_bytes: revision.memory_bytes };
            Some(limits.at_most(self.shared.host))
        };
        let expected = |address, aliases, limits, kept_alive| Expected {
            name: name.to_string(),
            address,
            aliases,
            limits,
            kept_alive,
        };
        if let Some(row) = self.instance(name) {
            return Some(expected(row.address, vec![row.component.to_string()], limits(&row.revision), row.kept_alive));
        }
        if let Some(row) = self.state.databases.iter().find(|it| it.container == *name) {
            let limits = databases::LIMITS.at_most(self.shared.host);
            return Some(expected(row.address, vec![row.name.to_string()], Some(limits), true));
        }
        let run = self.state.job_runs.iter().find(|it| it.name == *name)?;
        Some(expected(run.address, Vec::new(), limits(&run.revision), false))
    }

    fn open(&self, row: &records::Instance) -> Open {
        let open = self.shared.front.open(row.name.as_str());
        Open { requests: open.requests, upgraded: open.upgraded }
    }

    /// What is wanted of services and workers now.
    pub(super) fn targets(&self) -> Vec<Target> {
        use rollout::deployment::Stage;
        if self.state.app.deleting {
            return Vec::new();
        }
        let rolling = self.rolling().filter(|it| matches!(it.stage, Stage::Rolling | Stage::Finishing));
        match rolling {
            Some(deployment) => deployment.targets.clone().unwrap_or_default(),
            None => self.state.targets_in_force().to_vec(),
        }
    }

    /// Where the instances stand; those that the rollout under way did not make are not its own.
    pub(super) fn rollout_status(&self, observed: &Observed) -> RolloutStatus {
        let rolling = self.rolling().map(|it| &it.id);
        let is_its_own = |it: &Instance| {
            let made_by = self.instance(&it.name).map(|row| &row.deployment);
            rolling.is_none() || made_by == rolling
        };
        rollout_status_of(&self.targets(), observed, is_its_own, clock::now())
    }

    /// Every started instance that has a probe is asked; the others are not.
    pub(super) fn keep_probing(&mut self) {
        let asked = |phase| matches!(phase, InstancePhase::Starting | InstancePhase::Ready | InstancePhase::Unready);
        let rows: Vec<_> = self.state.instances.iter().filter(|it| asked(it.phase)).cloned().collect();
        self.probers.retain(|name, _| rows.iter().any(|it| it.name == *name));
        self.health.retain(|name, _| rows.iter().any(|it| it.name == *name));
        while let Ok(news) = self.probe_news.1.try_recv() {
            if self.probers.contains_key(&news.instance) {
                self.health.insert(news.instance, news.health);
            }
        }
        for row in rows.iter().filter(|it| !self.probers.contains_key(&it.name)).collect::<Vec<_>>() {
            let Some(question) = self.question(row) else { continue };
            let served = row.phase.has_served();
            let prober =
                Prober::start(self.shared.asker.clone(), row.name.clone(), question, served, self.probe_news.0.clone());
            self.probers.insert(row.name.clone(), prober);
            self.health.insert(row.name.clone(), Health::default());
        }
    }

    /// What a health check asks an instance, by the name under which its callers know it: the app's own host, or inside the
    /// app the component's name where no route leads to it.
    fn question(&self, row: &records::Instance) -> Option<Question> {
        let revision = self.revision(&row.revision)?;
        let probe = revision.probe.clone()?;
        let host = match revision.port {
            Some(_) => self.shared.front.authority(&self.state.app.name),
            None => format!("{}:{}", row.component, probe.port),
        };
        Some(Question { address: (row.address, probe.port).into(), probe, host })
    }
}
