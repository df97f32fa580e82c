//! What the app spec says about the component to build.

use crate::Bases;

/// The component, as far as detection depends on it.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Its name. A `Procfile` may have a line with this name.
    pub component: &'a str,
    /// Its kind.
    pub kind: Kind,
    /// `environment_slug`: a hint. An unknown slug has no effect.
    pub slug: Option<&'a str>,
    /// Replaces the detected build step. It runs after the installation of dependencies.
    pub build_command: Option<&'a str>,
    /// Replaces the detected start command. The controller runs it, so the Dockerfile does not contain it; with it, a
    /// missing start command is no error.
    pub run_command: Option<&'a str>,
    /// For a static site: the directory with the built files. Default: the first of `_static`, `dist`, `public`, `build`
    /// that the build makes.
    pub output_dir: Option<&'a str>,
    /// The names of plain variables that the build gets, as build arguments.
    pub build_args: Vec<&'a str>,
    /// The names of secret variables that the build gets, as BuildKit secrets with these ids.
    pub build_secrets: Vec<&'a str>,
    /// The base images.
    pub bases: &'a Bases,
}

impl<'a> Request<'a> {
    /// A component whose app spec has no other fields.
    pub fn new(component: &'a str, kind: Kind, bases: &'a Bases) -> Self {
        Self {
            component,
            kind,
            slug: None,
            build_command: None,
            run_command: None,
            output_dir: None,
            build_args: Vec::new(),
            build_secrets: Vec::new(),
            bases,
        }
    }
}

/// The kind of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It listens on the port in the variable `PORT`, on all addresses.
    Service,
    /// It runs until it is stopped.
    Worker,
    /// It runs to its end.
    Job,
    /// Its files are served; it does not run.
    StaticSite,
}
