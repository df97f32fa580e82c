//! `boatyard completion`: the script that completes commands and flags in a shell.

use clap::CommandFactory;
use clap_complete::generate;

use crate::args::{Arguments, Shell};
use crate::exit::Exit;
use crate::output;

pub fn run(shell: Shell) -> Exit {
    output::result(&script(shell));
    Exit::Done
}

fn script(shell: Shell) -> String {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Pwsh => clap_complete::Shell::PowerShell,
    };
    let mut bytes = Vec::new();
    generate(shell, &mut Arguments::command(), "boatyard", &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn every_script_contains_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Pwsh] {
            let script = script(shell);
            assert!(script.contains("create-deployment") && script.contains("force-rebuild"), "{shell:?}");
        }
    }

    /// What bash offers for the last word of a line.
    fn offered(words: &str) -> Option<Vec<String>> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("boatyard.bash");
        std::fs::write(&file, script(Shell::Bash)).expect("writable");
        let program = "source \"$0\" || exit 1; read -ra COMP_WORDS <<< \"$1\"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
                       _boatyard boatyard \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                       printf '%s\\n' \"${COMPREPLY[@]}\"";
        // A minimal system has no bash.
        let output = Command::new("bash").args(["-c", program]).arg(&file).arg(words).output().ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    #[test]
    fn bash_completes_commands_and_flags() {
        let Some(commands) = offered("boatyard apps rest") else { return };
        assert_eq!(commands, ["restart"]);
        assert_eq!(offered("boatyard apps restart --comp"), Some(vec!["--components".into()]));
        assert_eq!(offered("boatyard auth sw"), Some(vec!["switch".into()]));
    }
}
