//! Names: unique among all components and databases, and domains unique among domains.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, DomainKind};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    components_and_databases(spec, found);
    domains(spec, found);
}

fn components_and_databases(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let components = spec.components_with_paths().map(|(path, component)| (component.name(), path));
    let databases = spec.databases.iter().enumerate().map(|(i, d)| (d.name.as_str(), format!("databases[{i}]")));
    let mut first: HashMap<&str, String> = HashMap::new();
    for (name, path) in components.chain(databases).filter(|(name, _)| !name.is_empty()) {
        let path = format!("{path}.name");
        match first.get(name) {
            None => _ = first.insert(name, path),
            Some(before) => found.push(
                Diagnostic::error(Code::NameClash, path, format!("the name `{name}` is taken by `{before}`"))
                    .related(before.clone(), None, "first used here")
                    .help("give every component and database a name of its own"),
            ),
        }
    }
}

/// App Platform's limit.
const MOST_DOMAINS: usize = 500;

fn domains(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    if spec.domains.len() > MOST_DOMAINS {
        let message = format!("an app has at most {MOST_DOMAINS} domains, here are {}", spec.domains.len());
        found.push(Diagnostic::error(Code::OutOfRange, "domains", message));
    }
    let mut first: HashMap<String, String> = HashMap::new();
    let mut primary: Option<String> = None;
    for (i, domain) in spec.domains.iter().enumerate() {
        let path = format!("domains[{i}].domain");
        let name = domain.domain.trim_end_matches('.').to_ascii_lowercase();
        match first.get(&name) {
            // The name could not be read, and the reader has reported it.
            _ if name.is_empty() => {}
            None => _ = first.insert(name, path),
            Some(before) => {
                let clash = Diagnostic::error(Code::NameClash, path, format!("the domain `{name}` is given twice"));
                found.push(clash.related(before.clone(), None, "first given here"));
            }
        }
        if domain.kind == Some(DomainKind::Primary) {
            let path = format!("domains[{i}].type");
            match &primary {
                None => primary = Some(path),
                Some(before) => {
                    let conflict = Diagnostic::error(Code::Conflict, path, "an app has at most one PRIMARY domain");
                    found.push(conflict.related(before.clone(), None, "the first one"));
                }
            }
        }
    }
}
