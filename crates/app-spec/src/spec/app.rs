//! The app, the ways to write it, and a common view of components of every kind.

use super::component::BuildFields;
use super::component::{Common, Job, Service, Worker};
use super::database::Database;
use super::env::EnvVar;
use super::ingress::{Cors, Ingress, Route};
use super::opaque::Opaque;
use super::platform::{Domain, Maintenance};
use super::site::{Function, StaticSite};
use super::source::Source;
use crate::diagnostic::Diagnostics;
use crate::tree::Node;
use crate::value::rule::{ANY, NAME};
use crate::value::{Seal, SpecValue, Trail, Writer, object};

object! {
    /// An app spec.
    "an app spec" struct AppSpec {
        /// The name of the app, unique in an installation.
        name: String = NAME,
        /// Stored without effect, because there is only one host.
        region: Option<String> = ANY,
        /// Stored without effect: switches of the platform's build stack.
        features: Vec<String> = ANY,
        /// Variables of every component. A component's variables override them.
        envs: Vec<EnvVar> = ANY,
        /// Components that serve requests.
        services: Vec<Service> = ANY,
        /// Components that run all the time and do not receive requests.
        workers: Vec<Worker> = ANY,
        /// Components that run once around a deployment, or on a schedule.
        jobs: Vec<Job> = ANY,
        /// Files served by the ingress.
        static_sites: Vec<StaticSite> = ANY,
        /// Serverless functions.
        functions: Vec<Function> = ANY,
        /// Databases.
        databases: Vec<Database> = ANY,
        /// Additional host names.
        domains: Vec<Domain> = ANY,
        /// Routing rules. They override the routes of components.
        ingress: Option<Ingress> = ANY,
        /// Stored without effect on one host.
        egress: Opaque = ANY,
        /// Stored without effect on one host.
        alerts: Opaque = ANY,
        /// Maintenance mode.
        maintenance: Option<Maintenance> = ANY,
        /// Stored without effect on one host.
        vpc: Opaque = ANY,
        /// Stored without effect, because there is no edge cache.
        disable_edge_cache: Opaque = ANY,
        /// Stored without effect: Boatyard never changes email addresses in responses.
        disable_email_obfuscation: Opaque = ANY,
        /// Stored without effect on one host.
        enhanced_threat_control_enabled: Opaque = ANY,
    }
}

impl AppSpec {
    /// Checks the rules between fields of a spec built or changed in code: clashing names and routes, rules that name
    /// no component, sizes that do not exist. Reading a spec includes these checks.
    pub fn check(&self) -> Diagnostics {
        let mut found = Diagnostics::default();
        found.extend(crate::check::check(self, false));
        found
    }

    /// The spec in the form of App Platform's API: snake_case, without absent or zero values. Writes secrets through
    /// `seal`.
    pub fn to_json_value(&self, seal: Seal<'_>) -> serde_json::Value {
        serde_json::to_value(self.to_node(seal)).expect("a spec has only keys that are text")
    }

    /// The spec as a YAML file, with fields in the order of the reference. Writes secrets through `seal`. Quotes text
    /// that a YAML 1.1 reader would read as another type, such as `on` and `1:30`.
    pub fn to_yaml(&self, seal: Seal<'_>) -> String {
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(&self.to_node(seal), options).expect("writing to a String cannot fail")
    }

    pub(crate) fn to_node(&self, seal: Seal<'_>) -> Node {
        let mut writer = Writer { trail: Trail::default(), seal };
        self.write(&mut writer).expect("an object is always written")
    }

    /// Every component in the order services, static sites, functions, workers, jobs. Databases are not components.
    pub fn components(&self) -> impl Iterator<Item = Component<'_>> {
        let services = self.services.iter().map(Component::Service);
        let sites = self.static_sites.iter().map(Component::StaticSite);
        let functions = self.functions.iter().map(Component::Function);
        let workers = self.workers.iter().map(Component::Worker);
        let jobs = self.jobs.iter().map(Component::Job);
        services.chain(sites).chain(functions).chain(workers).chain(jobs)
    }

    /// Gives components another source. `change` gets the source of each component, and returns the new one, if any.
    pub fn change_sources(&mut self, change: &mut dyn FnMut(&Source) -> Option<Source>) {
        for component in self.components_mut() {
            if let Some(source) = change(component.source) {
                *component.source = source;
            }
        }
    }

    /// The parts of every component that may hold secrets.
    pub(crate) fn components_mut(&mut self) -> impl Iterator<Item = ComponentMut<'_>> {
        let services = self.services.iter_mut().enumerate();
        let workers = self.workers.iter_mut().enumerate();
        let jobs = self.jobs.iter_mut().enumerate();
        let sites = self.static_sites.iter_mut().enumerate().map(|(index, it)| {
            let StaticSite { name, source, envs, .. } = it;
            ComponentMut { kind: ComponentKind::StaticSite, index, name, source, envs }
        });
        let functions = self.functions.iter_mut().enumerate().map(|(index, it)| {
            let Function { name, source, envs, .. } = it;
            ComponentMut { kind: ComponentKind::Function, index, name, source, envs }
        });
        let services = services.map(|(i, it)| ComponentMut::of(ComponentKind::Service, i, &mut it.common));
        let workers = workers.map(|(i, it)| ComponentMut::of(ComponentKind::Worker, i, &mut it.common));
        let jobs = jobs.map(|(i, it)| ComponentMut::of(ComponentKind::Job, i, &mut it.common));
        services.chain(sites).chain(functions).chain(workers).chain(jobs)
    }

    /// The variables of a component, or of the app, to change them. `None` if there is no such component. Nothing checks the
    /// changed spec: see [`AppSpec::from_json`].
    pub fn envs_mut(&mut self, component: Option<&str>) -> Option<&mut Vec<EnvVar>> {
        match component {
            None => Some(&mut self.envs),
            Some(name) => self.components_mut().find(|it| it.name == name).map(|it| it.envs),
        }
    }

    /// Every component with its path, for example `services[0]`, in the same order.
    pub(crate) fn components_with_paths(&self) -> impl Iterator<Item = (String, Component<'_>)> {
        let mut before: Option<(ComponentKind, usize)> = None;
        self.components().map(move |component| {
            let kind = component.kind();
            let index = before.filter(|(k, _)| *k == kind).map_or(0, |(_, index)| index + 1);
            before = Some((kind, index));
            (format!("{}[{index}]", kind.field()), component)
        })
    }

    /// The component with the given name.
    pub fn component(&self, name: &str) -> Option<Component<'_>> {
        self.components().find(|component| component.name() == name)
    }

    /// The service with the given name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.common.name == name)
    }

    /// The database with the given name.
    pub fn database(&self, name: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.name == name)
    }
}

/// A component of any kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Component<'a> {
    /// Serves requests.
    Service(&'a Service),
    /// Static files.
    StaticSite(&'a StaticSite),
    /// A serverless function.
    Function(&'a Function),
    /// Runs all the time.
    Worker(&'a Worker),
    /// Runs once, or on a schedule.
    Job(&'a Job),
}

/// The kind of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    /// Serves requests.
    Service,
    /// Static files.
    StaticSite,
    /// A serverless function.
    Function,
    /// Runs all the time.
    Worker,
    /// Runs once, or on a schedule.
    Job,
}

impl ComponentKind {
    /// The name for messages, for example `static site`.
    pub fn as_str(self) -> &'static str {
        match self {
            ComponentKind::Service => "service",
            ComponentKind::StaticSite => "static site",
            ComponentKind::Function => "function",
            ComponentKind::Worker => "worker",
            ComponentKind::Job => "job",
        }
    }

    /// Whether components of this kind serve requests.
    pub fn has_routes(self) -> bool {
        matches!(self, ComponentKind::Service | ComponentKind::StaticSite | ComponentKind::Function)
    }

    /// The field of the spec that lists such components, for example `static_sites`.
    pub fn field(self) -> &'static str {
        match self {
            ComponentKind::Service => "services",
            ComponentKind::StaticSite => "static_sites",
            ComponentKind::Function => "functions",
            ComponentKind::Worker => "workers",
            ComponentKind::Job => "jobs",
        }
    }
}

/// The fields that components of every kind have.
struct Fields<'a> {
    kind: ComponentKind,
    name: &'a str,
    source: &'a Source,
    envs: &'a [EnvVar],
    routes: &'a [Route],
}

impl<'a> Component<'a> {
    fn fields(self) -> Fields<'a> {
        let of_common =
            |kind, Common { name, source, envs, .. }: &'a Common| Fields { kind, name, source, envs, routes: &[] };
        match self {
            Component::Service(it) => Fields { routes: &it.routes, ..of_common(ComponentKind::Service, &it.common) },
            Component::Worker(it) => of_common(ComponentKind::Worker, &it.common),
            Component::Job(it) => of_common(ComponentKind::Job, &it.common),
            Component::StaticSite(StaticSite { name, source, envs, routes, .. }) => {
                Fields { kind: ComponentKind::StaticSite, name, source, envs, routes }
            }
            Component::Function(Function { name, source, envs, routes, .. }) => {
                Fields { kind: ComponentKind::Function, name, source, envs, routes }
            }
        }
    }

    /// The kind of this component.
    pub fn kind(self) -> ComponentKind {
        self.fields().kind
    }

    /// The common fields of services, workers and jobs. `None` for static sites and functions.
    pub fn common(self) -> Option<&'a Common> {
        match self {
            Component::Service(service) => Some(&service.common),
            Component::Worker(worker) => Some(&worker.common),
            Component::Job(job) => Some(&job.common),
            Component::StaticSite(_) | Component::Function(_) => None,
        }
    }

    /// How this component is built. `None` for functions.
    pub fn build_fields(self) -> Option<BuildFields<'a>> {
        if let Component::StaticSite(site) = self {
            return Some(BuildFields {
                source: &site.source,
                source_dir: site.source_dir.as_deref(),
                dockerfile_path: site.dockerfile_path.as_deref(),
                build_command: site.build_command.as_deref(),
                run_command: None,
                environment_slug: site.environment_slug.as_deref(),
                output_dir: site.output_dir.as_deref().filter(|it| !it.trim().is_empty()),
            });
        }
        self.common().map(|common| BuildFields {
            source: &common.source,
            source_dir: common.source_dir.as_deref(),
            dockerfile_path: common.dockerfile_path.as_deref(),
            build_command: common.build_command.as_deref(),
            run_command: common.run_command.as_deref(),
            environment_slug: common.environment_slug.as_deref(),
            output_dir: None,
        })
    }

    /// The name of this component.
    pub fn name(self) -> &'a str {
        self.fields().name
    }

    /// The variables of this component, without those of the app.
    pub fn envs(self) -> &'a [EnvVar] {
        self.fields().envs
    }

    /// The source of this component.
    pub fn source(self) -> &'a Source {
        self.fields().source
    }

    /// The CORS policy of this component. Workers and jobs have none.
    pub fn cors(self) -> Option<&'a Cors> {
        match self {
            Component::Service(it) => it.cors.as_ref(),
            Component::StaticSite(it) => it.cors.as_ref(),
            Component::Function(it) => it.cors.as_ref(),
            Component::Worker(_) | Component::Job(_) => None,
        }
    }

    /// The routes of this component. Workers and jobs have none.
    pub fn routes(self) -> &'a [Route] {
        self.fields().routes
    }
}

/// The parts of a component that may hold secrets.
pub(crate) struct ComponentMut<'a> {
    kind: ComponentKind,
    /// The position among the components of this kind.
    index: usize,
    pub name: &'a str,
    pub source: &'a mut Source,
    pub envs: &'a mut Vec<EnvVar>,
}

impl<'a> ComponentMut<'a> {
    fn of(kind: ComponentKind, index: usize, common: &'a mut Common) -> ComponentMut<'a> {
        let Common { name, source, envs, .. } = common;
        ComponentMut { kind, index, name, source, envs }
    }

    /// The path by name, as for [`Seal`].
    pub fn path(&self) -> String {
        let label = if self.name.is_empty() { self.index.to_string() } else { self.name.to_owned() };
        format!("{}.{label}", self.kind.field())
    }
}
