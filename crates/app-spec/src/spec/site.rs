//! Components without containers: static sites and functions.

use super::component::normalise;
use super::env::EnvVar;
use super::ingress::{Cors, Route};
use super::opaque::Opaque;
use super::source::Source;
use crate::value::form;
use crate::value::object;
use crate::value::rule::{ANY, NAME};

object! {
    /// Files that a build produces once and the ingress serves.
    "a static site" struct StaticSite labelled "name" name {
        .. {
            /// A repository. Images are refused.
            source: Source,
        }
        /// Unique among all components and databases of the app.
        name: String = NAME,
        /// Root of the build context, relative to the repository.
        source_dir: Option<String> = ANY.of_form(form::inside_repository),
        /// Relative to the repository's root.
        dockerfile_path: Option<String> = ANY.of_form(form::inside_repository),
        /// The build step.
        build_command: Option<String> = ANY,
        /// Start command. One of the platform's references lists it for static sites.
        run_command: Option<String> = ANY,
        /// A hint at the language of the build.
        environment_slug: Option<String> = ANY,
        /// Variables of the build.
        envs: Vec<EnvVar> = ANY,
        /// The directory that holds the files after the build.
        output_dir: Option<String> = ANY,
        /// The index file, `index.html` by default.
        index_document: Option<String> = ANY.or("index.html"),
        /// The error page, `404.html` by default. Cannot be combined with `catchall_document`.
        error_document: Option<String> = ANY.or("404.html"),
        /// The file for every path without a file. Cannot be combined with `error_document`.
        catchall_document: Option<String> = ANY,
        /// Path prefixes of the site.
        routes: Vec<Route> = ANY,
        /// Deprecated: use `cors` of ingress rules.
        cors: Option<Cors> = ANY,
        /// Where logs are forwarded. One of the platform's references lists it for static sites.
        log_destinations: Opaque = ANY,
    }
}

/// What a static site answers for a path without a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingDocument {
    /// This document, with status 404.
    Error(String),
    /// This document, with status 200.
    CatchAll(String),
}

impl StaticSite {
    /// The document of a directory. Defaults to `index.html`.
    pub fn index_document(&self) -> String {
        document(self.index_document.as_deref()).unwrap_or_else(|| "index.html".to_owned())
    }

    /// The document for paths without a file. Defaults to the error document `404.html`.
    pub fn missing_document(&self) -> MissingDocument {
        match document(self.catchall_document.as_deref()) {
            Some(path) => MissingDocument::CatchAll(path),
            None => {
                let path = document(self.error_document.as_deref());
                MissingDocument::Error(path.unwrap_or_else(|| "404.html".to_owned()))
            }
        }
    }
}

/// A path below the site's directory: `/404.html` and `./404.html` mean `404.html`.
fn document(path: Option<&str>) -> Option<String> {
    path.map(normalise).filter(|path| !path.is_empty())
}

object! {
    /// A package of serverless functions.
    "a function" struct Function labelled "name" name {
        .. {
            /// A repository. Images are refused.
            source: Source,
        }
        /// Unique among all components and databases of the app.
        name: String = NAME,
        /// The directory with `project.yml`.
        source_dir: Option<String> = ANY.of_form(form::inside_repository),
        /// Variables.
        envs: Vec<EnvVar> = ANY,
        /// Stored without effect on one host.
        alerts: Opaque = ANY,
        /// Where logs are forwarded.
        log_destinations: Opaque = ANY,
        /// Path prefixes of the function.
        routes: Vec<Route> = ANY,
        /// Deprecated: use `cors` of ingress rules.
        cors: Option<Cors> = ANY,
    }
}
