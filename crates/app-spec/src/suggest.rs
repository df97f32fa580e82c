//! "Did you mean": the nearest known word to the one that was written.

/// Longer words are not compared.
const LONGEST: usize = 64;

/// Longer text is not shown in full: the digest of an image just fits.
const LONGEST_SHOWN: usize = 72;

/// More words are not compared: real lists are shorter.
const MOST: usize = 200;

/// Words that people write for another, where spelling alone would not lead there.
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

/// The known word nearest to `written`, if one is near enough to be meant.
///
/// Case, `-` and camel case do not count: `dockerfilePath` is `dockerfile_path`. A word that is the beginning or the end of one
/// known word, such as `timeout` of `timeout_seconds`, is meant for it.
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

/// Whether whole words at the beginning or the end of `word` are `part`.
fn is_part(part: &str, word: &str) -> bool {
    let rest = word.strip_prefix(part).map(|rest| rest.starts_with('_'));
    rest == Some(true) || word.strip_suffix(part).is_some_and(|rest| rest.ends_with('_'))
}

/// How many slips a word of this length may hold and still be meant.
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

/// `text` cut to a length that a message can hold, on one line. Before an `@` may stand a login.
pub(crate) fn shown(text: &str) -> String {
    let text = match text.trim_end().rsplit_once('@') {
        Some((_, host)) => &format!("…@{host}"),
        None => text.trim_end(),
    };
    let line: String = text.chars().take(LONGEST_SHOWN).map(drawable).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() { format!("{line}…") } else { line }
}

/// The name that a key begins with: a mistake may put a value behind it, which may be a secret.
pub(crate) fn shown_key(key: &str) -> String {
    let is_inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    match key.find(|c| !is_inner(c)) {
        Some(end) => format!("{}…", shown(&key[..end])),
        None => shown(key),
    }
}

/// What a terminal shows at a place of its own: controls as a blank, what only looks like one or turns text around as a
/// dot.
pub(crate) fn drawable(c: char) -> char {
    match c {
        c if c.is_control() => ' ',
        c if !c.is_ascii() && c.is_whitespace() => '·',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => '·',
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
    fn the_nearest_known_word_is_offered_only_when_it_is_near() {
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
