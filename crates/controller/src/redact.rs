//! Replacing secrets in text that arrives line by line.
//!
//! A secret may span several lines (a PEM key), may be wrapped by the program that prints it, or may be encoded in
//! base64. So the lines of a stream are searched as one text without line ends. No line is delayed: if a line ends with
//! the start of a secret, that start is hidden at once, and the search continues in the next line.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// The shortest secret that is hidden; shorter values are too common in ordinary text. If a secret is split across
/// lines, up to one character less than this may be shown.
const SHORTEST: usize = 8;
/// The text that replaces a secret.
const HIDDEN: &str = "[secret]";

/// All secrets to hide. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Secrets(Arc<Patterns>);

struct Patterns {
    /// The secrets in all their forms, without line ends.
    all: Vec<Vec<u8>>,
    /// Indexes into `all`, by the first bytes of the secret.
    by_head: HashMap<[u8; SHORTEST], Vec<usize>>,
}

/// Replaces secrets in one stream of lines.
pub(crate) struct Redactor {
    secrets: Secrets,
    /// The end of the previous text, in which a secret may have started.
    carry: Vec<u8>,
}

impl Secrets {
    pub fn new(values: &[String]) -> Self {
        let mut all: Vec<_> = values.iter().flat_map(|value| forms(value)).collect();
        all.retain(|form| form.len() >= SHORTEST);
        all.sort();
        all.dedup();
        let mut by_head: HashMap<[u8; SHORTEST], Vec<usize>> = HashMap::new();
        for (at, form) in all.iter().enumerate() {
            let head = form.first_chunk().expect("shorter ones were left out");
            by_head.entry(*head).or_default().push(at);
        }
        Self(Arc::new(Patterns { all, by_head }))
    }

    /// Returns a redactor for one stream. Lines of different streams do not continue each other.
    pub fn redactor(&self) -> Redactor {
        Redactor { secrets: self.clone(), carry: Vec::new() }
    }
}

impl Redactor {
    /// Returns the next line of the stream, without its line end, with secrets replaced.
    pub fn line(&mut self, line: &str) -> String {
        if self.secrets.0.all.is_empty() {
            return line.to_owned();
        }
        let before = self.carry.len();
        let mut text = std::mem::take(&mut self.carry);
        text.extend(line.bytes().filter(|byte| !is_line_end(*byte)));
        let Found { hidden, unfinished } = self.secrets.0.find(&text);
        let shown = rest_of(line, &hidden[before..]);
        let from = unfinished.unwrap_or(text.len()).min(text.len().saturating_sub(SHORTEST - 1));
        self.carry = text.split_off(from);
        shown
    }
}

/// Positions of secrets in a text.
struct Found {
    /// One flag per byte.
    hidden: Vec<bool>,
    /// Where the first secret starts that the end of the text cuts off.
    unfinished: Option<usize>,
}

impl Patterns {
    fn find(&self, text: &[u8]) -> Found {
        let mut found = Found { hidden: vec![false; text.len()], unfinished: None };
        for (at, head) in text.windows(SHORTEST).enumerate() {
            let head: &[u8; SHORTEST] = head.try_into().expect("a window has this length");
            for pattern in self.by_head.get(head).into_iter().flatten().map(|it| &self.all[*it]) {
                let rest = &text[at..];
                let length = rest.len().min(pattern.len());
                if rest[..length] != pattern[..length] {
                    continue;
                }
                found.hidden[at..at + length].fill(true);
                if length < pattern.len() {
                    found.unfinished.get_or_insert(at);
                }
            }
        }
        found
    }
}

/// The line with each hidden part replaced. `hidden` has one flag for each byte that is not a line end.
fn rest_of(line: &str, hidden: &[bool]) -> String {
    if !hidden.contains(&true) {
        return line.to_owned();
    }
    let mut out = Vec::with_capacity(line.len());
    let mut flags = hidden.iter();
    let mut is_inside = false;
    for byte in line.bytes() {
        // A line end inside a secret is hidden with it.
        let hide = if is_line_end(byte) { is_inside } else { *flags.next().unwrap_or(&false) };
        if hide && !is_inside {
            out.extend_from_slice(HIDDEN.as_bytes());
        }
        if !hide {
            out.push(byte);
        }
        is_inside = hide;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_line_end(byte: u8) -> bool {
    byte == b'\n' || byte == b'\r'
}

/// The forms in which a value may be printed.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let bare = |text: &str| text.trim().bytes().filter(|byte| !is_line_end(*byte)).collect::<Vec<_>>();
    let mut forms = vec![bare(value)];
    if forms[0].len() < SHORTEST {
        return Vec::new();
    }
    // Also each line alone: other output may come between the lines, or a timestamp before each.
    if value.trim().contains(['\n', '\r']) {
        forms.extend(value.split(['\n', '\r']).map(bare));
    }
    let quoted = serde_json::Value::from(value.trim()).to_string();
    forms.push(quoted.trim_matches('"').as_bytes().to_vec());
    for bytes in [value.as_bytes(), value.trim().as_bytes()] {
        for shift in 0..3 {
            forms.extend(
                [STANDARD_NO_PAD.encode(shifted(bytes, shift)), URL_SAFE_NO_PAD.encode(shifted(bytes, shift))].map(
                    |encoded| {
                        // Leave out characters that also depend on the bytes before or after.
                        let end = (shift + bytes.len()) * 8 / 6;
                        encoded.as_bytes()[(shift * 8).div_ceil(6)..end].to_vec()
                    },
                ),
            );
        }
    }
    forms
}

/// The bytes after `by` zero bytes.
fn shifted(bytes: &[u8], by: usize) -> Vec<u8> {
    [&[0, 0][..by], bytes].concat()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    fn redacted(secrets: &[&str], lines: &[&str]) -> Vec<String> {
        let secrets: Vec<String> = secrets.iter().map(|it| (*it).to_owned()).collect();
        let mut redactor = Secrets::new(&secrets).redactor();
        lines.iter().map(|line| redactor.line(line)).collect()
    }

    const KEY: &str = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0B\nAQ==\n-----END KEY-----\n";

    #[test]
    fn a_secret_is_hidden_in_every_form() {
        let cases: &[(&str, &str, &[&str], &[&str])] = &[
            ("in a line", "hunter2hunter2", &["pw=hunter2hunter2;"], &["pw=[secret];"]),
            ("with a line end", "hunter2hunter2\n", &["pw=hunter2hunter2;"], &["pw=[secret];"]),
            ("too short to distinguish from text", "short", &["a short word"], &["a short word"]),
            (
                "over lines",
                KEY,
                &["key:", "-----BEGIN KEY-----", "MIIEvQIBADANBgkq", "hkiG9w0B", "AQ==", "-----END KEY-----", "done"],
                &["key:", "[secret]", "[secret]", "[secret]", "[secret]", "[secret]", "done"],
            ),
            ("over lines, in one", KEY, &[KEY], &["[secret]"]),
            (
                "with something before each line",
                KEY,
                &["1 MIIEvQIBADANBgkq", "2 hkiG9w0B"],
                &["1 [secret]", "2 [secret]"],
            ),
            ("as text in JSON", "a\"quoted\"value", &[r#"{"k":"a\"quoted\"value"}"#], &[r#"{"k":"[secret]"}"#]),
            ("cut off", "hunter2hunter2", &["the end: hunter2hu"], &["the end: [secret]"]),
            ("a longer one that begins like it", "hunter2hunter2", &["hunter2hunter1"], &["hunter2hunter1"]),
        ];
        for (name, secret, lines, expected) in cases {
            assert_eq!(redacted(&[secret], lines), *expected, "{name}");
        }
        let both = redacted(&["hunter2hunter2", "hunter2hunter2more"], &["pw=hunter2hunter2more;"]);
        assert_eq!(both, ["pw=[secret];"], "the longer of two");
    }

    #[test]
    fn base64_is_hidden_with_any_surrounding_text_and_any_wrapping() {
        for value in ["hunter2hunter2", KEY] {
            for before in ["", "a", "ab", "user:"] {
                for after in ["", ":x", "yz"] {
                    let encoded = STANDARD.encode(format!("{before}{value}{after}"));
                    let (one, two) = encoded.split_at(encoded.len() / 2);
                    let shown = redacted(&[value], &[&encoded, "", one, two]).concat().replace(HIDDEN, "");
                    let begin = (before.len() * 8).div_ceil(6);
                    let core = &encoded[begin..(before.len() + value.len()) * 8 / 6];
                    let seen = core.as_bytes().windows(8).any(|part| shown.contains(&*String::from_utf8_lossy(part)));
                    assert!(!seen, "{before:?} {after:?}: {shown}");
                }
            }
        }
    }

    /// Secrets are letters and everything else is digits, so every letter in the output belongs to a secret.
    #[test]
    fn at_most_the_first_seven_characters_of_a_secret_split_across_lines_are_shown() {
        let mut random = StdRng::seed_from_u64(7);
        let word = |random: &mut StdRng, length: usize| -> String {
            (0..length).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
        };
        for _ in 0..300 {
            let length = random.random_range(SHORTEST..200);
            let mut secret = word(&mut random, length);
            // Some secrets contain line ends.
            for at in (1..length).rev().filter(|_| random.random_bool(0.05)).collect::<Vec<_>>() {
                secret.insert(at, '\n');
            }
            let noise = |random: &mut StdRng| "0123456789 "[..random.random_range(0..11)].to_owned();
            let text = [noise(&mut random), secret.clone(), noise(&mut random)].concat();
            let mut lines = vec![String::new()];
            for c in text.chars() {
                if c == '\n' || random.random_bool(0.1) {
                    lines.push(String::new());
                }
                if c != '\n' {
                    lines.last_mut().expect("there is one").push(c);
                }
            }
            let lines: Vec<_> = lines.iter().map(String::as_str).collect();
            let shown = redacted(&[&secret], &lines).concat().replace(HIDDEN, "");
            let letters: String = shown.chars().filter(|c| !c.is_ascii_digit() && *c != ' ').collect();
            assert!(letters.len() < SHORTEST, "{secret:?} in {lines:?}: {letters:?}");
        }
    }
}
