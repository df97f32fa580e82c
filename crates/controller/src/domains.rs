//! The host names of apps: which an app has, which other app has them already, and what state they are in.

use app_spec::{AppSpec, Domain, host_names_overlap};
use rollout::ids::AppId;
use rollout::time::Timestamp;
use serde_json::Value;

use crate::app::Shared;
use crate::certificates::decide::Need;
use crate::certificates::{HostState, host_states};
use crate::clock;
use crate::error::ControlError;
use crate::ingress_client::domain;
use crate::specs::Specs;
use crate::view::{DomainPhase, DomainView};

/// The host names of an app with this spec: the one that every app has, then its domains.
pub(crate) fn host_names(app: &str, spec: &AppSpec) -> Vec<String> {
    let mut names = vec![domain(app)];
    for name in spec.domains.iter().flat_map(Domain::host_names) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Refuses a spec whose host names another app has, or the webhooks. `app`: the app itself, unless it is new.
pub(crate) async fn check_free(shared: &Shared, app: Option<&AppId>, spec: &AppSpec) -> Result<(), ControlError> {
    let wanted = host_names(&spec.name, spec);
    if let Some(webhooks) = &shared.config.webhooks
        && let Some(name) = wanted.iter().find(|it| host_names_overlap(it, &webhooks.host))
    {
        return Err(ControlError::Conflict(format!(
            "app {} would have the host name {name}, which serve uses for webhooks (--webhook-host). Choose another name",
            spec.name
        )));
    }
    for other in shared.store.apps().await?.into_iter().filter(|it| !it.deleting && Some(&it.id) != app) {
        let theirs = match Specs::of(&other.id, &shared.sealer).open(&other.spec) {
            Some(spec) => host_names(&other.name, &spec),
            None => vec![domain(&other.name)],
        };
        if let Some((name, taken)) = first_overlap(&wanted, &theirs) {
            let covered = if name == taken { String::new() } else { format!(" (as {taken})") };
            return Err(ControlError::Conflict(format!(
                "the host name {name} belongs to app {}{covered}. Choose another one, or remove it from that app first",
                other.name
            )));
        }
    }
    Ok(())
}

fn first_overlap<'a>(wanted: &'a [String], theirs: &'a [String]) -> Option<(&'a str, &'a str)> {
    let overlap = |name: &'a String| theirs.iter().find(|it| host_names_overlap(name, it)).map(|it| (&**name, &**it));
    wanted.iter().find_map(overlap)
}

/// The host name that people are shown: that of the PRIMARY domain, else the one that every app has. `spec`: as JSON.
pub(crate) fn shown_host(app: &str, spec: &Value) -> String {
    let domains = spec["domains"].as_array().map_or(&[][..], Vec::as_slice);
    let primary = domains.iter().find(|it| it["type"] == "PRIMARY").and_then(|it| it["domain"].as_str());
    primary.map_or_else(|| domain(app), |it| it.strip_suffix('.').unwrap_or(it).to_ascii_lowercase())
}

/// The domains of an app and their state. `spec`: as JSON.
pub(crate) async fn views(shared: &Shared, app: &AppId, spec: &Value) -> Vec<DomainView> {
    let domains = spec["domains"].as_array().map_or(&[][..], Vec::as_slice);
    if domains.is_empty() {
        return Vec::new();
    }
    let states = host_states(shared).await.unwrap_or_default();
    let routed = shared.ingress.part(app.as_str()).map(|it| it.hosts).unwrap_or_default();
    let known = Known {
        routed: &routed,
        refusal: &|host| shared.ingress.host_refusal(app.as_str(), host),
        states: &states,
        secure: shared.config.https.is_some(),
        now: clock::now(),
    };
    domains.iter().map(|it| view(app, it, &known)).collect()
}

/// What the state of a domain follows from.
struct Known<'a> {
    /// The host names of the app in the newest table.
    routed: &'a [String],
    /// Why the ingress refused one of them.
    refusal: &'a dyn Fn(&str) -> Option<String>,
    states: &'a [HostState],
    /// Whether the ingress listens for HTTPS.
    secure: bool,
    now: Timestamp,
}

fn view(app: &AppId, spec: &Value, known: &Known<'_>) -> DomainView {
    let written = spec["domain"].as_str().unwrap_or_default();
    let name = written.strip_suffix('.').unwrap_or(written).to_ascii_lowercase();
    let below = (spec["wildcard"] == true).then(|| format!("*.{name}"));
    let names = || [&name].into_iter().chain(&below);
    // A domain is as far as the host name that is least far.
    let rank = |phase: DomainPhase| match phase {
        DomainPhase::Error => 0,
        DomainPhase::Pending => 1,
        DomainPhase::Configuring => 2,
        DomainPhase::Active => 3,
    };
    let phases = names().map(|it| known.phase(it)).min_by_key(|(phase, _)| rank(*phase));
    let (phase, reason) = phases.unwrap_or((DomainPhase::Pending, None));
    DomainView {
        id: crate::derived_id(&["domain", app.as_str(), &name]),
        spec: spec.clone(),
        phase,
        reason,
        certificate_expires: names().filter_map(|it| known.valid_until(it)).min(),
    }
}

impl Known<'_> {
    fn state(&self, host: &str) -> Option<&HostState> {
        self.states.iter().find(|it| it.host.name == host)
    }

    fn valid_until(&self, host: &str) -> Option<Timestamp> {
        self.state(host)?.certificate.as_ref().map(|it| it.not_after).filter(|until| self.now < *until)
    }

    fn phase(&self, host: &str) -> (DomainPhase, Option<String>) {
        if !self.routed.iter().any(|it| it == host) {
            return (DomainPhase::Pending, Some("the app's newest deployment does not serve yet".into()));
        }
        if let Some(reason) = (self.refusal)(host) {
            return (DomainPhase::Error, Some(reason));
        }
        match self.state(host) {
            _ if !self.secure || self.valid_until(host).is_some() => (DomainPhase::Active, None),
            Some(HostState { need: Need::Impossible(reason), .. }) => (DomainPhase::Error, Some(reason.clone())),
            Some(HostState { last_error: Some(error), is_ordering: false, .. }) => {
                (DomainPhase::Error, Some(error.clone()))
            }
            Some(_) | None => (DomainPhase::Configuring, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::records::{Certificate, CertificateSource};

    use super::*;
    use crate::certificates::HostName;

    /// A certificate for `a.example` that is valid until then.
    fn certificate(until: u64) -> Certificate {
        Certificate {
            name: "a.example".into(),
            source: CertificateSource::Acme,
            names: vec!["a.example".into()],
            chain: String::new(),
            key: String::new(),
            not_before: Timestamp(0),
            not_after: Timestamp(until),
            added: Timestamp(0),
        }
    }

    #[test]
    fn an_app_has_its_own_host_name_and_its_domains() {
        let text = "name: shop\ndomains:\n- {domain: Shop.example.com, wildcard: true}\n- {domain: shop.localhost}\n";
        let spec = AppSpec::from_yaml(text).expect("a spec").spec;
        assert_eq!(host_names("shop", &spec), ["shop.localhost", "shop.example.com", "*.shop.example.com"]);
    }

    #[test]
    fn the_primary_domain_is_shown() {
        let table = [
            (json!({}), "shop.localhost"),
            (json!({"domains": [{"domain": "a.example"}]}), "shop.localhost"),
            (json!({"domains": [{"domain": "a.example"}, {"domain": "B.example.", "type": "PRIMARY"}]}), "b.example"),
        ];
        for (spec, wanted) in table {
            assert_eq!(shown_host("shop", &spec), wanted, "{spec}");
        }
    }

    #[test]
    fn a_domain_is_active_once_it_is_routed_and_has_a_certificate() {
        let now = Timestamp(50);
        let state = |until: u64, need: Need, is_ordering: bool, last_error: Option<&str>| HostState {
            host: HostName { name: "a.example".into(), app: "id".into(), minimum_tls_version: None },
            certificate: (until > 0).then(|| certificate(until)),
            need,
            is_ordering,
            last_error: last_error.map(str::to_owned),
        };
        let new = || Need::New(CertificateSource::Acme);
        let nothing = || Need::Nothing { until: None };
        let later = || Need::Later(CertificateSource::Acme, Timestamp(60));
        let routed = vec!["a.example".to_owned()];
        let table = [
            (&routed[..], state(100, nothing(), false, None), true, DomainPhase::Active, None),
            (&routed, state(100, later(), false, Some("refused")), true, DomainPhase::Active, None),
            (&[], state(100, nothing(), false, None), true, DomainPhase::Pending, Some("does not serve yet")),
            (&routed, state(0, new(), false, None), true, DomainPhase::Configuring, None),
            (&routed, state(0, new(), true, Some("refused")), true, DomainPhase::Configuring, None),
            (&routed, state(0, later(), false, Some("refused")), true, DomainPhase::Error, Some("refused")),
            (&routed, state(40, later(), false, Some("refused")), true, DomainPhase::Error, Some("refused")),
            (
                &routed,
                state(0, Need::Impossible("no source".into()), false, None),
                true,
                DomainPhase::Error,
                Some("no source"),
            ),
            (&routed, state(0, new(), false, None), false, DomainPhase::Active, None),
        ];
        for (routed, state, secure, phase, reason) in table {
            let described = format!("{state:?} {secure}");
            let spec = json!({"domain": "A.example."});
            let known = Known { routed, refusal: &|_| None, states: &[state], secure, now };
            let view = view(&"id".into(), &spec, &known);
            assert_eq!(view.phase, phase, "{described}");
            let found = view.reason.unwrap_or_default();
            assert!(reason.map_or(found.is_empty(), |part| found.contains(part)), "{described}: {found}");
        }
    }

    #[test]
    fn a_domain_is_not_active_while_the_ingress_refuses_its_host() {
        let refusal = |host: &str| (host == "a.example").then(|| "host a.example belongs to app b".to_owned());
        let routed = ["a.example".to_owned(), "b.example".to_owned()];
        let known = Known { routed: &routed, refusal: &refusal, states: &[], secure: false, now: Timestamp(50) };
        let phase = |domain: &str| view(&"id".into(), &json!({"domain": domain}), &known);
        assert_eq!(phase("b.example").phase, DomainPhase::Active);
        let refused = phase("a.example");
        assert_eq!(
            (refused.phase, refused.reason.as_deref()),
            (DomainPhase::Error, Some("host a.example belongs to app b"))
        );
    }

    #[test]
    fn a_domain_is_not_active_while_its_wildcard_has_no_certificate() {
        let routed = ["a.example", "*.a.example"].map(str::to_owned);
        let state = |name: &str, need: Need, certificate: Option<Certificate>| HostState {
            host: HostName { name: name.into(), app: "id".into(), minimum_tls_version: None },
            certificate,
            need,
            is_ordering: false,
            last_error: None,
        };
        let states = [
            state("*.a.example", Need::Impossible("no source".into()), None),
            state("a.example", Need::Nothing { until: None }, Some(certificate(100))),
        ];
        let known = Known { routed: &routed, refusal: &|_| None, states: &states, secure: true, now: Timestamp(50) };
        let with = view(&"id".into(), &json!({"domain": "a.example", "wildcard": true}), &known);
        assert_eq!((with.phase, with.reason.as_deref()), (DomainPhase::Error, Some("no source")));
        assert_eq!(view(&"id".into(), &json!({"domain": "a.example"}), &known).phase, DomainPhase::Active);
    }
}
