//! A `run_command` as the engine needs it: a list of words, with a shell only where one is needed.
//!
//! A simple command runs directly, so that it gets TERM itself and needs no shell in its image. Anything else goes through
//! `/bin/sh -c`, with the last command exec'd where that is safe, for the same reason.

/// The words to run.
pub(super) fn words(text: &str) -> Vec<String> {
    match simple(text) {
        Some(words) if !words.is_empty() => words,
        _ => vec!["/bin/sh".into(), "-c".into(), with_exec(text)],
    }
}

/// Splits what needs no shell: words, quotes without expansions. `None` when a shell has to read it.
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

/// Puts `exec` before the last command of a list, unless that changes what it means.
fn with_exec(text: &str) -> String {
    let text = text.trim();
    let separator = |mark: &&str| text.rfind(*mark).map(|at| at + mark.len());
    let last_begins = ["&&", ";", "\n"].iter().filter_map(separator).max().unwrap_or(0);
    let (before, last) = text.split_at(last_begins);
    let command = last.trim_start();
    let first = command.split_whitespace().next().unwrap_or_default();
    let compound = text.contains(['(', ')', '{', '}', '`']) && !only_in_expansions(text) || text.contains("||");
    let lists =
        last.contains(['|', '&']) || text.contains(" do ") || text.contains(" then ") || is_quoted_across(before);
    if compound || lists || command.is_empty() || is_for_the_shell(first) {
        return text.to_owned();
    }
    let space = if before.is_empty() { "" } else { " " };
    format!("{before}{space}exec {command}")
}

/// `${PORT}` and `$(nproc)` are fine; other braces and brackets group commands.
fn only_in_expansions(text: &str) -> bool {
    let bare = text.char_indices().filter(|(_, c)| matches!(c, '(' | '{'));
    !text.contains('`') && bare.into_iter().all(|(at, _)| text[..at].ends_with('$'))
}

/// The text up to the last command ends inside a quote: what looked like a separator was none.
fn is_quoted_across(before: &str) -> bool {
    before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1
}

/// Built into the shell, a keyword of its, or an assignment.
fn is_for_the_shell(word: &str) -> bool {
    const OWN: [&str; 27] = [
        "cd", "exec", "export", "set", "unset", "trap", "ulimit", "umask", "wait", "eval", "exit", ".", "source",
        "alias", "read", "if", "for", "while", "until", "case", "fi", "done", "esac", "then", "else", "do", "return",
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
    fn anything_else_goes_through_the_shell_which_makes_way_for_the_last_command() {
        let cases = [
            ("gunicorn -b 0.0.0.0:$PORT app", "exec gunicorn -b 0.0.0.0:$PORT app"),
            ("gunicorn -b :${PORT} -w $(nproc) app", "exec gunicorn -b :${PORT} -w $(nproc) app"),
            ("migrate && serve --port 80", "migrate && exec serve --port 80"),
            ("a; b", "a; exec b"),
            ("serve | tee log", "serve | tee log"),
            ("a || b", "a || b"),
            ("(a; b)", "(a; b)"),
            ("FOO=1 serve", "FOO=1 serve"),
            ("cd app && FOO=1 serve", "cd app && FOO=1 serve"),
            ("exec serve $X", "exec serve $X"),
            ("while true; do x; done", "while true; do x; done"),
            ("serve &", "serve &"),
            ("echo \"a; $b\"", "echo \"a; $b\""),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), ["/bin/sh", "-c", expected], "{text}");
        }
    }
}
