//! The app's part of the route table: rules from the spec in force, upstreams from the planner's routes.

use app_spec::{Forward, RoutePath, routes};
use ingress::protocol::{AppRoutes, PathMatch, Rewrite, Rule, Upstream};
use rollout::deployment::Stage;
use rollout::observed::Routes;
use rollout::plan::{RolloutStatus, wanted_routes};
use store::StoreError;
use store::records::Deployment;
use tracing::warn;

use super::AppTask;
use super::reports::ActionResult;

impl AppTask {
    /// Sends the app's routes where they differ from the acknowledged ones. Returns whether anything was begun.
    pub(super) async fn advance_routes(&mut self) -> Result<bool, StoreError> {
        // Until its first deployment is on record an app has no place in the table; until the engine was looked at, what
        // is newer than the records is not known, and the routes that the ingress has stay.
        if self.routing || self.state.app.deployments == 0 || self.engine_view.borrow().asked.is_none() {
            return Ok(false);
        }
        let (routes, part) = self.wanted_part();
        if self.routes.as_ref().is_some_and(|(_, sent)| *sent == part) {
            // Equal tables say the same, though the planner's names may have moved under them.
            let moved = self.routes.as_ref().is_some_and(|(known, _)| *known != routes);
            self.routes = Some((routes, part));
            return Ok(moved);
        }
        self.routing = true;
        let front = self.shared.front.clone();
        self.acts.spawn(async move {
            let result = front.set(part.clone()).await;
            if result.is_err() {
                // The front connects again by itself; meanwhile it is not asked in a tight loop.
                tokio::time::sleep(super::STORE_PAUSE).await;
            }
            ActionResult::Routed { routes, sent: part, result }
        });
        Ok(true)
    }

    pub(super) async fn routed(
        &mut self,
        routes: Routes,
        sent: AppRoutes,
        result: Result<(), String>,
    ) -> Result<(), StoreError> {
        self.routing = false;
        match result {
            Ok(()) => {
                self.counted(&sent);
                self.routes = Some((routes, sent));
            }
            Err(why) => warn!(%why, "the ingress did not take the routes; they are sent again"),
        }
        Ok(())
    }

    /// What is acknowledged is what should be, rules and all.
    pub(super) fn routes_stand(&mut self) -> bool {
        let (_, part) = self.wanted_part();
        self.routes.as_ref().is_some_and(|(_, sent)| *sent == part)
    }

    fn wanted_part(&mut self) -> (Routes, AppRoutes) {
        let observed = self.observe();
        let routes = wanted_routes(&observed);
        let part = self.part(&routes, self.rules_in_force(&observed));
        (routes, part)
    }

    /// New rules count once the new instances serve: before that they would lead to what is not there yet. When a deployment
    /// that had got so far is taken back, they count until what served before it does again.
    pub(super) fn rules_in_force(&self, observed: &rollout::observed::Observed) -> Option<&Deployment> {
        let rolling = self.rolling().filter(|it| match it.stage {
            Stage::Finishing => true,
            Stage::Rolling => match self.rollout_status(observed) {
                RolloutStatus::Complete | RolloutStatus::Draining => true,
                // All that is missing may be the very rule that routes them.
                RolloutStatus::Progressing => self.active().is_none(),
                RolloutStatus::Failed(_) => false,
            },
            Stage::RollingBack => {
                it.record.serving_since.is_some() && self.rollout_status(observed) == RolloutStatus::Progressing
            }
            _ => false,
        });
        let kept = || self.state.app.kept.as_ref()?.rules.as_ref().and_then(|id| self.deployment(id));
        rolling.or_else(kept).or_else(|| self.active())
    }

    fn part(&self, routes: &Routes, rules: Option<&Deployment>) -> AppRoutes {
        let app = &self.state.app;
        let rules = match rules.filter(|_| !app.deleting).map(|it| self.spec_of(it)) {
            Some(Some(spec)) => self.rules(&spec, routes),
            // This version cannot read the spec that serves.
            Some(None) => self.present_rules(routes),
            None => Vec::new(),
        };
        // Nothing that serves changes before databases and PRE_DEPLOY jobs are through.
        let rolling = self.rolling().filter(|it| it.stage != Stage::Preparing);
        let window = rolling.or_else(|| self.active()).map(|it| it.id.to_string()).unwrap_or_default();
        AppRoutes {
            app: app.id.to_string(),
            hosts: if app.deleting { Vec::new() } else { vec![self.shared.front.domain(&app.name)] },
            window,
            rules,
        }
    }

    /// The rules that the ingress has, over the instances that there are.
    fn present_rules(&self, routed: &Routes) -> Vec<Rule> {
        let present = self.shared.front.part(self.state.app.id.as_str()).map(|it| it.rules).unwrap_or_default();
        present.into_iter().map(|it| Rule { upstreams: self.upstreams(routed, &it.component), ..it }).collect()
    }

    fn rules(&self, spec: &app_spec::AppSpec, routed: &Routes) -> Vec<Rule> {
        let rule = |it: app_spec::RouteRule| Rule {
            path: match it.path {
                RoutePath::Prefix(path) => PathMatch::Prefix(path),
                RoutePath::Exact(path) => PathMatch::Exact(path),
            },
            rewrite: match it.forward {
                Forward::Strip => Rewrite::Strip,
                Forward::Preserve => Rewrite::Keep,
                Forward::Rewrite(path) => Rewrite::Replace(path),
            },
            upstreams: self.upstreams(routed, &it.component),
            component: it.component,
        };
        routes(spec).into_iter().map(rule).collect()
    }

    fn upstreams(&self, routed: &Routes, component: &str) -> Vec<Upstream> {
        let names = routed.get(&component.into()).into_iter().flatten();
        let upstream = |name| {
            let row = self.instance(name)?;
            let port = self.revision(&row.revision)?.port?;
            Some(Upstream { id: row.name.to_string(), address: (row.address, port).into() })
        };
        let mut upstreams: Vec<_> = names.filter_map(upstream).collect();
        if upstreams.is_empty() || self.rolling().is_some() {
            upstreams.extend(self.newer_upstreams(component));
        }
        upstreams
    }
}
