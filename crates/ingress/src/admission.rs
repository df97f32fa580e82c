//! From a host and a path to a place at an upstream, by the table in force at that moment.

use std::sync::Arc;
use std::time::Instant;

use crate::counters::{Cut, Tally};
use crate::limits::Limits;
use crate::pages::Refusal;
use crate::path::NormalPath;
use crate::steering::Steering;
use crate::table::{App, CompiledRule, Found, Table};
use crate::upload::Exchange;
use crate::upstream::{Admission, Upstream};

/// A request with a place.
#[derive(Debug)]
pub(crate) struct Admitted {
    app: Arc<App>,
    rule: usize,
    pub exchange: Arc<Exchange>,
}

impl Admitted {
    pub fn rule(&self) -> &CompiledRule {
        &self.app.rules[self.rule]
    }

    pub fn upstream(&self) -> &Arc<Upstream> {
        self.exchange.admission.upstream()
    }
}

/// What a request asks for, and what has been tried for it.
#[derive(Debug)]
pub(crate) struct Search<'a> {
    pub host: &'a str,
    pub path: &'a NormalPath<'a>,
    pub started: Instant,
    /// Upstreams that cannot be reached.
    pub tried: Vec<Arc<Upstream>>,
    /// From the first table that knew the app on.
    pub tally: Option<Tally>,
    /// Set when a stopping instance ended the request.
    pub cut: Option<Cut>,
}

enum Step {
    Admitted(Admitted),
    /// The upstream began to drain between reading the table and taking a place: a newer table is there.
    Again,
    NobodyReady {
        component: String,
    },
}

impl Search<'_> {
    /// Finds a place. When no instance is ready yet, waits a moment for a table that has one.
    pub async fn admit(&mut self, steering: &Steering, limits: &Limits) -> Result<Admitted, Refusal> {
        loop {
            match self.step(&steering.table())? {
                Step::Admitted(admitted) => return Ok(admitted),
                Step::Again => {}
                Step::NobodyReady { component } if self.tried.is_empty() => {
                    return self.wait(steering, limits, component).await;
                }
                Step::NobodyReady { component } => return Err(Refusal::NoInstance { component }),
            }
        }
    }

    async fn wait(&mut self, steering: &Steering, limits: &Limits, component: String) -> Result<Admitted, Refusal> {
        let mut changes = steering.changes();
        let deadline = tokio::time::sleep(limits.first_upstream);
        tokio::pin!(deadline);
        loop {
            // Marked as seen before the table is read, so that no change falls between the two.
            changes.borrow_and_update();
            match self.step(&steering.table())? {
                Step::Admitted(admitted) => return Ok(admitted),
                Step::Again => continue,
                Step::NobodyReady { .. } => {}
            }
            tokio::select! {
                () = &mut deadline => return Err(Refusal::NoInstance { component }),
                changed = changes.changed() => if changed.is_err() {
                    return Err(Refusal::NoInstance { component });
                },
            }
        }
    }

    fn step(&mut self, table: &Table) -> Result<Step, Refusal> {
        let app = table.app(self.host).ok_or(Refusal::NoSuchHost)?;
        self.count(app);
        let rule = match app.find(self.path) {
            Found::Rule(rule) => rule,
            Found::Nothing => return Err(Refusal::NoSuchPath),
            Found::Ambiguous => {
                return Err(Refusal::BadRequest("The path can be read in two ways that belong to two routes."));
            }
        };
        let compiled = &app.rules[rule];
        let Some(upstream) = compiled.pick(&self.tried) else {
            return Ok(Step::NobodyReady { component: compiled.component.clone() });
        };
        Ok(upstream.admit().map_or(Step::Again, |place: Admission| {
            Step::Admitted(Admitted { app: Arc::clone(app), rule, exchange: Exchange::new(place) })
        }))
    }

    fn count(&mut self, app: &App) {
        match &mut self.tally {
            None => self.tally = Some(Tally::new(&app.account, self.started)),
            Some(tally) => tally.move_to(&app.account),
        }
    }
}
