//! Secrets that need no field to be told: credentials inside addresses and assignments, and lines that nobody could parse.

use std::borrow::Cow;
use std::ops::Range;

use super::{MASK, has_secret_stem, may_hold_secret};

/// Fields whose line may be shown even when it cannot be parsed: no secret is written beside them.
const SHOWN: [&str; 27] = [
    "name",
    "region",
    "services",
    "workers",
    "jobs",
    "static_sites",
    "functions",
    "databases",
    "domains",
    "ingress",
    "rules",
    "routes",
    "envs",
    "image",
    "registry_type",
    "registry",
    "repository",
    "tag",
    "match",
    "path",
    "prefix",
    "exact",
    "authority",
    "component",
    "http_port",
    "instance_count",
    "instance_size_slug",
];

/// Whether it is the name of a field beside which no secret is written.
pub(crate) fn is_shown_field(name: &str) -> bool {
    SHOWN.contains(&name)
}

/// Where `text` holds credentials: `user:password` before a host, values assigned to names that tell a secret or given
/// behind an option of such a name, and what follows in the addresses of webhooks.
pub(crate) fn credentials(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut is_asked_for = false;
    for (start, word) in words(text) {
        if word.is_empty() && !is_asked_for {
            continue;
        }
        let begins_line = text[..start].ends_with('\n');
        let says_nothing = word.chars().all(|c| matches!(c, ',' | '[' | ']'));
        if is_asked_for && !begins_line && !says_nothing {
            found.push(start..start + value_at(text, start, word));
        }
        let inside = user_info(word).into_iter().chain(webhook(word)).chain(assigned(word));
        found.extend(inside.map(|inside| start + inside.start..start + inside.end));
        is_asked_for = is_secret_option(word) || is_asked_for && says_nothing && !begins_line;
    }
    found.sort_by_key(|range| range.start);
    found
}

/// Where a secret that begins with `#` became a comment: `value: #…`.
pub(crate) fn comments_for_values(text: &str) -> Vec<Range<usize>> {
    let mut start = 0;
    let mut found = Vec::new();
    for line in text.split_inclusive('\n') {
        if let Some((before, _)) = line.split_once('#') {
            let key =
                before.trim_end().strip_suffix(':').map(|it| it.rsplit([' ', ',', '{', '"']).next().unwrap_or(it));
            let stands_for_value = key.is_some_and(may_hold_secret) || before.trim() == "-";
            found.extend(stands_for_value.then_some(start + before.len()..start + line.trim_end().len()));
        }
        start += line.len();
    }
    found
}

/// The same text with a mask for credentials.
pub(crate) fn without_credentials(text: &str) -> Cow<'_, str> {
    let found = credentials(text);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut shown) = (String::new(), 0);
    for range in found {
        if range.start >= shown {
            out.push_str(&text[shown..range.start]);
            out.push_str(MASK);
        }
        shown = shown.max(range.end);
    }
    out.push_str(&text[shown..]);
    Cow::Owned(out)
}

/// What lies between blanks and quotes, with its first byte.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_border = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
    let mut start = 0;
    text.split(is_border).map(move |word| {
        let at = start;
        // Every border is one character, and what ends a word is skipped with its own length.
        start += word.len() + text[at + word.len()..].chars().next().map_or(0, char::len_utf8);
        (at, word)
    })
}

/// `user:password` or a token before the `@` of an address. `git@host:path` holds none.
fn user_info(word: &str) -> Option<Range<usize>> {
    let at = word.rfind('@')?;
    if word[at + 1..].starts_with("sha256:") {
        return None;
    }
    let begin = match word[..at].find("://") {
        Some(scheme) => scheme + 3,
        // A token alone, where a path behind the host shows that it is an address.
        None => word[..at].find(':').map(|colon| colon + 1).or_else(|| word[at..].contains('/').then_some(0))?,
    };
    (begin < at && &word[begin..at] != "git").then_some(begin..at)
}

/// What follows in the address of a webhook: whoever knows it may write there.
fn webhook(word: &str) -> Option<Range<usize>> {
    let begin = ["hooks.slack.com/", "/api/webhooks/"].iter().find_map(|mark| Some(word.find(mark)? + mark.len()))?;
    let length = word[begin..].trim_end_matches([',', ']', '}']).len();
    (length > 0).then_some(begin..begin + length)
}

/// `--token`, whose value is the next word.
fn is_secret_option(word: &str) -> bool {
    let name = word.trim_start_matches(['[', ',']).trim_end_matches(',');
    name.starts_with('-') && !name.contains('=') && has_secret_stem(name)
}

/// How long the value is that begins with a word: to the quote that ends it, else to the end of the word.
fn value_at(text: &str, start: usize, word: &str) -> usize {
    let quote = text[..start].chars().next_back().filter(|c| matches!(c, '"' | '\''));
    let quoted = quote.and_then(|quote| text[start..].find(quote));
    quoted.unwrap_or_else(|| word.trim_end_matches([',', ']', '}']).len())
}

/// The values in `TOKEN=…`, also behind `?` and `&` of an address.
fn assigned(word: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    word.split('&').filter_map(move |part| {
        let start = from;
        from += part.len() + 1;
        let (name, value) = part.split_once('=')?;
        let name = name.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-').next()?;
        let begin = start + part.len() - value.len();
        (!value.is_empty() && has_secret_stem(name)).then_some(begin..start + part.len())
    })
}

/// What must not be shown of the line around `at` in a text that could not be parsed: everything behind its first `key:`,
/// and all of a line without one, which may go on a secret that began before. It ends where the line does.
pub(crate) fn unparsed(text: &str, at: usize) -> Range<usize> {
    let at = crate::render::floor_boundary(text, at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let line = &text[start..end];
    let is_before_key = |c: char| c.is_whitespace() || "-{[,".contains(c);
    let content = line.len() - line.trim_start_matches(is_before_key).len();
    let key = line[content..].find(':').filter(|colon| is_key(&line[content..content + colon]));
    match key {
        Some(colon) if is_shown(line, &line[content..content + colon]) => end..end,
        Some(colon) => {
            let value = &line[content + colon + 1..];
            end - value.trim_start().len()..end
        }
        None if !line.contains(char::is_alphanumeric) => end..end,
        None if MARKS.iter().any(|mark| line.starts_with(mark)) => end..end,
        None if template(line).is_some() => start + template(line).unwrap_or_default()..end,
        None if ["//", "/*"].iter().any(|mark| line[content..].starts_with(mark)) => start + content + 2..end,
        None => {
            let word = line[content..].split(char::is_whitespace).next().filter(|word| SHOWN.contains(word));
            start + content + word.map_or(0, str::len)..end
        }
    }
}

/// How lines begin that are of a merge or of Markdown.
const MARKS: [&str; 4] = ["<<<<<<< ", ">>>>>>> ", "=======", "```"];

/// Where the template ends that a line begins with.
fn template(line: &str) -> Option<usize> {
    let mark = ["{{", "{%"].iter().find(|mark| line.trim_start().starts_with(**mark))?;
    let close = if *mark == "{{" { "}}" } else { "%}" };
    line.find(close).map(|at| at + close.len())
}

fn is_key(text: &str) -> bool {
    let bare = text.trim_matches(['"', '\'']);
    !bare.is_empty() && bare.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_shown(line: &str, key: &str) -> bool {
    let more = ["value", "vlaue", "key", "@", "="].iter().any(|sign| line.contains(sign));
    let tells_secret = || line.split(|c: char| !c.is_alphanumeric() && c != '_').any(has_secret_stem);
    SHOWN.contains(&key.trim_matches(['"', '\''])) && !more && !tells_secret() && holds_known_fields(line)
}

/// Whether all that a line holds are fields of [`SHOWN`], each with no second `: ` behind it, between whatever braces.
fn holds_known_fields(line: &str) -> bool {
    let is_known = |key: &str| SHOWN.contains(&key.trim_matches(|c: char| c.is_whitespace() || "-\"'".contains(c)));
    line.split(['{', '}', '[', ']', ',']).all(|piece| match piece.split_once(": ") {
        Some((key, value)) => is_known(key) && !value.contains(": "),
        None => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_masked_and_addresses_stay_readable() {
        let cases = [
            ("https://user:s3cr3t@github.com/a/b.git", "https://*******@github.com/a/b.git"),
            ("git: https://ghp_x@github.com/a", "git: https://*******@github.com/a"),
            ("user:s3cr3t@docker.io", "user:*******@docker.io"),
            ("postgresql://u:p/w@h:5432/d?sslmode=require", "postgresql://*******@h:5432/d?sslmode=require"),
            ("https://x/?a=1&token=s3cr3t&b=2", "https://x/?a=1&token=*******&b=2"),
            ("SECRET_TOKEN=s3cr3t npm start", "SECRET_TOKEN=******* npm start"),
            ("x --token s3cr3t -p 80", "x --token ******* -p 80"),
            ("x --token 's3 cr3t' --port 80", "x --token '*******' --port 80"),
            ("TOKEN=https://hooks.slack.com/s3cr3t x", "TOKEN=******* x"),
            ("[x, --api-key, s3cr3t, a]", "[x, --api-key, *******, a]"),
            ("[\"x\", \"--token\", \"s3cr3t\"]", "[\"x\", \"--token\", \"*******\"]"),
            ("x --token\n- port", "x --token\n- port"),
            ("https://hooks.slack.com/services/T/B/s3cr3t,", "https://hooks.slack.com/*******,"),
            ("git@github.com:a/b.git", "git@github.com:a/b.git"),
            ("ghp_x@github.com/a/b.git", "*******@github.com/a/b.git"),
            ("ssh://git@github.com/a/b", "ssh://git@github.com/a/b"),
            ("nginx:1.25@sha256:0a", "nginx:1.25@sha256:0a"),
            ("buildpack-stack=ubuntu-22", "buildpack-stack=ubuntu-22"),
            ("é\u{a0}me@example.com 'a'", "é\u{a0}me@example.com 'a'"),
        ];
        for (text, wanted) in cases {
            assert_eq!(without_credentials(text), wanted);
        }
    }

    #[test]
    fn a_line_that_was_not_parsed_shows_its_key_alone() {
        let shown = |line: &'static str| {
            let hidden = unparsed(line, 0);
            &line[..hidden.start]
        };
        assert_eq!(shown("  - value: s3cr3t: x"), "  - value: ");
        assert_eq!(shown("  s3cr3t"), "  ");
        assert_eq!(shown("  - {key: A, value: s3cr3t"), "  - {key: ");
        assert_eq!(shown("  tag: {{ x }}"), "  tag: {{ x }}");
        assert_eq!(shown("  repository: u: s3cr3t"), "  repository: ");
        assert_eq!(shown("- {name: web, image: {tag: a: s3cr3t"), "- {name: ");
        assert_eq!(shown("- {name: web, image: {tag: a"), "- {name: web, image: {tag: a");
        assert_eq!(shown("  image: {registry_credentials: a:b"), "  image: ");
    }
}
