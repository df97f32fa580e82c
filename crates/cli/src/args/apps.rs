//! What can be typed about apps. The grammar is doctl's.

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, SpecFile};

#[derive(Debug, Subcommand)]
pub enum Apps {
    /// Create an app from a spec
    #[command(visible_alias = "c")]
    Create {
        #[command(flatten)]
        spec: SpecFile,
        /// Update the app of that name if there is one
        #[arg(long)]
        upsert: bool,
        #[command(flatten)]
        acting: Acting,
        #[command(flatten)]
        output: Output,
    },
    /// Replace an app's spec; components that changed are rolled
    #[command(visible_alias = "u")]
    Update {
        /// Name or id
        app: String,
        #[command(flatten)]
        spec: SpecFile,
        #[command(flatten)]
        acting: Acting,
        #[command(flatten)]
        output: Output,
    },
    /// Show what a spec would change and which steps would be taken, and take none
    Propose {
        #[command(flatten)]
        spec: SpecFile,
        /// The app that it would update, by name or id [default: a new one]
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
    /// Delete an app; volumes of its databases stay
    #[command(visible_aliases = ["d", "rm"])]
    Delete {
        /// Name or id
        app: String,
        /// Do not ask
        #[arg(long, short)]
        force: bool,
    },
    /// Replace services and workers by exact copies, one instance at a time
    #[command(visible_alias = "r")]
    Restart {
        /// Name or id
        app: String,
        /// Only these components
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        components: Vec<String>,
        #[command(flatten)]
        acting: Acting,
        #[command(flatten)]
        output: Output,
    },
    /// Fetch the sources, build what changed, roll what changed
    #[command(visible_alias = "cd")]
    CreateDeployment {
        /// Name or id
        app: String,
        /// Build and roll even what did not change
        #[arg(long)]
        force_rebuild: bool,
        /// Run every build step again; implies --force-rebuild
        #[arg(long)]
        clear_cache: bool,
        #[command(flatten)]
        acting: Acting,
        #[command(flatten)]
        output: Output,
    },
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
        waiting: Waiting,
        #[command(flatten)]
        output: Output,
    },
    /// End a deployment under way; what it replaced goes back
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
        /// Of this deployment, by id or number [default: the one that serves]
        #[arg(long, value_name = "DEPLOYMENT")]
        deployment: Option<String>,
        /// Which lines
        #[arg(long = "type", default_value = "run", ignore_case = true, value_name = "TYPE")]
        kind: LogType,
        /// Go on with new lines as they come
        #[arg(long, short)]
        follow: bool,
        /// Only the last so many lines
        #[arg(long, value_name = "N")]
        tail: Option<u32>,
        /// Leave out the component and the time
        #[arg(long)]
        no_prefix: bool,
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
    /// Of running instances
    Run,
    /// Of builds
    Build,
    /// Of jobs, and of instances that did not come up
    Deploy,
    /// Of instances before the engine last restarted them
    RunRestarted,
}

impl LogType {
    pub fn on_the_wire(self) -> &'static str {
        match self {
            Self::Run => "RUN",
            Self::Build => "BUILD",
            Self::Deploy => "DEPLOY",
            Self::RunRestarted => "RUN_RESTARTED",
        }
    }
}

/// For commands that start a deployment.
#[derive(Debug, Args)]
pub struct Acting {
    /// Show the steps that would be taken, and take none
    #[arg(long, conflicts_with = "wait")]
    pub dry_run: bool,
    #[command(flatten)]
    pub waiting: Waiting,
}

#[derive(Debug, Clone, Copy, Args)]
pub struct Waiting {
    /// Follow the deployment to its end; Ctrl-C leaves it running
    #[arg(long)]
    pub wait: bool,
    /// Wait at most this long
    #[arg(long, default_value_t = 9000, value_name = "SECONDS")]
    pub wait_timeout: u64,
}
