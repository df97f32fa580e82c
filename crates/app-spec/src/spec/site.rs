//! Components without containers of their own: static sites and functions.

use super::env::EnvVar;
use super::ingress::{Cors, Route};
use super::opaque::Opaque;
use super::source::Source;
use crate::tree::Node;
use crate::value::form;
use crate::value::rule::{ANY, NAME};
use crate::value::{Reader, object};

object! {
    /// Files that are built once and served by the ingress.
    "a static site" struct StaticSite labelled name finish finish {
        .. {
            /// A repository; an image is refused.
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
        /// Listed for static sites by one of the references;.
        run_command: Option<String> = ANY,
        /// A hint which language builds it.
        environment_slug: Option<String> = ANY,
        /// Variables of the build.
        envs: Vec<EnvVar> = ANY,
        /// Where the files are after the build.
        output_dir: Option<String> = ANY,
        /// `index.html` by default.
        index_document: Option<String> = ANY.or("index.html"),
        /// `404.html` by default. Excludes `catchall_document`.
        error_document: Option<String> = ANY.or("404.html"),
        /// Served for every path without a file. Excludes `error_document`.
        catchall_document: Option<String> = ANY,
        /// Requests by path prefix.
        routes: Vec<Route> = ANY,
        /// Deprecated: belongs to ingress rules.
        cors: Option<Cors> = ANY,
        /// Listed for static sites by one of the references;.
        log_destinations: Opaque = ANY,
    }
}

object! {
    /// A package of serverless functions.
    "a function" struct Function labelled name finish finish {
        .. {
            /// A repository; an image is refused.
            source: Source,
        }
        /// Unique among all components and databases of the app.
        name: String = NAME,
        /// The directory with `project.yml`.
        source_dir: Option<String> = ANY.of_form(form::inside_repository),
        /// Variables.
        envs: Vec<EnvVar> = ANY,
        /// Kept; has no effect on one host.
        alerts: Opaque = ANY,
        /// Where logs are forwarded.
        log_destinations: Opaque = ANY,
        /// Requests by path prefix.
        routes: Vec<Route> = ANY,
        /// Deprecated: belongs to ingress rules.
        cors: Option<Cors> = ANY,
    }
}

const SOURCES: &str = "`git`, `github`, `gitlab`, `bitbucket`";

impl StaticSite {
    fn finish(&mut self, node: &Node, reader: &mut Reader) {
        self.source.require("a static site", SOURCES, node, reader);
    }
}

impl Function {
    fn finish(&mut self, node: &Node, reader: &mut Reader) {
        self.source.require("a function", SOURCES, node, reader);
    }
}
