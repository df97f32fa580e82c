//! Who runs: the containers of each component, by the engine's own ids and start times.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::Value;

use crate::installation::Installation;

/// Components that have containers all the time, in the order in which the tables show them.
pub(super) const COMPONENTS: [&str; 4] = ["web", "api", "worker", "db"];

#[derive(Clone)]
pub(super) struct Census(Vec<Unit>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Unit {
    component: String,
    container: String,
    started: String,
}

impl Census {
    pub async fn take(at: &Installation, app: &str) -> Result<Self> {
        let all = at.instances(app).await?;
        let lasting = all.iter().filter(|it| it["component_type"] != "JOB");
        let mut units: Vec<_> = lasting.filter_map(unit).collect();
        units.sort();
        Ok(Self(units))
    }

    /// Container ids of a component.
    pub fn ids(&self, component: &str) -> BTreeSet<&str> {
        self.of(component).map(|it| it.container.as_str()).collect()
    }

    /// Same containers, started at the same time.
    pub fn kept(&self, later: &Census, component: &str) -> bool {
        self.of(component).next().is_some() && self.of(component).eq(later.of(component))
    }

    /// As many containers as before, and none of those.
    pub fn replaced(&self, later: &Census, component: &str) -> bool {
        let (before, after) = (self.ids(component), later.ids(component));
        !before.is_empty() && before.len() == after.len() && before.is_disjoint(&after)
    }

    fn of<'a>(&'a self, component: &str) -> impl Iterator<Item = &'a Unit> {
        self.0.iter().filter(move |it| it.component == component)
    }
}

/// `None` for one that has no container yet.
fn unit(instance: &Value) -> Option<Unit> {
    let field = |name: &str| instance[name].as_str().map(str::to_owned);
    Some(Unit { component: field("component_name")?, container: field("container_id")?, started: field("started_at")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(units: &[(&str, &str, &str)]) -> Census {
        let unit = |(component, container, started): &(&str, &str, &str)| Unit {
            component: (*component).into(),
            container: (*container).into(),
            started: (*started).into(),
        };
        Census(units.iter().map(unit).collect())
    }

    #[test]
    fn kept_means_the_same_containers_never_started_again() {
        let before = census(&[("web", "a", "1"), ("web", "b", "1")]);
        assert!(before.kept(&before, "web"));
        assert!(!before.kept(&census(&[("web", "a", "1"), ("web", "b", "2")]), "web"), "one was started again");
        assert!(!before.kept(&census(&[("web", "a", "1")]), "web"), "one is gone");
        assert!(!before.kept(&before, "api"), "none was there");
    }

    #[test]
    fn replaced_means_as_many_and_none_of_the_old() {
        let before = census(&[("web", "a", "1"), ("web", "b", "1")]);
        assert!(before.replaced(&census(&[("web", "c", "2"), ("web", "d", "2")]), "web"));
        assert!(!before.replaced(&census(&[("web", "a", "1"), ("web", "d", "2")]), "web"), "one is old");
        assert!(!before.replaced(&census(&[("web", "c", "2")]), "web"), "one is missing");
    }
}
