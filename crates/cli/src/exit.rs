//! Exit codes for scripts.

use std::process::ExitCode;

use controller::StartError;
use present::Deployment;
use thiserror::Error;

/// How a command ended. The codes are listed in [`Exit::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It succeeded.
    Done,
    /// It failed. The version that served before still serves.
    Failed,
    /// The command line is wrong.
    Usage,
    /// The deployment failed and was rolled back.
    RolledBack,
    /// Another controller runs this installation.
    Held,
    /// The wait timed out. The deployment continues.
    TimedOut,
    /// Ctrl-C ended the wait. The deployment continues.
    Detached,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::RolledBack => 3,
            Self::Held => 75,
            Self::TimedOut => 124,
            Self::Detached => 130,
        }
    }

    /// For a deployment that has ended.
    pub fn of_deployment(ended: &Deployment) -> Self {
        match ended.phase.as_str() {
            _ if ended.has_served() => Self::Done,
            "ERROR" if ended.boatyard.rolled_back => Self::RolledBack,
            _ => Self::Failed,
        }
    }

    pub fn of(error: &anyhow::Error) -> Self {
        let held = error.downcast_ref::<StartError>().is_some_and(StartError::is_held);
        match error.downcast_ref::<UsageError>() {
            Some(_) => Self::Usage,
            None if held || error.is::<HeldError>() => Self::Held,
            None => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// The command line is wrong.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Another controller runs this installation.
#[derive(Debug, Error)]
#[error("{0}")]
pub struct HeldError(pub String);

/// The whole chain in one line. Leaves out a cause that the text already contains.
pub fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(&format!(": {cause}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use present::{Status, Step};

    #[test]
    fn the_codes_are_fixed() {
        let all = [Exit::Done, Exit::Failed, Exit::Usage, Exit::RolledBack, Exit::Held, Exit::TimedOut, Exit::Detached];
        assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 75, 124, 130]);
    }

    #[test]
    fn each_kind_of_error_has_its_code() {
        assert_eq!(Exit::of(&UsageError("no such column".into()).into()), Exit::Usage);
        assert_eq!(Exit::of(&StartError::Held("process 1".into()).into()), Exit::Held);
        assert_eq!(Exit::of(&StartError::Engine("no answer".into()).into()), Exit::Failed);
        assert_eq!(Exit::of(&anyhow::anyhow!("anything else")), Exit::Failed);
    }

    #[test]
    fn an_ended_deployment_has_the_code_of_its_outcome() {
        let phase = |phase: &str| Deployment { phase: phase.into(), ..Deployment::default() };
        for (name, code) in
            [("ACTIVE", Exit::Done), ("SUPERSEDED", Exit::Failed), ("CANCELED", Exit::Failed), ("ERROR", Exit::Failed)]
        {
            assert_eq!(Exit::of_deployment(&phase(name)), code, "{name}");
        }
        let mut rolled_back = phase("ERROR");
        rolled_back.boatyard.rolled_back = true;
        assert_eq!(Exit::of_deployment(&rolled_back), Exit::RolledBack);
        let step = Step { name: "web".into(), status: Status::Success, ..Step::default() };
        let mut superseded = phase("SUPERSEDED");
        superseded.progress.steps = vec![step];
        assert_eq!(Exit::of_deployment(&superseded), Exit::Done);
    }

    #[test]
    fn a_chain_contains_each_cause_once() {
        let inner = anyhow::anyhow!("connection refused");
        let twice = inner.context("cannot reach the API: connection refused").context("cannot restart shop");
        assert_eq!(chain(&twice), "cannot restart shop: cannot reach the API: connection refused");
    }
}
