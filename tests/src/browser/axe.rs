//! Accessibility problems, found by axe-core in the page.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Browser, is_required, skip};
use crate::installation::sibling_program;

/// Returns a line for each serious or critical problem, with the elements that have it. Waits for the end of
/// animations first: while a dialogue fades in, its colours are mixed with those of the page.
const FIND: &str = "
const ending = document.getAnimations().filter(it => it.effect.getComputedTiming().endTime !== Infinity);
return Promise.allSettled(ending.map(it => it.finished))
    .then(() => axe.run(document, { resultTypes: ['violations'] }))
    .then(({ violations }) => violations
        .filter(it => ['serious', 'critical'].includes(it.impact))
        .map(it => `${it.id}: ${it.help}: ` + it.nodes.map(node => `${node.html} ${node.failureSummary}`).join(' / ')))";

/// The source of axe-core. `None` if `scripts/axe` did not put it into the directory of the build, and the test may skip.
pub fn axe() -> Result<Option<String>> {
    let program = sibling_program();
    let directory = program.ancestors().nth(2).context("the program lies in target/PROFILE")?;
    let source = std::fs::read_to_string(directory.join("axe.min.js")).ok();
    if source.is_none() {
        skip("no axe-core in the directory of the build. Run: scripts/axe", is_required())?;
    }
    Ok(source)
}

impl Browser {
    /// The serious and critical accessibility problems of the page as it is now.
    pub async fn accessibility_problems(&self, axe: &str) -> Result<Vec<String>> {
        // The content security policy of the page does not apply to scripts of the driver, but would forbid `eval`.
        self.run(axe, &[]).await?;
        let found = self.run(FIND, &[]).await?;
        let found = found.as_array().context("a list of problems")?.iter();
        Ok(found.filter_map(Value::as_str).map(str::to_owned).collect())
    }
}
