//! What the two processes hold in memory, as the kernel says.

use anyhow::{Context, Result};

/// In kB.
pub(super) struct Memory {
    /// `VmRSS`: every resident page.
    pub resident: u64,
    /// `Pss`: pages shared with other processes counted in part. Both processes run the same binary.
    pub proportional: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Result<Self> {
        Ok(Self {
            resident: field(&format!("/proc/{pid}/status"), "VmRSS:")?,
            proportional: field(&format!("/proc/{pid}/smaps_rollup"), "Pss:")?,
        })
    }
}

fn field(file: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name} in {file}"))?;
    line.trim().trim_end_matches(" kB").parse().with_context(|| format!("{name} of {file} is not in kB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_has_some_memory_of_both_kinds() {
        let ours = Memory::of(std::process::id()).expect("our own files can be read");
        assert!(ours.resident > 0 && ours.proportional > 0);
    }
}
