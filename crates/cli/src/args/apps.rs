//! Commands about apps. The grammar is doctl's.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, Rollback, Spec, SpecArgs};

#[derive(Debug, Subcommand)]
pub enum Apps {
    /// Create an app from a spec
    #[command(visible_alias = "c")]
    Create {
        #[command(flatten)]
        spec: SpecArgs,
        /// Update the app if one with this name exists
        #[arg(long)]
        upsert: bool,
        /// With --upsert: if the app exists, deploy the newest sources, even if the spec is equal
        #[arg(long)]
        update_sources: bool,
        /// Project of a new app. An installation has only one
        #[arg(long, value_name = "ID")]
        project_id: Option<String>,
        #[command(flatten)]
        acting: DeployArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Replace an app's spec and roll out the components that changed
    #[command(visible_alias = "u")]
    Update {
        /// Name or id
        app: String,
        #[command(flatten)]
        spec: SpecArgs,
        /// Deploy the newest sources, even if the spec is equal. Otherwise components whose source stays the same keep
        /// their commit or image
        #[arg(long)]
        update_sources: bool,
        #[command(flatten)]
        acting: DeployArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Show which fields a spec would change and which steps it would take, without taking them
    ///
    /// With --format or another --output than text, shows what App Platform's clients show instead: whether the name is
    /// free, and the costs, which are 0.
    #[command(visible_alias = "p")]
    Propose {
        #[command(flatten)]
        spec: SpecArgs,
        /// Name or id of the app to update [default: a new app]
        #[arg(long, value_name = "APP")]
        app: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Say what serves, what is under way, why the last deployment failed, and what needs attention
    Explain {
        /// Name or id
        app: String,
        /// Format of the result
        #[arg(long, short, default_value = "text", value_name = "FORMAT")]
        output: super::OutputFormat,
    },
    /// Show one app
    #[command(visible_alias = "g")]
    Get {
        /// Name or id
        app: String,
        #[command(flatten)]
        output: Output,
    },
    /// List apps
    #[command(visible_alias = "ls")]
    List {
        /// Also request the project of each app, for JSON, YAML and the column ProjectID
        #[arg(long)]
        with_projects: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Delete an app. The volumes of its databases are kept
    #[command(visible_aliases = ["d", "rm"])]
    Delete {
        /// Name or id
        app: String,
        /// Do not ask for confirmation
        #[arg(long, short)]
        force: bool,
    },
    /// Replace all instances of services and workers with exact copies, one at a time
    #[command(visible_alias = "r")]
    Restart {
        /// Name or id
        app: String,
        /// Only these components
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        components: Vec<String>,
        #[command(flatten)]
        acting: DeployArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Fetch the sources, then build and roll out what changed
    #[command(visible_alias = "cd")]
    CreateDeployment {
        /// Name or id
        app: String,
        /// Build and roll out everything, even if nothing changed
        #[arg(long)]
        force_rebuild: bool,
        /// Build without the cache; implies --force-rebuild
        #[arg(long)]
        clear_cache: bool,
        #[command(flatten)]
        acting: DeployArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Return an app to a deployment that served earlier: to its spec, its variables and its images
    Rollback(Rollback),
    /// List an app's deployments, newest first
    #[command(visible_alias = "lsd")]
    ListDeployments {
        /// Name or id
        app: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show one deployment
    #[command(visible_alias = "gd")]
    GetDeployment {
        /// Name or id
        app: String,
        /// Id or number
        deployment: String,
        #[command(flatten)]
        waiting: WaitArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Cancel a running deployment and roll back what it replaced
    CancelDeployment {
        /// Name or id
        app: String,
        /// Id or number
        deployment: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show log lines
    #[command(visible_alias = "l")]
    Logs {
        /// Name or id
        app: String,
        /// Only this component. Required with --job-invocation, where it is the job
        component: Option<String>,
        #[command(flatten)]
        source: LogSource,
        /// Keep printing new lines
        #[arg(long, short)]
        follow: bool,
        /// Only the last N lines; -1 for all
        #[arg(long, value_name = "N", allow_negative_numbers = true)]
        tail: Option<i64>,
        /// Print lines without component and time
        #[arg(long)]
        no_prefix: bool,
    },
    /// Open a shell in a running instance, on this terminal
    #[command(visible_alias = "cs")]
    Console {
        /// Name or id
        app: String,
        /// Name of a service, a worker or a running job
        component: String,
        /// Name or alias of the instance, as list-instances shows them [default: the first one that runs]
        instance: Option<String>,
        /// Only instances of this deployment, by id or number
        #[arg(long, value_name = "DEPLOYMENT")]
        deployment: Option<String>,
    },
    /// Choose how Dockerfiles of the app's repositories get its secret variables
    ///
    /// Builds get secrets as files, which a step mounts: RUN --mount=type=secret,id=NAME cat /run/secrets/NAME. With
    /// --as-arguments, a Dockerfile of the repository also gets them as build arguments. Everyone who has the image can then
    /// read them in its history.
    BuildSecrets {
        /// Name or id
        app: String,
        /// Also give secrets as build arguments; false ends that
        #[arg(
            long,
            required = true,
            action = clap::ArgAction::Set,
            num_args = 0..=1,
            default_missing_value = "true",
            require_equals = true,
            value_name = "true|false"
        )]
        as_arguments: bool,
    },
    /// List an app's alerts, which are stored but not sent
    #[command(visible_alias = "la")]
    ListAlerts {
        /// Name or id
        app: String,
        #[command(flatten)]
        output: Output,
    },
    /// Replace the destinations of an alert. They are stored, and nothing is sent
    #[command(visible_alias = "uad")]
    UpdateAlertDestinations {
        /// Name or id
        app: String,
        /// Id of the alert
        alert: String,
        /// JSON or YAML file with `emails` and `slack_webhooks`, or - for standard input
        #[arg(long, value_name = "FILE")]
        app_alert_destinations: PathBuf,
        #[command(flatten)]
        output: Output,
    },
    /// List an app's instances
    #[command(visible_alias = "i")]
    ListInstances {
        /// Name or id
        app: String,
        #[command(flatten)]
        output: Output,
    },
    /// List the runs of an app's jobs, newest first
    #[command(visible_alias = "lsji")]
    ListJobInvocations {
        /// Name or id
        app: String,
        /// Only these jobs
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        job_name: Vec<String>,
        /// Only runs of this deployment, by id
        #[arg(long, value_name = "DEPLOYMENT")]
        deployment: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Show one run of a job
    #[command(visible_alias = "gji")]
    GetJobInvocation {
        /// Name or id
        app: String,
        /// Id of the run
        invocation: String,
        #[command(flatten)]
        output: Output,
    },
    /// Stop a run of a job
    #[command(visible_alias = "cji")]
    CancelJobInvocation {
        /// Name or id
        app: String,
        /// Id of the run
        invocation: String,
        #[command(flatten)]
        output: Output,
    },
    /// List an app's events, newest first. Every deployment is one
    #[command(visible_alias = "lse")]
    ListEvents {
        /// Name or id
        app: String,
        /// Only events of these types
        #[arg(long, value_delimiter = ',', ignore_case = true, value_name = "TYPES")]
        event_type: Vec<EventType>,
        #[command(flatten)]
        output: Output,
    },
    /// Show one event
    #[command(visible_alias = "ge")]
    GetEvent {
        /// Name or id
        app: String,
        /// Id of the event
        event: String,
        #[command(flatten)]
        output: Output,
    },
    /// Cancel an autoscaling event. Use cancel-deployment for a deployment
    #[command(visible_alias = "ce")]
    CancelEvent {
        /// Name or id
        app: String,
        /// Id of the event
        event: String,
        #[command(flatten)]
        output: Output,
    },
    /// List the regions, of which this host is the only one
    ListRegions {
        #[command(flatten)]
        output: Output,
    },
    /// List the buildpacks. There are none: a detected language is built with a generated Dockerfile, see `boatyard detect`
    ListBuildpacks {
        #[command(flatten)]
        output: Output,
    },
    /// Upgrade a buildpack of an app
    UpgradeBuildpack {
        /// Name or id
        app: String,
        /// Id of the buildpack, as list-buildpacks shows it
        #[arg(long, value_name = "ID")]
        buildpack: String,
        /// Major version [default: the newest]
        #[arg(long, value_name = "N")]
        major_version: Option<u32>,
        /// Start a deployment with the new version
        #[arg(
            long,
            default_value_t = true,
            action = clap::ArgAction::Set,
            num_args = 0..=1,
            default_missing_value = "true",
            require_equals = true,
            value_name = "true|false"
        )]
        trigger_deployment: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Show tiers and instance sizes
    #[command(subcommand)]
    Tier(Tiers),
    /// Work with app specs
    #[command(subcommand)]
    Spec(Spec),
}

#[derive(Debug, Subcommand)]
pub enum Tiers {
    /// List the tiers
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show one tier
    Get {
        /// Slug, such as basic
        tier: String,
        #[command(flatten)]
        output: Output,
    },
    /// Show instance sizes
    #[command(subcommand)]
    InstanceSize(InstanceSizes),
}

#[derive(Debug, Subcommand)]
pub enum InstanceSizes {
    /// List the instance sizes
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show one instance size
    Get {
        /// Slug, such as apps-s-1vcpu-1gb
        size: String,
        #[command(flatten)]
        output: Output,
    },
}

/// A type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventType {
    Deployment,
    Autoscaling,
}

impl EventType {
    pub fn api_name(self) -> &'static str {
        match self {
            Self::Deployment => "DEPLOYMENT",
            Self::Autoscaling => "AUTOSCALING",
        }
    }
}

/// Which log to show.
#[derive(Debug, Args)]
pub struct LogSource {
    /// Id or number of the deployment [default: the active one]
    #[arg(long, value_name = "DEPLOYMENT")]
    pub deployment: Option<String>,
    /// Type of log
    #[arg(long = "type", default_value = "run", ignore_case = true, value_name = "TYPE")]
    pub kind: LogType,
    /// The run of a job, by its id
    #[arg(
        long,
        value_name = "ID",
        requires = "component",
        conflicts_with_all = ["deployment", "kind", "event_id"]
    )]
    pub job_invocation: Option<String>,
    /// An autoscaling event, by its id
    #[arg(long, value_name = "ID", conflicts_with_all = ["deployment", "kind"])]
    pub event_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum LogType {
    /// Output of running instances
    Run,
    /// Output of builds
    Build,
    /// Output of jobs, and of instances that failed to start
    Deploy,
    /// Output of instances before their last restart by the engine
    RunRestarted,
}

impl LogType {
    pub fn api_name(self) -> &'static str {
        match self {
            Self::Run => "RUN",
            Self::Build => "BUILD",
            Self::Deploy => "DEPLOY",
            Self::RunRestarted => "RUN_RESTARTED",
        }
    }
}

/// Flags for commands that start a deployment.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Show the steps without taking them
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    #[command(flatten)]
    pub waiting: WaitArgs,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct WaitArgs {
    /// Follow the deployment to its end. Ctrl-C detaches and leaves it running
    #[arg(long)]
    pub wait: bool,
    /// Wait at most this long
    #[arg(long, default_value_t = 9000, value_name = "SECONDS")]
    pub wait_timeout: u64,
}
