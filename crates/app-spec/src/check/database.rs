//! Databases: a managed one needs its cluster's name, and only a managed one has it.

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::AppSpec;

pub(super) fn check(spec: &AppSpec, found: &mut Vec<Diagnostic>) {
    for (i, database) in spec.databases.iter().enumerate() {
        if database.production && database.cluster_name.is_none() {
            let message = "App Platform takes a production database from a cluster of the account, by its name";
            let doubtful = Diagnostic::warning(Code::Doubtful, format!("databases[{i}].production"), message);
            found.push(doubtful.help("give `cluster_name`, or leave `production` out"));
        }
    }
}
