//! The types of an app spec: every object and field of the reference, under the same names.
//!
//! Optional numbers and words stay `None` if the text has none; [`AppSpec::completed`] fills in App Platform's
//! defaults. Absent and zero mean the same everywhere.

mod app;
mod component;
mod database;
mod env;
mod health;
mod ingress;
mod opaque;
mod platform;
mod read;
mod site;
mod source;

pub use app::{AppSpec, Component, ComponentKind};
pub use component::{BuildFields, Common, Job, JobKind, Protocol, Schedule, Service, Worker};
pub use database::{Database, Engine};
pub use env::{EnvKind, EnvScope, EnvValue, EnvVar};
pub use health::{
    Autoscaling, AutoscalingCpu, AutoscalingMetrics, AutoscalingRequestDuration, AutoscalingRequestRate, HealthCheck,
    LivenessHealthCheck, ServiceTermination, Termination,
};
pub(crate) use ingress::REDIRECT_CODES;
pub use ingress::{
    Cors, Ingress, IngressComponent, IngressRule, Match, Redirect, Route, RouteMatch, Scheme, SecureHeader, StringMatch,
};
pub use opaque::Opaque;
pub use platform::{Domain, DomainKind, Maintenance};
pub use read::Parsed;
pub use site::{Function, MissingDocument, StaticSite};
pub use source::{GitSource, HostedSource, ImageDeployOnPush, ImageSource, RegistryType, Source};
