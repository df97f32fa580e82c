//! The app spec: parses what people write into types, and reports every problem with its line and column.
//!
//! ```
//! use app_spec::AppSpec;
//!
//! let text = "
//! name: shop
//! services:
//! - name: web
//!   image: {registry_type: DOCKER_HUB, registry: library, repository: nginx, tag: '1.27'}
//!   htp_port: 80
//! ";
//! let problems = AppSpec::from_yaml(text).expect_err("one field is misspelt");
//! assert_eq!(problems[0].help.as_deref(), Some("did you mean `http_port`?"));
//! assert_eq!(problems[0].line(), Some(6));
//! ```
//!
//! In reading order: `tree` parses a text into a tree with places, `value` turns the tree into types and back, `spec`
//! declares the types, `check` holds the rules between fields, and `capability` says what this version does with each
//! field. `address` parses repository addresses, and `repository_key` compares them. `routes`, `resolve`, `size`, `image` and `alerts` derive from a spec what other
//! crates need. `render` draws problems for people, and `schema` gives editors the list of fields.
//!
//! Nothing here is asynchronous, reads a file, uses the network or reads the clock. Secrets stay inside [`SecretText`];
//! writers pass them to a sealing function.
#![warn(missing_docs)]

mod address;
mod alerts;
mod build_kind;
mod capability;
mod changes;
mod check;
mod complete;
mod deceptive;
mod diagnostic;
mod domains;
mod facts;
mod image;
mod interpreter;
mod needed;
mod reference;
mod render;
mod repository_key;
mod resolve;
mod routes;
mod schema;
mod secret;
mod size;
mod spec;
mod suggest;
mod tree;
mod value;

pub use address::{AddressError, RepoAddress, split_port};
pub use alerts::Alert;
pub use capability::{Capability, Support, capabilities};
pub use changes::{Change, changes};
pub use check::origin_pattern;
pub use deceptive::is_deceptive;
pub use diagnostic::{Code, Diagnostic, Diagnostics, Place, Related, Severity};
pub use domains::host_names_overlap;
pub use facts::{DatabaseFacts, Facts};
pub use image::image_reference;
pub use interpreter::interpreter;
pub use needed::{NeededValue, Why};
pub use repository_key::RepositoryKey;
pub use resolve::{Environment, ResolvedValue, Scope, resolve_envs};
pub use routes::{Authority, Forward, RedirectTo, RoutePath, RouteRule, RouteTarget, routes};
pub use schema::json_schema;
pub use secret::{SecretText, SecretValue, is_sealed};
pub use size::{InstanceSize, instance_size, instance_sizes};
pub use spec::{
    AppSpec, Autoscaling, AutoscalingCpu, AutoscalingMetrics, AutoscalingRequestDuration, AutoscalingRequestRate,
    BuildFields, Common, Component, ComponentKind, Cors, Database, Domain, DomainKind, Engine, EnvKind, EnvScope,
    EnvValue, EnvVar, Function, GitSource, HealthCheck, HostedSource, ImageDeployOnPush, ImageSource, Ingress,
    IngressComponent, IngressRule, Job, JobKind, LivenessHealthCheck, Maintenance, Match, MissingDocument, Opaque,
    Parsed, Protocol, Redirect, RegistryType, Route, RouteMatch, Schedule, Scheme, SecureHeader, Service,
    ServiceTermination, Source, StaticSite, StringMatch, Termination, Worker,
};
pub use value::Seal;
pub use value::form::nearest_name;
