//! Turns a `run_command` into the list of words that the engine needs, with a shell only if necessary.
//!
//! A simple command runs directly, so its image needs no shell. Anything else goes to a shell unchanged. The controller
//! decides how the shell forwards the stop signal.

use app_spec::interpreter;

/// The words to run.
pub(super) fn words(text: &str) -> Vec<String> {
    if let Some(Ok(mut words)) = interpreter(text) {
        words.push(text.to_owned());
        return words;
    }
    match simple(text) {
        Some(words) if !words.is_empty() => words,
        _ => vec!["/bin/sh".into(), "-c".into(), text.to_owned()],
    }
}

/// Splits a command that needs no shell: plain words and quotes without expansions. `None` if a shell has to read it.
fn simple(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.trim().chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('"'), '$' | '`' | '\\') => return None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(c);
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            (
                None,
                '|' | '&' | ';' | '<' | '>' | '(' | ')' | '$' | '`' | '\\' | '\n' | '*' | '?' | '[' | '#' | '~' | '{'
                | '}' | '!',
            ) => {
                return None;
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let needs_shell = quote.is_some() || words.first().is_some_and(|first| is_for_the_shell(first));
    (!needs_shell).then_some(words)
}

/// A shell builtin, a shell keyword, or an assignment.
fn is_for_the_shell(word: &str) -> bool {
    const OWN: [&str; 31] = [
        "cd", "exec", "export", "set", "unset", "trap", "ulimit", "umask", "wait", "eval", "exit", ".", "source",
        "alias", "read", "if", "for", "while", "until", "case", "fi", "done", "esac", "then", "else", "do", "return",
        "command", "time", "readonly", ":",
    ];
    let assigns = word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit())
    });
    OWN.contains(&word) || assigns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simple_command_runs_without_a_shell() {
        let cases: [(&str, &[&str]); 5] = [
            ("npm start", &["npm", "start"]),
            ("  /testapp   work ", &["/testapp", "work"]),
            ("python -c 'print(1)'", &["python", "-c", "print(1)"]),
            ("sh \"a b\" ''", &["sh", "a b", ""]),
            ("gunicorn --bind=0.0.0.0:80 app:app", &["gunicorn", "--bind=0.0.0.0:80", "app:app"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn any_other_command_goes_to_a_shell_unchanged() {
        for text in [
            "gunicorn -b 0.0.0.0:$PORT app",
            "migrate && serve --port 80",
            "serve | tee log",
            "(a; b)",
            "FOO=1 serve",
            "exec serve $X",
            "while true; do x; done",
            "echo \"a; $b\"",
            "gunicorn \\\n  --workers 2 \\\n  app",
            "cat <<EOF\nport\nEOF\n",
            "trap 'rm x' EXIT\nserve\n",
        ] {
            assert_eq!(words(text), ["/bin/sh", "-c", text], "{text}");
        }
    }

    #[test]
    fn a_first_line_that_names_an_interpreter_selects_it() {
        let text = "#!/bin/bash\nset -euo pipefail\nserve\n";
        assert_eq!(words(text), ["/bin/bash", "-c", text]);
        let refused = "#!/usr/bin/perl\nprint 1";
        assert_eq!(words(refused), ["/bin/sh", "-c", refused], "of a spec that an older version took");
    }
}
