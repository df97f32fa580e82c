//! The life of one instance, as we record it. Only this table says which moves exist; what drains never serves again.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where an instance stands. Written before and after each act on it, and never moved backwards, save that a serving
/// instance may fail its probe and pass it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstancePhase {
    /// Written down, with its name and address; the engine may or may not have heard of it.
    Intended,
    /// The container exists and was never started.
    Created,
    /// The process was started and has not passed its probe.
    Starting,
    /// Passed its probe; belongs into the routes.
    Ready,
    /// Served, and fails its probe or lost its process.
    Unready,
    /// Gets no new request; finishes those it has.
    Draining,
    /// Was asked to end.
    Stopping,
    /// The process has ended; the container is to be removed.
    Stopped,
}

/// What can happen to an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceEvent {
    /// The engine has created the container.
    Created,
    /// The engine has started the process.
    Started,
    /// The probe passed.
    Passed,
    /// The probe failed often enough, or the process is gone.
    Lost,
    /// It was chosen to go, and may have served.
    DrainBegan,
    /// It was chosen to go, and TERM is due.
    StopBegan,
    /// The process has ended, or there never was one.
    Ended,
}

/// A move that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an instance that is {from:?} cannot see {event:?}")]
pub struct IllegalMove {
    /// Where it stood.
    pub from: InstancePhase,
    /// What was said to have happened.
    pub event: InstanceEvent,
}

impl InstancePhase {
    /// All phases, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Intended,
        Self::Created,
        Self::Starting,
        Self::Ready,
        Self::Unready,
        Self::Draining,
        Self::Stopping,
        Self::Stopped,
    ];

    /// The phase after `event`. Errors: [`IllegalMove`] for every pair not written here.
    pub fn next(self, event: InstanceEvent) -> Result<Self, IllegalMove> {
        use InstanceEvent as E;
        use InstancePhase as P;
        match (self, event) {
            (P::Intended, E::Created) => Ok(P::Created),
            (P::Created, E::Started) => Ok(P::Starting),
            (P::Starting | P::Unready, E::Passed) => Ok(P::Ready),
            (P::Ready, E::Lost) => Ok(P::Unready),
            (P::Ready | P::Unready, E::DrainBegan) => Ok(P::Draining),
            // What never served has nothing to drain. A created one may run: its start was not written down.
            (P::Created | P::Starting | P::Draining, E::StopBegan) => Ok(P::Stopping),
            (P::Intended | P::Created | P::Starting | P::Draining | P::Stopping, E::Ended) => Ok(P::Stopped),
            (from, event) => Err(IllegalMove { from, event }),
        }
    }

    /// Not on its way out.
    pub fn is_alive(self) -> bool {
        self < Self::Draining
    }

    /// On its way in: has never passed a probe.
    pub fn is_coming(self) -> bool {
        self < Self::Ready
    }

    /// Passed a probe once and is still wanted.
    pub fn has_served(self) -> bool {
        matches!(self, Self::Ready | Self::Unready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: [InstanceEvent; 7] = [
        InstanceEvent::Created,
        InstanceEvent::Started,
        InstanceEvent::Passed,
        InstanceEvent::Lost,
        InstanceEvent::DrainBegan,
        InstanceEvent::StopBegan,
        InstanceEvent::Ended,
    ];

    #[test]
    fn no_move_leads_to_a_lower_rank_but_between_ready_and_unready() {
        for from in InstancePhase::ALL {
            for event in EVENTS {
                if let Ok(to) = from.next(event) {
                    let flap = from == InstancePhase::Unready && to == InstancePhase::Ready;
                    assert!(to > from || flap, "{from:?} --{event:?}--> {to:?}");
                }
            }
        }
    }

    #[test]
    fn what_drains_is_never_ready_again() {
        for from in [InstancePhase::Draining, InstancePhase::Stopping, InstancePhase::Stopped] {
            for event in EVENTS {
                assert!(!matches!(from.next(event), Ok(to) if to.is_alive()), "{from:?} {event:?}");
            }
        }
    }

    #[test]
    fn every_phase_but_the_last_has_a_way_on() {
        for from in InstancePhase::ALL {
            let ways = EVENTS.iter().filter(|event| from.next(**event).is_ok()).count();
            assert_eq!(ways == 0, from == InstancePhase::Stopped, "{from:?}");
        }
    }

    #[test]
    fn an_illegal_move_names_both() {
        let refused = InstancePhase::Draining.next(InstanceEvent::Passed).expect_err("draining is final");
        assert_eq!(refused.to_string(), "an instance that is Draining cannot see Passed");
    }
}
