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

use crate::diagnostic::{Code, Diagnostic};
use crate::spec::AppSpec;

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
        let message = "there is no component and no database: nothing to run";
        found.push(Diagnostic::warning(Code::Doubtful, "", message));
    }
    found
}
