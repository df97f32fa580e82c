//! Databases: two entries that share a database on the platform get two separate databases here.

use std::collections::HashMap;

use super::record_use;
use crate::diagnostic::{Code, Diagnostic};
use crate::spec::AppSpec;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    let mut uses = HashMap::new();
    for (i, database) in spec.databases.iter().enumerate() {
        let Some(cluster) = &database.cluster_name else { continue };
        let path = format!("databases[{i}].cluster_name");
        if let Some(first) = record_use(&mut uses, (cluster, &database.db_name), &path) {
            let message =
                "another entry names the same database of this cluster; here each gets a separate, empty database";
            let doubtful = Diagnostic::warning(Code::Doubtful, path, message).related(first, None, "the other entry");
            found.push(doubtful.help("keep one entry, and refer to it from every component"));
        }
    }
}
