//! Applying thresholds: how many checks in a row change the verdict.

use rollout::observed::ProbeSeen;
use store::records::Probe;

/// Counts the check results of one instance.
#[derive(Debug)]
pub(super) struct Verdict {
    success_threshold: u32,
    failure_threshold: u32,
    in_a_row: u32,
    last: Option<bool>,
    current: ProbeSeen,
    passed_once: bool,
}

/// An instance that served and failed must pass twice before it serves again, because a single pass may be luck.
const PASSES_TO_COME_BACK: u32 = 2;

impl Verdict {
    pub fn new(probe: &Probe, served: bool) -> Self {
        Self {
            success_threshold: probe.success_threshold.max(1),
            failure_threshold: probe.failure_threshold.max(1),
            in_a_row: 0,
            last: None,
            current: ProbeSeen::Unknown,
            passed_once: served,
        }
    }

    /// Whether the verdict is "passing".
    pub fn has_passed(&self) -> bool {
        self.current == ProbeSeen::Passing
    }

    /// Records one result. Returns the new verdict if it changed.
    pub fn take(&mut self, passed: bool) -> Option<ProbeSeen> {
        self.in_a_row = if self.last == Some(passed) { self.in_a_row + 1 } else { 1 };
        self.last = Some(passed);
        let needed = match (passed, self.passed_once, self.current) {
            (true, true, ProbeSeen::Failing) => self.success_threshold.max(PASSES_TO_COME_BACK),
            (true, _, _) => self.success_threshold,
            (false, _, _) => self.failure_threshold,
        };
        let seen = if passed { ProbeSeen::Passing } else { ProbeSeen::Failing };
        let changes = self.in_a_row >= needed && self.current != seen;
        if changes {
            self.current = seen;
            self.passed_once |= passed;
        }
        changes.then_some(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(success_threshold: u32, failure_threshold: u32) -> Probe {
        Probe {
            port: 80,
            http_path: None,
            initial_delay_seconds: 0,
            period_seconds: 1,
            timeout_seconds: 1,
            success_threshold,
            failure_threshold,
        }
    }

    /// Input: `+` passes, `-` fails. Output for each result: the new verdict P or F, or `.` if it did not change.
    fn verdicts(success: u32, failure: u32, served: bool, answers: &str) -> String {
        let mut verdict = Verdict::new(&probe(success, failure), served);
        let verdict_after = |answer| match verdict.take(answer == '+') {
            Some(ProbeSeen::Passing) => 'P',
            Some(ProbeSeen::Failing) => 'F',
            Some(ProbeSeen::Unknown) | None => '.',
        };
        answers.chars().map(verdict_after).collect()
    }

    #[test]
    fn the_verdict_changes_only_after_enough_equal_results_in_a_row() {
        let cases = [
            ("the first pass is enough by default", 1, 3, false, "--+", "..P"),
            ("two passes are asked for", 2, 3, false, "+-++", "...P"),
            ("three failures end it", 1, 3, false, "+--+---", "P.....F"),
            ("it comes back after two passes", 1, 3, false, "+---+-++", "P..F...P"),
            ("one that served is not doubted at the first failure", 1, 3, true, "--+", "..P"),
            ("one result is enough", 1, 1, false, "++--", "P.F."),
        ];
        for (name, success, failure, served, answers, expected) in cases {
            assert_eq!(verdicts(success, failure, served, answers), expected, "{name}");
        }
    }
}
