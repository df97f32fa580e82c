//! Published ports: which ports of 127.0.0.1 lead to containers.
//!
//! The engine's list does not show the ports of a container that does not run. So every container has a label with its
//! ports. Boatyard publishes no port that another container on the engine has, of whatever installation and running or
//! not: an ingress may still send requests to that port.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{ContainerSummary, PortBinding, PortMap};

use super::DockerEngine;
use super::lookup::called;
use crate::error::EngineError;
use crate::port::{ContainerSpec, PublishedPort};

/// `CONTAINER:HOST` for each port that was chosen at create, separated by commas. Anybody can write such a label: it only
/// makes Boatyard choose another port.
pub(super) const LABEL: &str = "io.boatyard.published";

/// The label's value.
pub(super) fn label(ports: &[PublishedPort]) -> String {
    let pairs = ports.iter().filter_map(|it| Some(format!("{}:{}", it.container, it.host?)));
    pairs.collect::<Vec<_>>().join(",")
}

/// The ports in the label of a container.
pub(super) fn chosen(labels: &HashMap<String, String>) -> Vec<PublishedPort> {
    let pair = |text: &str| {
        let (container, host) = text.split_once(':')?;
        Some(PublishedPort { container: container.parse().ok()?, host: Some(host.parse().ok()?) })
    };
    labels.get(LABEL).map(|it| it.split(',').filter_map(pair).collect()).unwrap_or_default()
}

/// The ports in the label, and those that the engine chose for the running process.
pub(super) fn of_listed(summary: &ContainerSummary) -> Vec<PublishedPort> {
    let running = summary.ports.iter().flatten().filter_map(|it| {
        let host = it.public_port.filter(|_| it.ip.as_deref() == Some("127.0.0.1"))?;
        Some(PublishedPort { container: it.private_port, host: Some(host) })
    });
    together(summary.labels.as_ref().map(chosen).unwrap_or_default(), running)
}

/// Like [`of_listed`], from an inspection.
pub(super) fn of_inspected(labels: &HashMap<String, String>, ports: PortMap) -> Vec<PublishedPort> {
    let running = ports.into_iter().filter_map(|(name, bindings)| {
        let container = name.strip_suffix("/tcp")?.parse().ok()?;
        let on_loopback = |it: &PortBinding| it.host_ip.as_deref() == Some("127.0.0.1");
        let binding = bindings?.into_iter().find(on_loopback)?;
        Some(PublishedPort { container, host: Some(binding.host_port?.parse().ok()?) })
    });
    together(chosen(labels), running)
}

fn together(chosen: Vec<PublishedPort>, running: impl Iterator<Item = PublishedPort>) -> Vec<PublishedPort> {
    let all: BTreeSet<_> = chosen.into_iter().chain(running).collect();
    all.into_iter().collect()
}

impl DockerEngine {
    /// Errors: [`EngineError::PortTaken`] if another container on the engine has one of the ports.
    pub(super) async fn check_ports(&self, spec: &ContainerSpec) -> Result<(), EngineError> {
        let wanted: BTreeSet<u16> = spec.published.iter().filter_map(|it| it.host).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let all = self.summaries(HashMap::new()).await?;
        let others = all.iter().filter(|it| called(it).as_deref() != Some(&spec.name));
        for summary in others {
            if let Some(port) = of_listed(summary).into_iter().filter_map(|it| it.host).find(|it| wanted.contains(it)) {
                let holder = called(summary).unwrap_or_default();
                let detail = format!("the container {holder} has it");
                return Err(EngineError::PortTaken { name: spec.name.clone(), port: Some(port), detail });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::PortSummary;

    use super::*;

    fn port(container: u16, host: Option<u16>) -> PublishedPort {
        PublishedPort { container, host }
    }

    #[test]
    fn the_label_lists_the_ports_that_were_chosen_at_create() {
        let ports = [port(8080, Some(20_001)), port(5432, None), port(9090, Some(20_002))];
        assert_eq!(label(&ports), "8080:20001,9090:20002");
        let labels = HashMap::from([(LABEL.to_owned(), label(&ports))]);
        assert_eq!(chosen(&labels), [port(8080, Some(20_001)), port(9090, Some(20_002))]);
        assert_eq!(label(&[]), "");
        for odd in ["", "x", "8080:", ":1", "8080:99999"] {
            assert_eq!(chosen(&HashMap::from([(LABEL.to_owned(), odd.to_owned())])), [], "{odd}");
        }
    }

    #[test]
    fn the_ports_of_a_container_that_does_not_run_come_from_its_label() {
        let labels = Some(HashMap::from([(LABEL.to_owned(), "8080:20001".to_owned())]));
        let on = |ip: &str, container, host| PortSummary {
            ip: Some(ip.into()),
            private_port: container,
            public_port: host,
            ..Default::default()
        };
        let stopped = ContainerSummary { labels, ..Default::default() };
        assert_eq!(of_listed(&stopped), [port(8080, Some(20_001))]);
        let ports = Some(vec![
            on("127.0.0.1", 8080, Some(20_001)),
            on("127.0.0.1", 5432, Some(32_768)),
            on("127.0.0.1", 9090, None),
            on("192.0.2.1", 80, Some(80)),
        ]);
        let running = ContainerSummary { ports, ..stopped };
        assert_eq!(of_listed(&running), [port(5432, Some(32_768)), port(8080, Some(20_001))]);
    }
}
