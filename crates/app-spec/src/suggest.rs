//! "Did you mean": the nearest known word to the one that was written.

/// Longer words are not compared.
const LONGEST: usize = 64;

/// Longer text is not shown in full: the digest of an image just fits.
const LONGEST_SHOWN: usize = 72;

/// More words are not compared: real lists are shorter.
const MOST: usize = 200;

/// More slips in one word are none: another word is meant.
const MOST_SLIPS: usize = 3;

/// Words that people write for another, where spelling alone would not lead there.
const ALIASES: &[(&str, &str)] = &[
    ("env", "envs"),
    ("environment", "envs"),
    ("environments", "envs"),
    ("environment_variables", "envs"),
    ("variables", "envs"),
    ("dockerfile", "dockerfile_path"),
    ("port", "http_port"),
    ("min_instances", "min_instance_count"),
    ("max_instances", "max_instance_count"),
    ("replicas", "instance_count"),
    ("size", "instance_size_slug"),
    ("instances", "instance_count"),
    ("count", "instance_count"),
    ("command", "run_command"),
    ("cmd", "run_command"),
    ("start_command", "run_command"),
    ("install_command", "build_command"),
    ("component_name", "component"),
    ("backend", "component"),
    ("size_slug", "instance_size_slug"),
    ("size_slug", "size"),
    ("node_count", "num_nodes"),
    ("url", "repo_clone_url"),
    ("repo", "repo_clone_url"),
    ("repository", "repo"),
    ("image", "repository"),
    ("name", "key"),
    ("name", "domain"),
    ("timeout", "timeout_seconds"),
    ("interval", "period_seconds"),
    ("interval_seconds", "period_seconds"),
    ("period", "period_seconds"),
    ("initial_delay", "initial_delay_seconds"),
    ("grace_period", "grace_period_seconds"),
    ("instance_size", "instance_size_slug"),
    ("env_vars", "envs"),
    ("catchall", "catchall_document"),
    ("output_directory", "output_dir"),
    ("opensearch", "open_search"),
    ("CRON", "SCHEDULED"),
    ("POSTGRES", "PG"),
    ("POSTGRESQL", "PG"),
    ("MONGO", "MONGODB"),
    ("DEPLOYMENT_CANCELLED", "DEPLOYMENT_CANCELED"),
    ("DOCKERHUB", "DOCKER_HUB"),
    ("RUN_AND_BUILD", "RUN_AND_BUILD_TIME"),
    ("RUNTIME", "RUN_TIME"),
    ("BUILDTIME", "BUILD_TIME"),
    ("BUILD", "BUILD_TIME"),
    ("RUN", "RUN_TIME"),
];

/// The known word nearest to `written`, if one is near enough to be meant.
///
/// Case, `-` and camel case do not count: `dockerfilePath` is `dockerfile_path`.
pub(crate) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if written.is_empty() || written.len() > LONGEST {
        return None;
    }
    let wanted: Vec<char> = flat_chars(written).collect();
    let is_written = |word: &str| flat_chars(word).eq(wanted.iter().copied());
    let aliases: Vec<&str> = ALIASES.iter().filter(|(from, _)| is_written(from)).map(|(_, to)| *to).collect();
    let mut best: Option<(usize, &str)> = None;
    for word in known.into_iter().take(MOST) {
        if aliases.contains(&word) || is_written(word) {
            return Some(word);
        }
        let flat: Vec<char> = flat_chars(word).collect();
        if flat.len().abs_diff(wanted.len()) > MOST_SLIPS {
            continue;
        }
        let distance = distance(&wanted, &flat);
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, word));
        }
    }
    best.filter(|(distance, word)| *distance <= allowed(word.len().min(wanted.len()))).map(|(_, word)| word)
}

/// How many slips a word of this length may hold and still be meant.
fn allowed(length: usize) -> usize {
    match length {
        0..=2 => 0,
        3..=5 => 1,
        6..=10 => 2,
        _ => MOST_SLIPS,
    }
}

pub(crate) fn flat(word: &str) -> String {
    flat_chars(word).collect()
}

fn flat_chars(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase)
}

/// Edits between two short words; two neighbours swapped count as one edit.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut current = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = usize::from(a[i - 1] != b[j - 1]);
            current[j] = (previous[j] + 1).min(current[j - 1] + 1).min(previous[j - 1] + change);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                current[j] = current[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

/// `text` cut to a length that a message can hold, on one line, without credentials.
pub(crate) fn shown(text: &str) -> String {
    let text = crate::veil::without_credentials(text);
    let line: String = text.chars().take(LONGEST_SHOWN).map(drawable).collect();
    if text.chars().nth(LONGEST_SHOWN).is_some() { format!("{line}…") } else { line }
}

/// The name that a key begins with. A slip may glue a value to it, which may be a secret.
pub(crate) fn shown_key(key: &str) -> String {
    let name = crate::veil::name_in(key);
    if name.len() == key.len() { shown(name) } else { format!("{}…", shown(name)) }
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
