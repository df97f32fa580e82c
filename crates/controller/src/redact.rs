//! Replacing secrets in text that arrives line by line.
//!
//! A secret may span several lines (a PEM key), may be wrapped by the program that prints it, may be encoded in base64, or may
//! contain characters that JSON, HTML or a URL escapes. So the lines of a stream are searched as one text without line ends,
//! as it is and with its escapes decoded. No line is delayed: if a line ends with the start of a secret, that start is hidden
//! at once, and the search continues in the next line.
//!
//! - `unescape`: decodes escapes, and knows where each decoded byte was.

mod unescape;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use unescape::Reading;

/// The shortest secret that is hidden, in bytes; shorter values are too common in ordinary text. If a secret is split across
/// lines, up to one byte less than this may be shown.
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
        let Found { hidden, carry_from } = self.secrets.0.find(&text);
        let shown = rest_of(line, &hidden[before..]);
        self.carry = text.split_off(carry_from);
        shown
    }
}

/// Positions of secrets in a text.
struct Found {
    /// One flag per byte.
    hidden: Vec<bool>,
    /// Where a secret may start that the end of the text cuts off.
    carry_from: usize,
}

impl Patterns {
    fn find(&self, text: &[u8]) -> Found {
        let mut found = Found { hidden: vec![false; text.len()], carry_from: text.len() };
        for reading in Reading::all(text) {
            self.find_in(&reading, &mut found);
        }
        found
    }

    fn find_in(&self, reading: &Reading, found: &mut Found) {
        let (bytes, starts) = (&reading.bytes, &reading.starts);
        let mut carry_from = starts[bytes.len().saturating_sub(SHORTEST - 1)];
        for (at, head) in bytes.windows(SHORTEST).enumerate() {
            let head: &[u8; SHORTEST] = head.try_into().expect("a window has this length");
            for pattern in self.by_head.get(head).into_iter().flatten().map(|it| &self.all[*it]) {
                let rest = &bytes[at..];
                let length = rest.len().min(pattern.len());
                if rest[..length] != pattern[..length] {
                    continue;
                }
                let is_cut_off = length < pattern.len();
                let end = if is_cut_off { found.hidden.len() } else { starts[at + length] };
                found.hidden[starts[at]..end].fill(true);
                if is_cut_off {
                    carry_from = carry_from.min(starts[at]);
                }
            }
        }
        found.carry_from = found.carry_from.min(carry_from);
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

    /// Texts as these encoders write them.
    const ESCAPED: &[(&str, &str, &[&str])] = &[
        (
            "a URL",
            "postgres://u:canary-pw@h/db?a=b&c=<d>",
            &[
                r"postgres:\/\/u:canary-pw@h\/db?a=b&c=<d>",                       // PHP
                r"postgres:\/\/u:canary-pw@h\/db?a=b\u0026c=\u003Cd\u003E",        // PHP, JSON_HEX_TAG
                r"postgres://u:canary-pw@h/db?a=b\u0026c=\u003cd\u003e",           // Go
                r"postgres://u:canary-pw@h/db?a\u003db\u0026c\u003d\u003cd\u003e", // Gson
                "postgres://u:canary-pw@h/db?a=b&amp;c=&lt;d&gt;",                 // HTML
                "postgres:&#x2F;&#x2F;u:canary-pw@h&#x2F;db?a&#x3D;b&amp;c&#x3D;&lt;d&gt;", // Mustache
                r"postgres://u:canary-pw@h/db?a=b\u0026amp;c=\u0026lt;d\u0026gt;", // Go, of HTML
                "postgres%3A%2F%2Fu%3Acanary-pw%40h%2Fdb%3Fa%3Db%26c%3D%3Cd%3E",   // JavaScript, encodeURIComponent
                "postgres%3a%2f%2fu%3acanary-pw%40h%2fdb%3fa%3db%26c%3d%3cd%3e",   // .NET, UrlEncode
                r"postgres:\\\/\\\/u:canary-pw@h\\\/db?a=b&c=<d>",                 // PHP, JSON in JSON
            ],
        ),
        (
            "letters of other languages",
            "pässwörd-canary-ü-😀",
            &[
                r"p\u00e4ssw\u00f6rd-canary-\u00fc-\ud83d\ude00",      // Python, PHP
                r"p\u00E4ssw\u00F6rd-canary-\u00FC-\uD83D\uDE00",      // Jackson, .NET
                r"p\\u00e4ssw\\u00f6rd-canary-\\u00fc-\\ud83d\\ude00", // Python, JSON in JSON
                r"p\xC3\xA4ssw\xC3\xB6rd-canary-\xC3\xBC-\xF0\x9F\x98\x80", // nginx
                "p&#228;ssw&#246;rd-canary-&#252;-&#128512;",
                "p%C3%A4ssw%C3%B6rd-canary-%C3%BC-%F0%9F%98%80",
            ],
        ),
        (
            "quotation marks and a backslash",
            r#"a"quoted"\'value'"#,
            &[
                r#"a\"quoted\"\\'value'"#,
                r"a\u0022quoted\u0022\\\u0027value\u0027", // .NET
                r"a\x22quoted\x22\x5C'value'",             // nginx
                r#"a&quot;quoted&quot;\&#39;value&#39;"#,
                r"a&#34;quoted&#34;\&apos;value&apos;",
            ],
        ),
        (
            "lines",
            KEY,
            &[
                r"-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0B\nAQ==\n-----END KEY-----",
                r"-----BEGIN KEY-----\u000aMIIEvQIBADANBgkq\u000ahkiG9w0B\u000aAQ\u003d\u003d\u000a-----END KEY-----",
                "-----BEGIN%20KEY-----%0AMIIEvQIBADANBgkq%0AhkiG9w0B%0AAQ%3D%3D%0A-----END%20KEY-----",
            ],
        ),
        ("base64", "????>>>>~~~~", &[r"Pz8\/Pz4+Pj5+fn5+", "Pz8%2FPz4%2BPj5%2Bfn5%2B"]),
    ];

    #[test]
    fn a_secret_is_hidden_however_its_characters_are_escaped() {
        for (name, secret, texts) in ESCAPED {
            for text in *texts {
                let shown = redacted(&[secret], &[&format!("{{\"k\":\"{text}\"}}"), "next"]);
                assert_eq!(shown, [r#"{"k":"[secret]"}"#, "next"], "{name}: {text}");
            }
        }
    }

    #[test]
    fn an_escaped_secret_that_is_split_across_lines_shows_at_most_its_first_seven_characters() {
        for (name, secret, texts) in ESCAPED {
            for text in *texts {
                for at in (1..text.len()).filter(|at| text.is_char_boundary(*at)) {
                    let (one, two) = text.split_at(at);
                    let shown = redacted(&[secret], &[one, two, "next"]);
                    let head = shown[0].replace(HIDDEN, "");
                    // The longest escape of a character has twelve characters.
                    assert!(head.len() < SHORTEST * 12 && text.starts_with(&head), "{name}: {one} {two}: {shown:?}");
                    let read = Reading::all(head.as_bytes()).map(|it| it.bytes.len()).min().unwrap_or_default();
                    assert!(read < SHORTEST, "{name}: {one} {two}: {shown:?}");
                    assert_eq!(shown[1..], [HIDDEN, "next"], "{name}: {one} {two}");
                }
            }
        }
    }

    #[test]
    fn what_only_looks_like_an_escape_is_shown_as_it_is() {
        for line in [
            r"C:\users\new \",
            r"\u12 \uzzzz \ud83d \ude00 \u",
            "100% %zz % &",
            "a & b &amp &#; &#x; &#1114112;",
            "&#65",
        ] {
            assert_eq!(redacted(&["hunter2hunter2"], &[line, line]), [line, line]);
        }
        let literal = r"%41\n&amp;\u0041 hunter2";
        assert_eq!(redacted(&[literal], &[literal]), [HIDDEN], "a secret that contains escapes");
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
