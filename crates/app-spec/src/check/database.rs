//! Databases: two entries that share a database on the platform get two separate databases here.

use std::collections::HashMap;

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::AppSpec;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let mut first = HashMap::new();
    for (i, database) in spec.databases.iter().enumerate() {
        let Some(cluster) = &database.cluster_name else { continue };
        let path = format!("databases[{i}].cluster_name");
        match first.get(&(cluster, &database.db_name)) {
            None => _ = first.insert((cluster, &database.db_name), path),
            Some(before) => {
                let message =
                    "this is the same database of the cluster as another one; here each gets its own, empty one";
                let doubtful = Diagnostic::warning(Code::Doubtful, path, message);
                let doubtful = doubtful.related(String::from(before), None, "the other one");
                found.push(doubtful.help("give one of them, and refer to it from every component"));
            }
        }
    }
}
