//! Which program runs a `run_command` that begins with `#!`.

/// The arguments to put before the text of a command that begins with `#!`, such as `bash -e -c`. Returns `None` for
/// any other command, which `/bin/sh -c` runs. Errors: a sentence, if the program cannot take a command as text.
pub fn interpreter(run_command: &str) -> Option<Result<Vec<String>, String>> {
    let first_line = run_command.trim_start().strip_prefix("#!")?.lines().next().unwrap_or_default();
    let mut words = first_line.split_whitespace().map(String::from).peekable();
    // `/usr/bin/env bash` and `bash` are the same: the engine also searches `PATH`.
    if words.peek().is_some_and(|it| name(it) == "env") {
        words.next();
        words.next_if(|it| it == "-S");
    }
    let mut words: Vec<_> = words.collect();
    let takes_text = words.first().is_some_and(|it| takes_text(name(it)));
    if !takes_text || words[1..].iter().any(|it| !it.starts_with('-')) {
        let message = format!(
            "`#!{}` needs a script file: only shells and Python can run a command without one, with options that begin with `-`",
            first_line.trim_end()
        );
        return Some(Err(message));
    }
    words.push("-c".into());
    Some(Ok(words))
}

fn name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn takes_text(name: &str) -> bool {
    let python = name.strip_prefix("python");
    let is_version = |it: &str| it.chars().all(|c| c.is_ascii_digit() || c == '.');
    matches!(name, "sh" | "ash" | "dash" | "bash" | "ksh" | "mksh" | "zsh") || python.is_some_and(is_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        for (text, expected) in [
            ("#!/bin/bash\nset -euo pipefail\nserve", "/bin/bash -c"),
            ("#! /bin/sh -e\nserve", "/bin/sh -e -c"),
            ("\n#!/usr/bin/env bash\nserve", "bash -c"),
            ("#!/usr/bin/env -S bash -eu\r\nserve", "bash -eu -c"),
            ("#!/usr/local/bin/python3.12\nprint(1)", "/usr/local/bin/python3.12 -c"),
            ("#!/usr/bin/env python\nprint(1)", "python -c"),
        ] {
            assert_eq!(interpreter(text), Some(Ok(expected.split(' ').map(String::from).collect())), "{text}");
        }
        for text in ["serve --port 80", "# a comment\nserve", "serve #!/bin/bash", ""] {
            assert_eq!(interpreter(text), None, "{text}");
        }
    }

    #[test]
    fn a_program_that_needs_a_file_is_refused() {
        for text in ["#!/usr/bin/perl\nprint 1", "#!/usr/bin/env node", "#!", "#!/bin/bash script.sh", "#!/usr/bin/env"]
        {
            let refused = interpreter(text).expect("it begins with #!").expect_err(text);
            assert!(refused.contains("only shells and Python"), "{refused}");
        }
    }
}
