//! Databases: a managed one needs its cluster's name, and only a managed one has it; versions that there are.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::{AppSpec, Database, Engine};
use crate::suggest::{one_of, shown};

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (i, database) in spec.databases.iter().enumerate() {
        if database.production && database.cluster_name.is_none() {
            let message = "App Platform takes a production database from a cluster of the account, by its name";
            let doubtful = Diagnostic::warning(Code::Doubtful, format!("databases[{i}].production"), message);
            found.push(doubtful.help("give `cluster_name`, or leave `production` out"));
        }
        version(&format!("databases[{i}].version"), database, found);
    }
}

fn version(path: &str, database: &Database, found: &mut Vec<Diagnostic>) {
    let Some(version) = &database.version else { return };
    let known = versions(database.engine());
    let major = &version[..version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len())];
    if !known.contains(&major) {
        let message = format!("App Platform has no {} of version `{}`", database.engine(), shown(version));
        let doubtful = Diagnostic::warning(Code::Doubtful, path, message);
        found.push(doubtful.help(format!("known: {}", one_of(known.iter().copied()))));
    }
}

/// Those that App Platform has (reference 1.12). A longer one is known by its major version.
fn versions(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Pg | Engine::Unset => &["13", "14", "15", "16", "17", "18"],
        Engine::Mysql => &["8", "8.4"],
        Engine::Valkey => &["8"],
        Engine::Redis => &["7"],
        Engine::Mongodb => &["6", "7"],
        Engine::Kafka => &["3"],
        Engine::Opensearch => &["1", "2"],
    }
}
