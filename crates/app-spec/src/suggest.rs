//! Finds the known word nearest to a written one, for "did you mean" advice.

use crate::deceptive::is_deceptive;

/// The longest word that is compared.
const LONGEST: usize = 64;

/// The longest text that is shown in full. The digest of an image just fits.
const LONGEST_SHOWN: usize = 72;

/// The most words that are compared. Real lists are shorter.
const MOST: usize = 200;

/// Words that people write instead of another, where comparing the spelling does not help.
const ALIASES: &[(&str, &str)] = &[
    ("environment", "envs"),
    ("environments", "envs"),
    ("environment_variables", "envs"),
    ("env_vars", "envs"),
    ("variables", "envs"),
    ("replicas", "instance_count"),
    ("instances", "instance_count"),
    ("min_instances", "min_instance_count"),
    ("max_instances", "max_instance_count"),
    ("size", "instance_size_slug"),
    ("command", "run_command"),
    ("cmd", "run_command"),
    ("start_command", "run_command"),
    ("install_command", "build_command"),
    ("component_name", "component"),
    ("backend", "component"),
    ("size_slug", "size"),
    ("node_count", "num_nodes"),
    ("url", "repo_clone_url"),
    ("repo", "repo_clone_url"),
    ("repository", "repo"),
    ("image", "repository"),
    ("name", "key"),
    ("name", "domain"),
    ("interval", "period_seconds"),
    ("output_directory", "output_dir"),
    ("CRON", "SCHEDULED"),
    ("POSTGRES", "PG"),
    ("POSTGRESQL", "PG"),
    ("RUN_AND_BUILD", "RUN_AND_BUILD_TIME"),
    ("RUNTIME", "RUN_TIME"),
    ("BUILDTIME", "BUILD_TIME"),
];

/// The known word nearest to `written`, if it is near enough.
///
/// Ignores case, `-` and camel case, so `dockerfilePath` matches `dockerfile_path`. If `written` is the beginning or
/// the end of exactly one known word, it matches that word, as `timeout` matches `timeout_seconds`.
pub(crate) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if written.is_empty() || written.len() > LONGEST {
        return None;
    }
    let wanted = flat(written);
    let aliases: Vec<&str> = ALIASES.iter().filter(|(from, _)| flat(from) == wanted).map(|(_, to)| *to).collect();
    let known: Vec<&str> = known.into_iter().take(MOST).collect();
    if let Some(word) = known.iter().find(|word| aliases.contains(word) || flat(word) == wanted) {
        return Some(word);
    }
    let snake = written.to_ascii_lowercase();
    let mut longer = known.iter().filter(|word| is_part(&snake, &word.to_ascii_lowercase()));
    if let (Some(word), None) = (longer.next(), longer.next()) {
        return Some(word);
    }
    let distance = |word: &&str| strsim::osa_distance(&wanted, &flat(word));
    let near = known.iter().map(|word| (distance(word), *word)).min_by_key(|(distance, _)| *distance);
    near.filter(|(distance, word)| *distance <= allowed(word.len().min(wanted.len()))).map(|(_, word)| word)
}

/// Whether `word` begins or ends with `part`, separated by `_`.
fn is_part(part: &str, word: &str) -> bool {
    let rest = word.strip_prefix(part).map(|rest| rest.starts_with('_'));
    rest == Some(true) || word.strip_suffix(part).is_some_and(|rest| rest.ends_with('_'))
}

/// How many typing errors are allowed in a word of this length.
fn allowed(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=5 => 1,
        6..=10 => 2,
        _ => 3,
    }
}

fn flat(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect()
}

/// `text` on one line, cut to a length that fits into a message. Leaves out everything before an `@`, which may be a
/// login.
pub(crate) fn shown(text: &str) -> String {
    let text = match text.trim_end().rsplit_once('@') {
        Some((_, host)) => &format!("…@{host}"),
        None => text.trim_end(),
    };
    let line: String = text.chars().take(LONGEST_SHOWN).map(drawable).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() { format!("{line}…") } else { line }
}

/// The name at the beginning of a key. By mistake a value may follow it, and the value may be a secret.
pub(crate) fn shown_key(key: &str) -> String {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    match key.find(|c| !is_inner(c)) {
        Some(end) => format!("{}…", shown(&key[..end])),
        None => shown(key),
    }
}

/// Replaces characters that would break a line or mislead: control characters become a space; look-alike spaces,
/// invisible characters and characters that change the text direction become a dot.
pub(crate) fn drawable(c: char) -> char {
    match c {
        c if c.is_control() => ' ',
        c if is_deceptive(c) || !c.is_ascii() && c.is_whitespace() => '·',
        '\u{200c}' | '\u{200d}' => '·',
        c => c,
    }
}

/// `a, b or c`.
pub(crate) fn one_of<'k>(words: impl IntoIterator<Item = &'k str>) -> String {
    let mut words: Vec<&str> = words.into_iter().collect();
    let Some(last) = words.pop() else { return String::new() };
    if words.is_empty() { last.to_owned() } else { format!("{} or {last}", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_word_is_suggested_only_if_it_is_near() {
        let known = ["http_port", "dockerfile_path", "envs", "name", "instance_count", "routes"];
        let cases = [
            ("htp_port", Some("http_port")),
            ("httpPort", Some("http_port")),
            ("dockerfilePath", Some("dockerfile_path")),
            ("environment_variables", Some("envs")),
            ("replicas", Some("instance_count")),
            ("nmae", Some("name")),
            ("instances_count", Some("instance_count")),
            ("volumes", None),
            ("x", None),
            ("", None),
        ];
        for (written, wanted) in cases {
            assert_eq!(nearest(written, known), wanted, "{written:?}");
        }
    }

    #[test]
    fn long_or_broken_text_is_shown_on_one_short_line() {
        assert_eq!(shown("a\nb"), "a b");
        assert_eq!(shown("a\u{202e}b"), "a·b");
        assert_eq!(shown(&"ä".repeat(100)).chars().count(), LONGEST_SHOWN + 1);
    }
}
