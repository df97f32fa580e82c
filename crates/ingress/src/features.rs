//! Which tables an older ingress carries out as a whole.
//!
//! An upgrade keeps the running ingress, because a replacement ends long connections. But an older ingress ignores the fields that it does not
//! know: a rule for one host name would hold for all of them. So the controller replaces it as soon as a table has such a
//! field.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::protocol::{PathMatch, Rewrite, RouteTable};

/// What this version's ingress can do. Increase it when a table gets a field that an ingress of a released version ignores, and
/// describe what that ingress understands, as [`FirstTable`] does for the ingresses that send no number.
pub const FEATURES: u32 = 1;

/// Whether an ingress with these features carries out the whole table.
pub fn understands(features: u32, table: &RouteTable) -> bool {
    // The protocol leaves out fields that have their default value, so any other field shows that the table needs more.
    features > 0 || serde_json::to_value(table).is_ok_and(|table| FirstTable::deserialize(table).is_ok())
}

/// Every field that the ingresses without a number know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether a table has other fields counts")]
struct FirstTable {
    version: u64,
    apps: Vec<FirstApp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether a table has other fields counts")]
struct FirstApp {
    app: String,
    hosts: Vec<String>,
    window: String,
    rules: Vec<FirstRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether a table has other fields counts")]
struct FirstRule {
    r#match: PathMatch,
    rewrite: Rewrite,
    component: String,
    upstreams: Vec<FirstUpstream>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only whether a table has other fields counts")]
struct FirstUpstream {
    id: String,
    address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{
        Address, AppPolicy, AppRoutes, CorsPolicy, HostMatch, Maintenance, MissingFile, Redirect, Rule, SiteFiles,
        Target, Upstream,
    };

    fn table(change: impl FnOnce(&mut AppRoutes)) -> RouteTable {
        let upstream = Upstream { id: "web.0".to_owned(), address: SocketAddr::from(([10, 0, 0, 2], 80)).into() };
        let rule = Rule {
            authority: None,
            path: PathMatch::Prefix("/".to_owned()),
            rewrite: Rewrite::Keep,
            component: "web".to_owned(),
            cors: None,
            target: Target::Instances { upstreams: vec![upstream] },
        };
        let mut app = AppRoutes {
            app: "shop".to_owned(),
            hosts: vec!["shop.localhost".to_owned()],
            window: "d1".to_owned(),
            rules: vec![rule],
            policy: AppPolicy::default(),
            internal: None,
        };
        change(&mut app);
        RouteTable { version: 1, apps: vec![app], ..RouteTable::default() }
    }

    #[test]
    fn the_first_ingress_understands_plain_routes_and_a_newer_one_every_table() {
        assert!(understands(0, &table(|_| {})));
        assert!(understands(0, &RouteTable::default()));
        assert!(understands(1, &table(|app| app.rules[0].authority = Some(HostMatch::Prefix("a".to_owned())))));
    }

    #[test]
    fn the_first_ingress_does_not_understand_what_it_would_ignore() {
        let redirect = Redirect { scheme: "https".to_owned(), host: None, port: None, path: None, status: 302 };
        let files = SiteFiles {
            directories: vec!["/site".to_owned()],
            index: "index.html".to_owned(),
            missing: MissingFile::Error("404.html".to_owned()),
        };
        let socket = Upstream { id: "hooks".to_owned(), address: Address::Unix { unix: "/run/hooks.sock".into() } };
        for needs_more in [
            table(|app| app.rules[0].authority = Some(HostMatch::Exact("a.example".to_owned()))),
            table(|app| app.rules[0].cors = Some(CorsPolicy { allow_credentials: true, ..CorsPolicy::default() })),
            table(|app| app.policy.maintenance = Some(Maintenance::default())),
            table(|app| app.rules[0].target = Target::Redirect { redirect }),
            table(|app| app.rules[0].target = Target::Files { files }),
            table(|app| app.rules[0].target = Target::Instances { upstreams: vec![socket] }),
        ] {
            assert!(!understands(0, &needs_more), "{needs_more:?}");
        }
    }
}
