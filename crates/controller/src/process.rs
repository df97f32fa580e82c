//! What a container runs: its command and stop signal, from the revision's command and the image.
//!
//! The engine sends the stop signal to its init process, which passes it to a single process. If that process is a
//! shell that waits for a program, the shell and with it the container end at once, and the program never gets the
//! signal. So `process/stop.sh` starts every command that a shell runs; the script finds the programs to signal and
//! waits for them. All other commands run unchanged and need no shell in the image.

use engine::ImageDefaults;

/// The script is an argument of the container's command, so the image needs only a shell.
const STOP_SCRIPT: &str = include_str!("process/stop.sh");
/// Runs the script in bash if the image has it. Other shells start background programs with INT and QUIT ignored.
const CHOOSE_SHELL: &str = r#"if [ -x /bin/bash ]; then exec /bin/bash --posix -c "$@"; fi; exec "$0" -c "$@""#;
/// The name of the script in its messages, which [`engine::exit_message`] parses.
const SCRIPT_NAME: &str = "boatyard";

/// What a container runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// `None`: the image's command.
    pub command: Option<Vec<String>>,
    pub stop_signal: StopSignal,
}

/// Signals that a process can handle and that ask it to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum StopSignal {
    #[default]
    Term,
    Int,
    Quit,
    Hup,
    Usr1,
    Usr2,
    Winch,
}

impl StopSignal {
    const ALL: [Self; 7] = [Self::Term, Self::Int, Self::Quit, Self::Hup, Self::Usr1, Self::Usr2, Self::Winch];

    /// The image's stop signal, by name or number. TERM if the image has none, or names one that a process cannot
    /// handle, such as KILL or STOP.
    pub fn of_image(wanted: Option<&str>) -> Self {
        let wanted = wanted.unwrap_or_default().trim().to_uppercase();
        let name = wanted.strip_prefix("SIG").unwrap_or(&wanted);
        let is_wanted = |it: &Self| it.name() == name || it.number().to_string() == name;
        Self::ALL.into_iter().find(is_wanted).unwrap_or_default()
    }

    /// The name without `SIG`, for a shell's `kill` and `trap`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Term => "TERM",
            Self::Int => "INT",
            Self::Quit => "QUIT",
            Self::Hup => "HUP",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Winch => "WINCH",
        }
    }

    /// The name with `SIG`, for the engine.
    pub fn full_name(self) -> String {
        format!("SIG{}", self.name())
    }

    /// The signal number on Linux, on x86 and Arm.
    fn number(self) -> u32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Quit => 3,
            Self::Usr1 => 10,
            Self::Usr2 => 12,
            Self::Term => 15,
            Self::Winch => 28,
        }
    }

    /// The signal's bit in the masks of `/proc/PID/status`.
    fn bit(self) -> u32 {
        1 << (self.number() - 1)
    }
}

/// Returns what to run for this command, or for the image's command if it is `None`.
pub(crate) fn process(command: Option<&[String]>, image: &ImageDefaults) -> Process {
    let stop_signal = StopSignal::of_image(image.stop_signal.as_deref());
    let words = command.unwrap_or(&image.command);
    let command = match shell_of(words) {
        Some(shell) => Some(with_stop_script(shell, words, stop_signal)),
        None => command.map(<[String]>::to_vec),
    };
    Process { command, stop_signal }
}

/// The shell that runs a command. The first word decides: a shell, or a script whose name ends like a shell script.
fn shell_of(words: &[String]) -> Option<&str> {
    let first = words.first()?;
    let name = first.rsplit('/').next().unwrap_or_default();
    match name {
        "sh" | "ash" | "dash" | "bash" if first.starts_with('/') => Some(first),
        "sh" | "ash" | "dash" | "bash" | "ksh" | "mksh" | "zsh" => Some("/bin/sh"),
        _ if name.ends_with(".sh") || name.ends_with(".bash") => Some("/bin/sh"),
        _ => None,
    }
}

fn with_stop_script(shell: &str, words: &[String], signal: StopSignal) -> Vec<String> {
    let bit = signal.bit().to_string();
    let before = [shell, "-c", CHOOSE_SHELL, shell, STOP_SCRIPT, SCRIPT_NAME, signal.name(), &bit];
    before.into_iter().map(String::from).chain(words.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|it| (*it).to_owned()).collect()
    }

    fn image(command: &[&str], stop_signal: Option<&str>) -> ImageDefaults {
        ImageDefaults {
            command: words(command),
            stop_signal: stop_signal.map(String::from),
            ..ImageDefaults::default()
        }
    }

    #[test]
    fn a_command_that_a_shell_runs_is_started_by_the_script() {
        for (command, shell) in [
            (&["/bin/sh", "-c", "MODE=x serve"][..], "/bin/sh"),
            (&["/busybox/sh", "-c", "serve | cat"], "/busybox/sh"),
            (&["/bin/bash", "-c", "serve"], "/bin/bash"),
            (&["bash", "-c", "serve"], "/bin/sh"),
            (&["./start.sh", "web"], "/bin/sh"),
            (&["/docker-entrypoint.sh", "nginx", "-g", "daemon off;"], "/bin/sh"),
        ] {
            for process in
                [process(Some(&words(command)), &image(&["/other"], None)), process(None, &image(command, None))]
            {
                let made = process.command.expect("the command is wrapped in the stop script");
                assert_eq!(made[..4], words(&[shell, "-c", CHOOSE_SHELL, shell]), "{command:?}");
                assert_eq!(made[5..8], words(&["boatyard", "TERM", "16384"]), "{command:?}");
                assert_eq!(made[8..], words(command), "the command is passed unchanged");
            }
        }
    }

    #[test]
    fn any_other_command_runs_as_it_is_and_needs_no_shell() {
        let simple = words(&["/server", "--match", "(a|b)"]);
        assert_eq!(process(Some(&simple), &image(&["/bin/sh", "-c", "x"], None)).command, Some(simple));
        for command in [&["/server"][..], &["python3", "worker.py"], &["docker-entrypoint", "redis"], &[]] {
            assert_eq!(process(None, &image(command, None)).command, None, "{command:?}");
        }
    }

    #[test]
    fn the_images_stop_signal_is_taken_when_a_process_can_handle_it() {
        for (wanted, taken) in [
            (None, "SIGTERM"),
            (Some("SIGQUIT"), "SIGQUIT"),
            (Some("quit"), "SIGQUIT"),
            (Some("3"), "SIGQUIT"),
            (Some("2"), "SIGINT"),
            (Some("SIGWINCH"), "SIGWINCH"),
            (Some("SIGHUP"), "SIGHUP"),
            (Some("USR2"), "SIGUSR2"),
            (Some("SIGKILL"), "SIGTERM"),
            (Some("9"), "SIGTERM"),
            (Some("SIGSTOP"), "SIGTERM"),
            (Some("SIGRTMIN+3"), "SIGTERM"),
            (Some("SIGCONT"), "SIGTERM"),
            (Some(""), "SIGTERM"),
        ] {
            assert_eq!(process(None, &image(&[], wanted)).stop_signal.full_name(), taken, "{wanted:?}");
        }
    }

    #[test]
    fn the_script_sets_no_variable_before_the_command_runs() {
        let top = STOP_SCRIPT.lines().skip_while(|line| !line.starts_with("trap ")).collect::<Vec<_>>();
        assert!(top[1].ends_with(r#"exec "$@") &"#), "the command is started in the line after the trap: {top:?}");
        assert!(!CHOOSE_SHELL.contains('='));
    }
}
