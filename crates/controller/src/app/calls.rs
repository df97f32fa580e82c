//! Calls between the components of an app by way of the ingress, which loses no call while a service restarts.
//!
//! The ingress listens on the address of this host in the app's network, and containers find the names of services at that
//! address, in their `/etc/hosts`. Where that does not work, the engine's DNS answers with the addresses of the instances.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex};

use app_spec::AppSpec;
use engine::{ContainerSpec, EngineError, NetworkSpec};
use ingress::protocol::{InternalRoutes, InternalService, Upstream};
use rollout::ids::{AppId, DeploymentId};
use tracing::warn;

use super::Shared;
use super::context::Context;
use super::records::Records;
use crate::config::Reach;
use crate::domains;
use crate::network::PREFIX;
use crate::supervise::lock;

/// What a deployment's note ends with.
const MEANWHILE: &str = "Such calls can fail while a service restarts";

/// What the app's containers call by way of the ingress. `upstreams`: the instances of a component.
pub(super) fn routes(
    shared: &Shared,
    records: &Records,
    upstreams: impl Fn(&str) -> Vec<Upstream>,
) -> Option<InternalRoutes> {
    if shared.reach != Reach::Direct || records.app.deleting {
        return None;
    }
    let deployments = [records.rolling(), records.active()];
    let specs: Vec<_> = deployments.into_iter().flatten().filter_map(|it| records.spec_of(it)).collect();
    let called: BTreeSet<&str> = records.instances.iter().flat_map(|it| &it.calls).map(String::as_str).collect();
    let mut ports = ports(specs.iter().map(|it| &**it), &called);
    // Instances of an abandoned rollback may serve on another port.
    for row in &records.instances {
        let port = records.revision(&row.revision).and_then(|it| it.port);
        if let (Some(known), Some(port)) = (ports.get_mut(row.component.as_str()), port) {
            known.insert(port);
        }
    }
    let service = |(name, ports): (String, BTreeSet<u16>)| {
        let (upstreams, rows) = (upstreams(&name), records.instances.iter());
        let containers = rows.filter(|it| it.component.as_str() == name).map(|it| it.address).collect();
        InternalService { name, ports: ports.into_iter().collect(), upstreams, containers }
    };
    let services: Vec<_> = ports.into_iter().map(service).collect();
    let gateway = shared.config.network_pool.network(records.app.network).gateway();
    Some(InternalRoutes { gateway, prefix: PREFIX, services })
}

/// The HTTP ports of the services that other components may call. `called`: services whose names lead containers to the
/// ingress, although new containers would call them directly.
fn ports<'a>(specs: impl Iterator<Item = &'a AppSpec>, called: &BTreeSet<&str>) -> BTreeMap<String, BTreeSet<u16>> {
    let mut ports: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for spec in specs {
        let has_callers = has_callers(spec);
        for service in &spec.services {
            let name = &service.common.name;
            if let Some(port) = spec.http_port(service).filter(|_| has_callers || called.contains(name.as_str())) {
                ports.entry(name.clone()).or_default().insert(port);
            }
        }
    }
    ports
}

/// The services that a new container calls by way of the ingress, if that is possible.
pub(super) fn called(spec: &AppSpec) -> BTreeSet<String> {
    let is_plain = |name: &str| spec.services.iter().any(|it| it.common.name == name && it.internal_ports.is_empty());
    ports(std::iter::once(spec), &BTreeSet::new()).into_keys().filter(|it| is_plain(it)).collect()
}

/// Whether containers of several components run.
fn has_callers(spec: &AppSpec) -> bool {
    spec.services.len() + spec.workers.len() + spec.jobs.len() > 1
}

/// Whether both need the same listeners.
pub(super) fn have_same_listeners(one: &InternalRoutes, other: &InternalRoutes) -> bool {
    let listeners = |it: &InternalRoutes| {
        let ports: BTreeSet<u16> = it.services.iter().flat_map(|it| it.ports.clone()).collect();
        (it.gateway, it.prefix, ports)
    };
    listeners(one) == listeners(other)
}

/// How a new container calls the services of its app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Calls {
    /// Names of services in its `/etc/hosts`.
    pub hosts: Vec<(String, Ipv4Addr)>,
    /// Public host names of the app in its `/etc/hosts`.
    pub public: Vec<(String, Ipv4Addr)>,
    /// Addresses of the ingress that it has to reach.
    pub addresses: Vec<SocketAddrV4>,
}

/// For a container that is created now. The ingress has acknowledged `routes`.
pub(super) fn of_new_container(cx: &Context, routes: Option<&InternalRoutes>) -> Calls {
    let deployment = cx.records.rolling().or_else(|| cx.records.active());
    let (Some(routes), Some(spec)) = (routes, deployment.and_then(|it| cx.records.spec_of(it))) else {
        return Calls::default();
    };
    let ingress = &cx.shared.ingress;
    let names = domains::host_names(&cx.records.app.name, &spec);
    let public =
        ingress.public_gateway().map(|at| names.into_iter().filter(|it| is_local(it)).map(|it| (it, at)).collect());
    Calls { public: public.unwrap_or_default(), ..calls(routes, &spec, &ingress.call_listeners().open) }
}

/// Whether no DNS server on the internet has an answer for this name (RFC 6761, RFC 9476 and ICANN's `internal`).
fn is_local(name: &str) -> bool {
    !name.starts_with('*') && [".localhost", ".test", ".internal", ".alt"].iter().any(|it| name.ends_with(it))
}

fn calls(routes: &InternalRoutes, spec: &AppSpec, open: &BTreeSet<SocketAddr>) -> Calls {
    let at = |port: &u16| SocketAddrV4::new(routes.gateway, *port);
    let called = called(spec);
    let is_called = |it: &&InternalService| {
        called.contains(&it.name) && it.ports.iter().all(|port| open.contains(&at(port).into()))
    };
    let called: Vec<_> = routes.services.iter().filter(is_called).collect();
    let addresses: BTreeSet<_> = called.iter().flat_map(|it| it.ports.iter().map(at)).collect();
    Calls {
        public: Vec::new(),
        hosts: called.iter().map(|it| (it.name.clone(), routes.gateway)).collect(),
        addresses: addresses.into_iter().collect(),
    }
}

/// Why calls to services of this deployment go to instances directly, for people.
pub(super) fn notes(cx: &Context, routes: Option<&InternalRoutes>) -> Vec<String> {
    let Some(rolling) = cx.records.rolling() else { return Vec::new() };
    let Some(spec) = cx.records.spec_of(rolling) else { return Vec::new() };
    let services = ports(std::iter::once(&*spec), &BTreeSet::new());
    if services.is_empty() {
        return Vec::new();
    }
    if cx.shared.reach == Reach::Published {
        return vec![format!(
            "components call services directly, because this host reaches instances at published ports. {MEANWHILE}"
        )];
    }
    if let Some(why) = cx.shared.call_checks.failure(&cx.records.app.id, &rolling.id) {
        return vec![format!("components call services directly, because {why}. {MEANWHILE}")];
    }
    let Some(routes) = routes else { return Vec::new() };
    let listeners = cx.shared.ingress.call_listeners();
    let note = |(name, port): (&String, &u16)| {
        let address = SocketAddr::from((routes.gateway, *port));
        if listeners.open.contains(&address) {
            return None;
        }
        let why = match listeners.refused.get(&address) {
            Some(reason) => format!("the ingress cannot listen on {address}: {reason}"),
            None => "the running ingress is of an older version".to_owned(),
        };
        Some(format!("components call {name} directly, because {why}. {MEANWHILE}"))
    };
    services.iter().flat_map(|(name, ports)| ports.iter().map(move |port| (name, port))).filter_map(note).collect()
}

/// What checks found out: whether containers of an app reach the ingress in their network.
#[derive(Default)]
pub(crate) struct CallChecks(Mutex<BTreeMap<AppId, Arc<CheckOfApp>>>);

#[derive(Default)]
pub(crate) struct CheckOfApp {
    /// Addresses that containers reached. Locked during a check.
    reached: tokio::sync::Mutex<BTreeSet<SocketAddrV4>>,
    /// The deployment during which a check failed, and why. The next deployment checks again.
    failed: Mutex<Option<(DeploymentId, String)>>,
}

impl CallChecks {
    /// Whether a check runs in the app's network.
    pub(super) fn is_running(&self, app: &AppId) -> bool {
        self.known(app).is_some_and(|it| it.reached.try_lock().is_err())
    }

    /// After the app is deleted.
    pub(super) fn forget(&self, app: &AppId) {
        lock(&self.0).remove(app);
    }

    fn failure(&self, app: &AppId, deployment: &DeploymentId) -> Option<String> {
        let failed = lock(&self.known(app)?.failed).clone();
        failed.filter(|(of, _)| of == deployment).map(|(_, why)| why)
    }

    /// What checks of an app found out. `None`: nothing.
    pub(crate) fn known(&self, app: &AppId) -> Option<Arc<CheckOfApp>> {
        lock(&self.0).get(app).cloned()
    }

    fn of(&self, app: &AppId) -> Arc<CheckOfApp> {
        lock(&self.0).entry(app.clone()).or_default().clone()
    }
}

/// Whether a container at this place reaches the ingress. Checks that in the app's network, unless it is known. If the check
/// fails, the container calls services directly. Errors: those of the engine that the container would meet as well, and for
/// which the controller has a remedy.
pub(super) async fn reach_ingress(
    shared: &Shared,
    network: &NetworkSpec,
    container: &ContainerSpec,
    addresses: &[SocketAddrV4],
) -> Result<bool, EngineError> {
    let Some(place) = &container.network else { return Ok(false) };
    let app = AppId::from(container.identity.app.as_str());
    let deployment = DeploymentId::from(container.identity.deployment.as_str());
    let check = shared.call_checks.of(&app);
    let mut reached = check.reached.lock().await;
    if addresses.iter().all(|it| reached.contains(it)) {
        return Ok(true);
    }
    if shared.call_checks.failure(&app, &deployment).is_some() {
        return Ok(false);
    }
    let name = shared.names.connect_check(&app);
    let why = match shared.connect_check.connects(&name, (network, place.address), addresses).await {
        Ok(true) => {
            reached.extend(addresses);
            return Ok(true);
        }
        Ok(false) => {
            format!(
                "containers cannot connect to {} of this host; a firewall may drop such connections",
                network.gateway
            )
        }
        Err(error @ (EngineError::Unreachable { .. } | EngineError::SubnetTaken { .. })) => return Err(error),
        Err(error) => format!("the check whether containers can connect to this host failed: {error}"),
    };
    warn!(%app, why, "components call services directly");
    *lock(&check.failed) = Some((deployment, why));
    Ok(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 192, 7, 1);

    fn spec(components: &str) -> AppSpec {
        AppSpec::from_yaml(&format!("name: shop\n{components}")).unwrap().spec
    }

    const SHOP: &str = "
services:
- {name: web, git: {repo_clone_url: /x}}
- {name: api, http_port: 3000, git: {repo_clone_url: /x}}
- {name: mixed, http_port: 9000, internal_ports: [9001], git: {repo_clone_url: /x}}
- {name: redis, internal_ports: [6379], git: {repo_clone_url: /x}}
";

    fn internal(ports: &[(&str, &[u16])]) -> InternalRoutes {
        let service = |(name, ports): &(&str, &[u16])| InternalService {
            name: (*name).to_owned(),
            ports: ports.to_vec(),
            upstreams: Vec::new(),
            containers: BTreeSet::new(),
        };
        InternalRoutes { gateway: GATEWAY, prefix: PREFIX, services: ports.iter().map(service).collect() }
    }

    #[test]
    fn services_of_the_old_and_the_new_spec_are_called_on_the_ports_of_both() {
        let after = SHOP.replace("3000", "3001");
        let found = ports([spec(SHOP), spec(&after)].iter(), &BTreeSet::new());
        let found: Vec<_> = found.into_iter().map(|(name, ports)| (name, Vec::from_iter(ports))).collect();
        let wanted = [("api", vec![3000, 3001]), ("mixed", vec![9000]), ("web", vec![8080])];
        assert_eq!(found, wanted.map(|(name, ports)| (name.to_owned(), ports)));
    }

    #[test]
    fn an_app_of_one_component_has_no_calls() {
        let alone = "services: [{name: web, git: {repo_clone_url: /x}}]\n";
        assert!(ports([spec(alone)].iter(), &BTreeSet::new()).is_empty());
        let with_worker = format!("{alone}workers: [{{name: mill, git: {{repo_clone_url: /x}}}}]\n");
        assert_eq!(ports([spec(&with_worker)].iter(), &BTreeSet::new()).len(), 1);
    }

    #[test]
    fn a_service_that_containers_find_at_the_ingress_keeps_its_listener() {
        let alone = spec("services: [{name: web, git: {repo_clone_url: /x}}]\n");
        assert_eq!(
            ports([alone.clone()].iter(), &BTreeSet::from(["web", "gone"])).into_keys().collect::<Vec<_>>(),
            ["web"]
        );
        assert!(called(&alone).is_empty(), "new containers find it by the engine's DNS");
    }

    #[test]
    fn services_are_called_by_way_of_the_ingress_whatever_their_protocol_is() {
        let http2 = spec(&SHOP.replace("http_port: 3000", "http_port: 3000, protocol: HTTP2"));
        assert_eq!(ports([http2.clone()].iter(), &BTreeSet::new())["api"], BTreeSet::from([3000]));
        assert_eq!(called(&http2), BTreeSet::from(["api".to_owned(), "web".to_owned()]));
    }

    #[test]
    fn a_name_leads_to_the_ingress_if_it_listens_on_all_ports_of_a_service_without_other_ports() {
        let routes = internal(&[("api", &[3000, 3001]), ("gone", &[8080]), ("mixed", &[9000]), ("web", &[8080])]);
        let open = |ports: &[u16]| ports.iter().map(|it| SocketAddr::from((GATEWAY, *it))).collect::<BTreeSet<_>>();
        let named = |ports: &[u16]| {
            let calls = calls(&routes, &spec(SHOP), &open(ports));
            (
                calls.hosts.iter().map(|(name, at)| format!("{name}={at}")).collect::<Vec<_>>().join(" "),
                calls.addresses.iter().map(SocketAddrV4::port).collect::<Vec<_>>(),
            )
        };
        assert_eq!(named(&[3000, 3001, 8080, 9000]), ("api=10.192.7.1 web=10.192.7.1".into(), vec![3000, 3001, 8080]));
        assert_eq!(named(&[3000, 8080]), ("web=10.192.7.1".into(), vec![8080]));
        assert_eq!(named(&[]), (String::new(), vec![]));
    }

    #[test]
    fn only_names_without_an_answer_on_the_internet_lead_to_this_host() {
        for (name, local) in [
            ("shop.localhost", true),
            ("shop.test", true),
            ("shop.internal", true),
            ("*.shop.test", false),
            ("shop.example.com", false),
            ("localhost.example.com", false),
        ] {
            assert_eq!(is_local(name), local, "{name}");
        }
    }

    #[test]
    fn only_the_ports_and_the_network_decide_about_the_listeners() {
        let routes = internal(&[("api", &[3000]), ("web", &[8080])]);
        assert!(have_same_listeners(&routes, &internal(&[("web", &[8080]), ("api", &[3000, 8080])])));
        assert!(!have_same_listeners(&routes, &internal(&[("web", &[8080])])));
        assert!(!have_same_listeners(&routes, &InternalRoutes { gateway: Ipv4Addr::LOCALHOST, ..routes.clone() }));
    }
}
