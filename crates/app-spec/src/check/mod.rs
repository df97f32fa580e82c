//! Rules between the fields of a spec. Each rule is a function from the spec to the problems it finds.
//!
//! The reader already checks the limits and forms of single fields, so these rules each need more than one field. Rules
//! report paths; the reader adds the places.

mod component;
mod cors;
mod database;
mod envs;
mod image;
mod names;
mod references;
mod routing;
mod scaling;
mod templates;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::AppSpec;

pub use cors::origin_pattern;

/// All problems between fields. `partial` means that reading found errors, so a field may be missing only because it
/// could not be read.
pub(crate) fn check(spec: &AppSpec, partial: bool) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    names::check(spec, &mut found);
    component::check(spec, &mut found);
    image::check(spec, &mut found);
    scaling::check(spec, &mut found);
    database::check(spec, &mut found);
    envs::check(spec, &mut found);
    routing::check(spec, partial, &mut found);
    cors::check(spec, &mut found);
    if !partial && spec.components().next().is_none() && spec.databases.is_empty() {
        let message = "the app has no component and no database, so there is nothing to run";
        found.push(Diagnostic::warning(Code::Doubtful, "", message));
    }
    found
}

/// Records that `key` is used at `path`. Returns the path of the first use if there was one.
fn record_use<K: Eq + Hash>(uses: &mut HashMap<K, String>, key: K, path: &str) -> Option<String> {
    match uses.entry(key) {
        Entry::Occupied(first) => Some(first.get().clone()),
        Entry::Vacant(unused) => {
            unused.insert(path.to_owned());
            None
        }
    }
}

/// Reports two fields of the object at `path` that cannot be combined, if both are given. The problem is placed at the
/// second one.
fn not_both(path: &str, first: (&str, bool), second: (&str, bool), found: &mut Vec<Diagnostic>) {
    let ((first, has_first), (second, has_second)) = (first, second);
    if has_first && has_second {
        let message = format!("`{first}` and `{second}` cannot be combined");
        let conflict = Diagnostic::error(Code::Conflict, format!("{path}.{second}"), message);
        found.push(conflict.related(format!("{path}.{first}"), None, format!("`{first}` is given here")));
    }
}
