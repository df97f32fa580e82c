//! Names: unique among all components and databases, and domains unique among domains.

use std::collections::HashMap;

use super::record_use;
use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, DomainKind};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    components_and_databases(spec, found);
    domains(spec, found);
}

fn components_and_databases(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let components = spec.components_with_paths().map(|(path, component)| (component.name(), path));
    let databases = spec.databases.iter().enumerate().map(|(i, d)| (d.name.as_str(), format!("databases[{i}]")));
    let mut uses = HashMap::new();
    for (name, path) in components.chain(databases).filter(|(name, _)| !name.is_empty()) {
        let path = format!("{path}.name");
        if let Some(first) = record_use(&mut uses, name, &path) {
            let message = format!("the name `{name}` is already used by `{first}`");
            let clash = Diagnostic::error(Code::NameClash, path, message).related(first, None, "first used here");
            found.push(clash.help("give each component and database a different name"));
        }
    }
}

fn domains(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let (mut names, mut primary) = (HashMap::new(), HashMap::new());
    for (i, domain) in spec.domains.iter().enumerate() {
        let path = format!("domains[{i}].domain");
        let name = domain.domain.trim_end_matches('.').to_ascii_lowercase();
        // The reader has reported a name that it could not read.
        if !name.is_empty()
            && let Some(first) = record_use(&mut names, name.clone(), &path)
        {
            let message = format!("the domain `{name}` is already used by `{first}`");
            found.push(Diagnostic::error(Code::NameClash, path, message).related(first, None, "first used here"));
        }
        let path = format!("domains[{i}].type");
        if domain.kind == Some(DomainKind::Primary)
            && let Some(first) = record_use(&mut primary, (), &path)
        {
            let message = "an app has at most one PRIMARY domain";
            found.push(Diagnostic::error(Code::Conflict, path, message).related(first, None, "the first one"));
        }
    }
}
