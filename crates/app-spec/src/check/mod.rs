//! What must hold between the fields of a spec: each rule is a function from the spec to what it finds.
//!
//! Limits and forms of single fields are checked while reading; here is only what needs more than one field. Rules know
//! paths, not places: the reader adds those.

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

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::AppSpec;

/// Everything that is wrong or doubtful. `partial`: reading found errors, so that fields may be missing that are there.
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
        let message = "there is no component and no database: nothing to run";
        found.push(Diagnostic::warning(Code::Doubtful, "", message));
    }
    found
}
