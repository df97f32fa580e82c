//! Commands about apps. The grammar is doctl's.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, Rollback, SpecArgs};

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
    Propose {
        #[command(flatten)]
        spec: SpecArgs,
        /// Name or id of the app to update [default: a new app]
        #[arg(long, value_name = "APP")]
        app: Option<String>,
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
        /// Only this component
        component: Option<String>,
        /// Id or number of the deployment [default: the active one]
        #[arg(long, value_name = "DEPLOYMENT")]
        deployment: Option<String>,
        /// Type of log
        #[arg(long = "type", default_value = "run", ignore_case = true, value_name = "TYPE")]
        kind: LogType,
        /// Keep printing new lines
        #[arg(long, short)]
        follow: bool,
        /// Only the last N lines
        #[arg(long, value_name = "N")]
        tail: Option<u32>,
        /// Print lines without component and time
        #[arg(long)]
        no_prefix: bool,
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
