//! `boatyard apps rollback`, which doctl does not have. App Platform's API has the rest of the names.

use clap::{Args, Subcommand};

use super::{DeployArgs, Output, WaitArgs};

/// Either a rollback, or its commit or revert.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Rollback {
    /// Name or id
    // clap lets a subcommand take the place of a required argument only if its type is optional.
    #[arg(required = true)]
    pub app: Option<String>,
    /// Id or number of the deployment to return to. It must have served
    #[arg(long, required = true, value_name = "DEPLOYMENT")]
    pub deployment: Option<String>,
    /// Commit the rollback at once. Otherwise new deployments are refused until it is committed or reverted
    #[arg(long)]
    pub skip_pin: bool,
    /// Only check whether the rollback is possible
    #[arg(long, conflicts_with_all = ["skip_pin", "dry_run", "wait"])]
    pub validate: bool,
    #[command(flatten)]
    pub acting: DeployArgs,
    #[command(flatten)]
    pub output: Output,
    #[command(subcommand)]
    pub action: Option<RollbackAction>,
}

#[derive(Debug, Subcommand)]
pub enum RollbackAction {
    /// Keep the rollback, and take new deployments again
    Commit {
        /// Name or id
        app: String,
    },
    /// Undo the rollback: deploy the newest spec from before it, and take new deployments again
    Revert {
        /// Name or id
        app: String,
        #[command(flatten)]
        waiting: WaitArgs,
        #[command(flatten)]
        output: Output,
    },
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Apps, Arguments, Command};

    fn parse(line: &str) -> Option<Rollback> {
        let words = ["boatyard", "apps", "rollback"].into_iter().chain(line.split_whitespace());
        match Arguments::try_parse_from(words).ok()?.command {
            Command::Apps(Apps::Rollback(rollback)) => Some(rollback),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rollback_needs_an_app_and_a_deployment_and_its_commit_and_revert_need_an_app() {
        let rollback = parse("shop --deployment 3 --skip-pin --wait").expect("a rollback");
        assert_eq!((rollback.app.as_deref(), rollback.deployment.as_deref()), (Some("shop"), Some("3")));
        assert!(rollback.skip_pin && rollback.acting.waiting.wait && rollback.action.is_none());
        let action = |line: &str| parse(line).expect(line).action;
        assert!(matches!(action("commit shop"), Some(RollbackAction::Commit { app }) if app == "shop"));
        let revert = action("revert shop --wait");
        assert!(matches!(revert, Some(RollbackAction::Revert { app, waiting, .. }) if app == "shop" && waiting.wait));
        for wrong in ["", "shop", "--deployment 3", "commit", "revert", "shop --deployment 3 --validate --wait"] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }
}
