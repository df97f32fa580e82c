//! The life of one instance, as the controller records it. Only this table says which moves exist; an instance that
//! drains never serves again.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where an instance stands. The controller records the phase before and after each action. A phase never moves
/// backwards, with one exception: a serving instance may fail its probe and pass it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstancePhase {
    /// Recorded with its name and address; the engine may or may not have created the container.
    Intended,
    /// The engine has created the container and never started it.
    Created,
    /// The engine has started the process, and the process has not passed its probe yet.
    Starting,
    /// Passed its probe; the ingress should route it.
    Ready,
    /// Served before, and now fails its probe or has lost its process.
    Unready,
    /// Gets no new requests; finishes open ones.
    Draining,
    /// The controller has asked the engine to stop it.
    Stopping,
    /// The process has ended; the container can be removed.
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
    /// The controller replaces or removes the instance, which may have served.
    DrainBegan,
    /// The controller replaces or removes the instance, and the stop signal is due.
    StopBegan,
    /// The process has ended, or never existed.
    Ended,
}

/// An event that the phase does not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an instance that is {from:?} cannot see {event:?}")]
pub struct IllegalMove {
    /// The phase.
    pub from: InstancePhase,
    /// The event that was reported.
    pub event: InstanceEvent,
}

impl InstancePhase {
    /// All phases, in order.
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

    /// The phase after `event`. Errors: [`IllegalMove`] for every pair that is not listed here.
    pub fn next(self, event: InstanceEvent) -> Result<Self, IllegalMove> {
        use InstanceEvent as E;
        use InstancePhase as P;
        match (self, event) {
            (P::Intended, E::Created) => Ok(P::Created),
            (P::Created, E::Started) => Ok(P::Starting),
            (P::Starting | P::Unready, E::Passed) => Ok(P::Ready),
            (P::Ready, E::Lost) => Ok(P::Unready),
            (P::Ready | P::Unready, E::DrainBegan) => Ok(P::Draining),
            // An instance that never served has no requests to drain. A `Created` instance may run already: the
            // controller may have started it without recording that.
            (P::Created | P::Starting | P::Draining, E::StopBegan) => Ok(P::Stopping),
            (P::Intended | P::Created | P::Starting | P::Draining | P::Stopping, E::Ended) => Ok(P::Stopped),
            (from, event) => Err(IllegalMove { from, event }),
        }
    }

    /// Not draining, stopping or stopped.
    pub fn is_alive(self) -> bool {
        self < Self::Draining
    }

    /// Has never passed a probe.
    pub fn is_coming(self) -> bool {
        self < Self::Ready
    }

    /// Passed a probe once, and does not drain or stop.
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
    fn only_an_unready_instance_may_move_to_an_earlier_phase() {
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
    fn a_draining_instance_is_never_ready_again() {
        for from in [InstancePhase::Draining, InstancePhase::Stopping, InstancePhase::Stopped] {
            for event in EVENTS {
                assert!(!matches!(from.next(event), Ok(to) if to.is_alive()), "{from:?} {event:?}");
            }
        }
    }

    #[test]
    fn every_phase_but_the_last_has_a_next_phase() {
        for from in InstancePhase::ALL {
            let ways = EVENTS.iter().filter(|event| from.next(**event).is_ok()).count();
            assert_eq!(ways == 0, from == InstancePhase::Stopped, "{from:?}");
        }
    }

    #[test]
    fn an_illegal_move_names_the_phase_and_the_event() {
        let refused = InstancePhase::Draining.next(InstanceEvent::Passed).expect_err("draining is final");
        assert_eq!(refused.to_string(), "an instance that is Draining cannot see Passed");
    }
}
