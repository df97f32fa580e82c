//! Explains why the program of a container never started.
//!
//! Containers run under an init process (`Init`), so a start succeeds even if the program cannot run. The init process
//! then reports that in its last line of output and exits with 126 or 127. This module turns that line into the error
//! that the start would have returned. The controller calls it when a new instance exits with one of those codes.

use crate::error::EngineError;

/// The meaning of the last line of output of a container that exited with this code; `None` if the app itself exited
/// with it.
pub fn explain(name: &str, code: i64, line: &str) -> Option<EngineError> {
    if !matches!(code, 126 | 127) {
        return None;
    }
    let (command, reason) = match line.strip_prefix("[FATAL tini ") {
        // `[FATAL tini (7)] exec /bin/nothing failed: No such file or directory`
        Some(rest) => rest.split_once("] exec ")?.1.rsplit_once(" failed: ")?,
        // The script that forwards the stop signal: `boatyard: 74: exec: ./start.sh: not found`. bash and BusyBox write
        // it as `boatyard: line 74: ./start.sh: No such file or directory` and `boatyard: exec: line 74: ./start.sh:
        // not found`.
        None => {
            let (before, reason) = line.strip_prefix("boatyard: ")?.rsplit_once(": ")?;
            let (place, command) = before.rsplit_once(": ")?;
            place.contains(|c: char| c.is_ascii_digit()).then_some((command, reason))?
        }
    };
    command_failure(name, command, reason)
}

/// Also used for start errors of engines that report the failure at the start.
pub(crate) fn command_failure(name: &str, command: &str, reason: &str) -> Option<EngineError> {
    let (name, command, reason) = (name.to_owned(), command.to_owned(), reason.to_lowercase());
    let missing = ["executable file not found", "no such file or directory"].iter().any(|it| reason.contains(it))
        || reason == "not found";
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
    fn the_last_line_of_the_script_that_starts_a_command_is_understood() {
        for line in [
            "boatyard: 74: exec: ./start.sh: not found",
            "boatyard: line 74: exec: ./start.sh: not found",
            "boatyard: line 74: ./start.sh: No such file or directory",
            "boatyard: exec: line 74: ./start.sh: not found",
        ] {
            let missing = explain("web.0", 127, line);
            assert!(
                matches!(&missing, Some(EngineError::CommandNotFound { command, .. }) if command == "./start.sh"),
                "{line}: {missing:?}"
            );
        }
        let denied = explain("web.0", 126, "boatyard: 74: exec: ./start.sh: Permission denied");
        assert!(matches!(denied, Some(EngineError::CommandNotExecutable { .. })));
    }

    #[test]
    fn other_output_and_codes_of_an_app_are_not_explained() {
        assert!(explain("web.0", 127, "sh: 1: serve: not found").is_none());
        assert!(explain("web.0", 1, "[FATAL tini (7)] exec /x failed: No such file or directory").is_none());
        assert!(explain("web.0", 127, "[FATAL tini (7)] something else").is_none());
    }
}
