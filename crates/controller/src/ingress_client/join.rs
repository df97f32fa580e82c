//! One route table from the routes of all apps.

use std::collections::{BTreeMap, BTreeSet};

use ingress::protocol::{AppRoutes, Rule};

/// Joins the routes of all apps. A host name belongs to one app. The apps in `released` have none, and an app in `unknown`,
/// which has no record, keeps a host name until an app with a record has instances to serve it.
pub(super) fn joined(
    parts: &BTreeMap<String, AppRoutes>,
    unknown: &BTreeSet<String>,
    released: &BTreeSet<String>,
) -> Vec<AppRoutes> {
    let without_released_hosts = |part: &AppRoutes| match released.contains(&part.app) {
        true => AppRoutes { hosts: Vec::new(), ..part.clone() },
        false => part.clone(),
    };
    let parts: Vec<AppRoutes> = parts.values().map(without_released_hosts).collect();
    let is_unknown = |it: &AppRoutes| unknown.contains(&it.app);
    let serves = |it: &AppRoutes| it.rules.iter().any(|rule: &Rule| !rule.upstreams().is_empty());
    let hosts_of = |these: &dyn Fn(&AppRoutes) -> bool| -> BTreeSet<String> {
        parts.iter().filter(|it| these(it)).flat_map(|it| it.hosts.iter().cloned()).collect()
    };
    let served = hosts_of(&|it| !is_unknown(it) && serves(it));
    let of_unknown = hosts_of(&is_unknown);
    let without_others_hosts = |mut part: AppRoutes| {
        let may_have = |host: &String| match unknown.contains(&part.app) {
            true => !served.contains(host),
            false => served.contains(host) || !of_unknown.contains(host),
        };
        part.hosts.retain(may_have);
        part
    };
    parts.iter().cloned().map(without_others_hosts).collect()
}

#[cfg(test)]
mod tests {
    use ingress::protocol::{AppPolicy, PathMatch, Rewrite, Target, Upstream};

    use super::*;

    fn part(app: &str, host: &str, upstreams: usize) -> (String, AppRoutes) {
        let upstream = |number: usize| Upstream {
            id: format!("{app}-{number}"),
            address: std::net::SocketAddr::from(([10, 0, 0, 1], 80)).into(),
        };
        let rule = Rule {
            authority: None,
            cors: None,
            path: PathMatch::Prefix("/".into()),
            rewrite: Rewrite::Keep,
            component: "web".into(),
            target: Target::Instances { upstreams: (0..upstreams).map(upstream).collect() },
        };
        let part = AppRoutes {
            app: app.into(),
            hosts: vec![host.into()],
            window: String::new(),
            rules: vec![rule],
            policy: AppPolicy::default(),
            internal: None,
        };
        (app.into(), part)
    }

    #[test]
    fn a_host_name_stays_with_an_app_without_a_record_until_another_app_of_that_name_serves() {
        let unknown = BTreeSet::from(["lost".to_owned()]);
        for (instances, owner) in [(0, "lost"), (1, "new")] {
            let parts = BTreeMap::from([part("lost", "shop", 2), part("new", "shop", instances), part("b", "b", 0)]);
            let table = joined(&parts, &unknown, &BTreeSet::new());
            let with_host = |host: &str| -> Vec<_> {
                table.iter().filter(|it| it.hosts.iter().any(|it| it == host)).map(|it| it.app.as_str()).collect()
            };
            assert_eq!((with_host("shop"), with_host("b")), (vec![owner], vec!["b"]));
        }
    }

    #[test]
    fn the_host_name_of_an_app_that_is_being_deleted_belongs_to_the_next_app_with_it() {
        let parts = BTreeMap::from([part("dying", "shop", 2), part("new", "shop", 0)]);
        let table = joined(&parts, &BTreeSet::new(), &BTreeSet::from(["dying".to_owned()]));
        let hosts: Vec<_> = table.iter().map(|it| (it.app.as_str(), it.hosts.len(), it.rules.len())).collect();
        assert_eq!(hosts, [("dying", 0, 1), ("new", 1, 1)]);
    }
}
