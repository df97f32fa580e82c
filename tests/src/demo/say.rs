//! What the audience reads while it happens: one line a step, with the seconds since the demo began; and the claims.

use std::time::Instant;

/// Speaks, and keeps the score of what was claimed.
pub(super) struct Stage {
    began: Instant,
    held: usize,
    broken: Vec<String>,
}

impl Stage {
    pub fn new() -> Self {
        Self { began: Instant::now(), held: 0, broken: Vec::new() }
    }

    /// A new act.
    pub fn act(&self, title: &str) {
        println!("\n── {title}");
    }

    /// A step that was done.
    pub fn step(&self, text: &str) {
        println!("{:6.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    /// A claim, true or not; all are counted.
    pub fn claim(&mut self, holds: bool, claim: impl Into<String>) {
        let claim = claim.into();
        if holds {
            self.held += 1;
            println!("        ✓ {claim}");
        } else {
            println!("        ✗ NOT TRUE: {claim}");
            self.broken.push(claim);
        }
    }

    /// The verdict: whether every claim held.
    pub fn verdict(&self) -> bool {
        let took = self.began.elapsed().as_secs();
        if self.broken.is_empty() {
            println!("\nAll {} claims hold, shown in {took} s.", self.held);
            return true;
        }
        println!("\n{} claims hold, {} do not ({took} s):", self.held, self.broken.len());
        for claim in &self.broken {
            println!("  ✗ {claim}");
        }
        false
    }
}
