//! Requests that need no new deployment, because an accepted one already does what they ask for.

use std::time::Duration;

use crate::deployment::Stage;
use crate::queue::{Build, Request};
use crate::time::Timestamp;

/// If one caller sends an equal restart, rollback or force rebuild within 5 s of the first, the second one is a repeat. An
/// accidental second click or command then does nothing.
const REPEAT_WITHIN: Duration = Duration::from_secs(5);

/// A deployment that was accepted earlier.
#[derive(Debug, Clone, Copy)]
pub struct Accepted<'a> {
    /// Where it stands.
    pub stage: Stage,
    /// When it was accepted.
    pub created: Timestamp,
    /// The caller who asked for it.
    pub caller: &'a str,
    /// What it was asked to do.
    pub request: &'a Request,
}

/// Whether this restart, rollback or force rebuild by `caller` repeats the accepted one. For a rollback, the caller of
/// this function compares what it returns to. A plain deployment never counts as a repeat: it may bring a newer push.
pub fn is_repeat(accepted: &Accepted<'_>, caller: &str, request: &Request, now: Timestamp) -> bool {
    let is_soon = now.since(accepted.created) < REPEAT_WITHIN && !accepted.stage.is_ended();
    let is_same = accepted.caller == caller && accepted.request == request;
    let may_be_newer = request.is_plain() && request.build != Build::Recorded;
    !may_be_newer && is_same && (is_soon || accepted.stage == Stage::Pending)
}

/// Whether a deployment applies its spec or has applied it. If so, the same spec again changes nothing. If the
/// deployment failed or is being canceled, the same spec starts a new attempt.
pub fn makes_real(stage: Stage, cancel_requested: bool) -> bool {
    let fails = matches!(stage, Stage::RollingBack | Stage::Failed | Stage::Canceled | Stage::Superseded);
    !fails && !cancel_requested
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Restart;

    #[test]
    fn an_equal_restart_rollback_or_rebuild_by_the_same_caller_is_a_repeat_while_it_waits_or_for_a_few_seconds() {
        let (restart, rebuild) = (Request::restart(Restart::All), Request::rebuild(false));
        let (soon, late) = (4_999, 5_000);
        let cases = [
            ("soon", &restart, Stage::Rolling, soon, "ann", true),
            ("too late", &restart, Stage::Rolling, late, "ann", false),
            ("it has ended", &restart, Stage::Active, soon, "ann", false),
            ("it waits still", &restart, Stage::Pending, late, "ann", true),
            ("another caller", &restart, Stage::Rolling, soon, "bob", false),
            ("another request", &rebuild, Stage::Rolling, soon, "ann", false),
        ];
        for (name, asked, stage, after, caller, expected) in cases {
            let accepted = Accepted { stage, created: Timestamp(1_000), caller: "ann", request: &restart };
            assert_eq!(is_repeat(&accepted, caller, asked, Timestamp(1_000 + after)), expected, "{name}");
        }
        let rollback = Request::recorded();
        let accepted = Accepted { stage: Stage::Building, created: Timestamp(0), caller: "ann", request: &rollback };
        assert!(is_repeat(&accepted, "ann", &rollback, Timestamp(soon)), "it names what it returns to");
        for plain in [Request::deploy(), Request::update()] {
            let accepted = Accepted { stage: Stage::Pending, created: Timestamp(0), caller: "ann", request: &plain };
            assert!(!is_repeat(&accepted, "ann", &plain, Timestamp(0)), "something may have been pushed");
        }
    }

    #[test]
    fn a_spec_that_serves_or_is_being_deployed_is_not_deployed_again() {
        use Stage as S;
        let real = [S::Pending, S::Building, S::Built, S::Preparing, S::Rolling, S::Finishing, S::Active];
        for stage in S::ALL {
            assert_eq!(makes_real(stage, false), real.contains(&stage), "{stage:?}");
            assert!(!makes_real(stage, true), "{stage:?}");
        }
    }
}
