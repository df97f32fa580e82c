//! What the tests of all languages share.
#![allow(clippy::unwrap_used)]

use crate::{Bases, Detected, Kind, Project, Request, Undetected, detect};

/// What is detected for a component of a project with these files, by path and text.
pub(crate) fn detected(component: &str, kind: Kind, files: &[(&str, &str)]) -> Result<Detected, Undetected> {
    let bases = Bases::default();
    detect(&Project::of(files), &Request::new(component, kind, &bases))
}

/// For a service with the name `web`.
pub(crate) fn service(files: &[(&str, &str)]) -> Detected {
    detected("web", Kind::Service, files).unwrap()
}

/// For a static site.
pub(crate) fn site(files: &[(&str, &str)]) -> Detected {
    detected("web", Kind::StaticSite, files).unwrap()
}

/// Asserts that the parts are in the text, in this order.
pub(crate) fn assert_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("{part} is missing or too early: {text}")).1;
    }
}
