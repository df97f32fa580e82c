//! The app's part of the route table: rules from the spec in force, upstreams from the planner's routes.

use std::collections::BTreeSet;
use std::sync::Arc;

use ingress::protocol::{Address, AppRoutes, InternalRoutes, Rule, Target, Upstream};
use rollout::deployment::Stage;
use rollout::ids::InstanceName;
use rollout::observed::{Observed, Routes};
use rollout::plan::{RolloutStatus, new_rules_count, wanted_routes};
use store::records::{Deployment, IngressCounts};
use tokio::sync::watch;
use tracing::warn;

use super::actions::{ActionResult, Subject};
use super::calls;
use super::context::Context;
use super::newer;
use super::observe::Snapshot;
use super::records::Records;
use super::{STORE_PAUSE, Shared, route_rules, site_files};
use crate::domains;
use crate::engine_watch::EngineView;

/// What the ingress should route.
pub(super) struct WantedRoutes {
    routes: Routes,
    part: AppRoutes,
    /// The ingress has acknowledged exactly these routes.
    pub is_acknowledged: bool,
    /// The ingress has acknowledged a table with the listeners for calls that these routes need.
    pub listens: bool,
}

impl WantedRoutes {
    /// What the app's containers call by way of the ingress.
    pub fn calls(&self) -> Option<&InternalRoutes> {
        self.part.internal.as_ref()
    }
}

pub(super) struct Routing {
    shared: Arc<Shared>,
    ingress: watch::Receiver<u64>,
    /// The routes that the ingress acknowledged last, and the part of the table that contained them.
    acknowledged: Option<(Routes, AppRoutes)>,
    /// The deployment that the ingress counts requests for, and the count at the acknowledgement.
    counted: Option<(String, IngressCounts)>,
}

impl Routing {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { ingress: shared.ingress.changes(), shared, acknowledged: None, counted: None }
    }

    pub fn acknowledged(&self) -> Option<&Routes> {
        self.acknowledged.as_ref().map(|(routes, _)| routes)
    }

    /// Whether the ingress may still send requests to an instance.
    pub fn names(&self, upstream: &str) -> bool {
        let Some((_, part)) = &self.acknowledged else { return true };
        part.upstreams().any(|it| it.id == upstream)
    }

    /// The directories of files that the ingress may still serve. `None`: unknown.
    pub fn file_directories(&self) -> Option<Vec<&str>> {
        let (_, part) = self.acknowledged.as_ref()?;
        let files = part.rules.iter().filter_map(|it| match &it.target {
            Target::Files { files } => Some(&files.directories),
            Target::Instances { .. } | Target::Redirect { .. } | Target::Unknown(_) => None,
        });
        Some(files.flatten().map(String::as_str).collect())
    }

    pub fn wanted(
        &self,
        records: &Records,
        engine: &EngineView,
        observed: &Observed,
        status: &RolloutStatus,
    ) -> WantedRoutes {
        let routes = wanted_routes(observed);
        let part = self.part(records, engine, &routes, rules_in_force(records, status));
        let is_acknowledged = self.acknowledged.as_ref().is_some_and(|(_, sent)| *sent == part);
        let sent = self.acknowledged.as_ref().and_then(|(_, sent)| sent.internal.as_ref());
        let listens =
            part.internal.as_ref().is_none_or(|it| sent.is_some_and(|sent| calls::have_same_listeners(it, sent)));
        WantedRoutes { routes, part, is_acknowledged, listens }
    }

    /// Sends the app's routes if they differ from the acknowledged ones. Returns whether anything changed.
    pub fn advance(&mut self, cx: &mut Context, snapshot: &Snapshot) -> bool {
        // An app has no place in the table until its first deployment is on record. Until the engine's first list,
        // containers that are newer than the records are unknown, and the ingress keeps its current routes.
        let is_sending = cx.actions.is_running(&Subject::Routes);
        if is_sending || cx.records.app.deployments == 0 || snapshot.engine.asked.is_none() {
            return false;
        }
        let WantedRoutes { routes, part, is_acknowledged, .. } = &snapshot.routes;
        let (routes, part) = (routes.clone(), part.clone());
        if *is_acknowledged {
            // Equal tables route the same, but the planner's names may differ.
            let differ = self.acknowledged() != Some(&routes);
            self.acknowledged = Some((routes, part));
            return differ;
        }
        let ingress = cx.shared.ingress.clone();
        cx.actions.begin(Subject::Routes, async move {
            let result = ingress.set(part.clone()).await;
            if result.is_err() {
                // Another task reconnects to the ingress. The pause avoids a tight loop until then.
                tokio::time::sleep(STORE_PAUSE).await;
            }
            ActionResult::Routed { routes, part, result }
        });
        true
    }

    /// Keeps what the ingress acknowledged. Returns the instances that the ingress routes now and did not before.
    pub fn sent(&mut self, routes: Routes, part: AppRoutes, result: Result<(), String>) -> BTreeSet<InstanceName> {
        if let Err(why) = result {
            warn!(%why, "the ingress did not accept the routes; sending them again");
            return BTreeSet::new();
        }
        let new = part.upstreams().filter(|it| self.acknowledged.is_none() || !self.names(&it.id));
        let new = new.map(|it| InstanceName::new(&it.id)).collect();
        let counted = self.shared.ingress.counted(&part.app, &part.window);
        self.counted = counted.map(|it| (part.window.clone(), it));
        self.acknowledged = Some((routes, part));
        new
    }

    /// What the ingress had counted for a deployment when it acknowledged the newest table.
    pub fn counted(&self, deployment: &Deployment) -> Option<&IngressCounts> {
        let (window, counted) = self.counted.as_ref()?;
        (window == deployment.id.as_str()).then_some(counted)
    }

    /// Drops the count that came with a table, because a newer count will be read.
    pub fn forget_counted(&mut self) {
        self.counted = None;
    }

    /// Returns when the ingress reports something new.
    pub async fn changed(&mut self) {
        if self.ingress.changed().await.is_err() {
            // The controller stops.
            std::future::pending::<()>().await;
        }
    }

    fn part(&self, records: &Records, engine: &EngineView, routes: &Routes, rules: Option<&Deployment>) -> AppRoutes {
        let app = &records.app;
        let upstreams = |component: &str| self.upstreams(records, engine, routes, component);
        let mut hosts = if app.deleting { Vec::new() } else { vec![self.shared.ingress.domain(&app.name)] };
        let (rules, policy) = match rules.filter(|_| !app.deleting).map(|it| (it, records.spec_of(it))) {
            Some((deployment, Some(spec))) => {
                hosts = domains::host_names(&app.name, &spec);
                let ports = self.shared.ingress.ports();
                let target = |component: &str| match site_files::serving(
                    &self.shared.sites,
                    records,
                    deployment,
                    &spec,
                    component,
                ) {
                    Some(files) => Target::Files { files },
                    None => Target::Instances { upstreams: upstreams(component) },
                };
                (route_rules::rules(&spec, &hosts, ports, target), route_rules::policy(&spec))
            }
            // This version cannot read the spec that serves, so the ingress keeps its current rules.
            Some((_, None)) => {
                let present = self.shared.ingress.part(app.id.as_str());
                let (mut present, policy) = match present {
                    Some(present) => {
                        hosts = present.hosts;
                        (present.rules, present.policy)
                    }
                    None => Default::default(),
                };
                for Rule { component, target, .. } in &mut present {
                    if let Target::Instances { upstreams: routed } = target {
                        *routed = upstreams(component);
                    }
                }
                (present, policy)
            }
            None => Default::default(),
        };
        // While a deployment waits for databases and PRE_DEPLOY jobs, the active one still serves.
        let rolling = records.rolling().filter(|it| it.stage != Stage::Preparing);
        let window = rolling.or_else(|| records.active()).map(|it| it.id.to_string()).unwrap_or_default();
        let internal = calls::routes(&self.shared, records, upstreams);
        AppRoutes { app: app.id.to_string(), hosts, window, rules, policy, internal }
    }

    fn upstreams(&self, records: &Records, engine: &EngineView, routes: &Routes, component: &str) -> Vec<Upstream> {
        let names = routes.get(&component.into()).into_iter().flatten();
        let upstream = |name| {
            let row = records.instance(name)?;
            let revision = records.revision(&row.revision)?;
            let address = row.reached_at(revision.port?);
            let address = if revision.http2 { Address::Http2 { http2: address } } else { Address::Tcp(address) };
            Some(Upstream { id: row.name.to_string(), address })
        };
        let mut upstreams: Vec<_> = names.filter_map(upstream).collect();
        if upstreams.is_empty() || records.rolling().is_some() {
            upstreams.extend(newer::upstreams(&self.shared, records, engine, component));
        }
        upstreams
    }
}

/// The deployment whose routing rules are in force.
pub(super) fn rules_in_force<'a>(records: &'a Records, status: &RolloutStatus) -> Option<&'a Deployment> {
    let is_first = records.active().is_none();
    let rolling = records.rolling();
    let rolling = rolling.filter(|it| new_rules_count(it.stage, status, it.record.serving_since.is_some(), is_first));
    let kept = || records.app.kept.as_ref()?.rules.as_ref().and_then(|id| records.deployment(id));
    rolling.or_else(kept).or_else(|| records.active())
}
