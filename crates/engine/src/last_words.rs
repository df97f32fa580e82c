//! Why a process never really began.
//!
//! Containers run under an init process (`Init`), so a start succeeds even when there is nothing to run: the init process
//! says so in its last line of output and ends with 126 or 127. This turns that line into the error that a start would have
//! given. The controller asks here when a new instance ends with one of those codes.

use crate::error::EngineError;

/// What the last line of output means, for a container that ended with this code; `None` when it is the app's own business.
pub fn explain(name: &str, code: i64, line: &str) -> Option<EngineError> {
    if !matches!(code, 126 | 127) {
        return None;
    }
    // `[FATAL tini (7)] exec /bin/nothing failed: No such file or directory`
    let (command, reason) = line.strip_prefix("[FATAL tini ")?.split_once("] exec ")?.1.rsplit_once(" failed: ")?;
    command_failure(name, command, reason)
}

/// Shared with start errors of engines that tell at once.
pub(crate) fn command_failure(name: &str, command: &str, reason: &str) -> Option<EngineError> {
    let (name, command, reason) = (name.to_owned(), command.to_owned(), reason.to_lowercase());
    let missing = reason.contains("executable file not found") || reason.contains("no such file or directory");
    if missing && is_shell(&command) {
        Some(EngineError::NoShell { name, shell: command })
    } else if missing {
        Some(EngineError::CommandNotFound { name, command })
    } else if reason.contains("permission denied") {
        Some(EngineError::CommandNotExecutable { name, command })
    } else if reason.contains("exec format error") {
        Some(EngineError::WrongArchitecture { name, command })
    } else {
        None
    }
}

fn is_shell(command: &str) -> bool {
    matches!(command, "/bin/sh" | "sh" | "/bin/bash" | "bash")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_init_process_last_line_is_understood() {
        let case = |line| explain("web.0", 127, line);
        let missing = case("[FATAL tini (7)] exec /app/run failed: No such file or directory");
        assert!(matches!(missing, Some(EngineError::CommandNotFound { command, .. }) if command == "/app/run"));
        let shell = case("[FATAL tini (7)] exec /bin/sh failed: No such file or directory");
        assert!(matches!(shell, Some(EngineError::NoShell { .. })));
        let denied = case("[FATAL tini (8)] exec /app/run failed: Permission denied");
        assert!(matches!(denied, Some(EngineError::CommandNotExecutable { .. })));
        let foreign = case("[FATAL tini (7)] exec /app/run failed: Exec format error");
        assert!(matches!(foreign, Some(EngineError::WrongArchitecture { .. })));
    }

    #[test]
    fn an_apps_own_words_and_codes_are_left_alone() {
        assert!(explain("web.0", 127, "sh: 1: serve: not found").is_none());
        assert!(explain("web.0", 1, "[FATAL tini (7)] exec /x failed: No such file or directory").is_none());
        assert!(explain("web.0", 127, "[FATAL tini (7)] something else").is_none());
    }
}
