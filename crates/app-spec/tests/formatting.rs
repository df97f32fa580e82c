//! Formatting loses nothing: every scalar keeps its text and its style, every comment its place, and what is meant stays.
#![allow(clippy::unwrap_used)]

mod written;

use std::path::PathBuf;

use app_spec::{Code, format_spec};
use proptest::collection::vec;
use proptest::prelude::*;
use written::{commented, formatted, formatted_or_left_alone};

/// Texts with everything that people put into specs, right and wrong.
const TEXTS: &str = include_str!("formatting/texts.yaml");

fn texts() -> Vec<&'static str> {
    TEXTS.split("\n=====\n").collect()
}

fn files(folder: &str) -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let text = |path: &PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    paths.iter().map(|path| (path.display().to_string(), text(path))).collect()
}

/// Every comment at the end of a line stays on the line of the same scalars.
fn keeps_comments_beside(name: &str, text: &str) {
    let formatted = formatted(text).unwrap();
    assert_eq!(commented(&formatted), commented(text), "{name}, to\n{formatted}");
}

#[test]
fn nothing_is_lost_from_samples() {
    for (name, text) in files("../../app-spec-samples") {
        if !name.ends_with(".md") {
            keeps_comments_beside(&name, &text);
        }
    }
}

#[test]
fn nothing_is_lost_from_texts_of_all_kinds() {
    for text in texts() {
        formatted(text).unwrap_or_else(|| panic!("refused:\n{text}"));
        let windows = text.replace('\n', "\r\n");
        assert_eq!(format_spec(&windows).unwrap(), format_spec(text).unwrap().replace('\n', "\r\n"));
    }
}

#[test]
fn nothing_is_lost_from_the_corpus() {
    let folder = std::env::var("APP_SPEC_CORPUS").unwrap_or("../../../shared/corpus/app-specs".to_owned());
    let (mut read, mut refused) = (0, Vec::new());
    for (name, text) in files(&folder) {
        match formatted(&text) {
            Some(_) => read += 1,
            None => refused.push(name),
        }
    }
    println!("corpus: {read} formatted, no YAML: {refused:?}");
    assert!(refused.len() <= 2, "{refused:?}");
}

#[test]
fn fields_are_sorted_and_everything_goes_with_its_field() {
    let cases: Vec<&str> = include_str!("formatting/cases.yaml").split("\n=====\n").collect();
    for case in cases {
        let (text, wanted) = case.split_once("\n----->\n").unwrap();
        let (text, wanted) = (format!("{}\n", text.trim_end()), format!("{}\n", wanted.trim_end()));
        assert_eq!(formatted(&text).as_deref(), Some(wanted.as_str()), "from\n{text}");
    }
}

#[test]
fn json_stays_json() {
    let text =
        r#"{"services": [{"name": "web", "http_port": 8.0e1}], "x": "\ud83d\ude00\u0041", "name": "shop", "envs": []}"#;
    let wanted = r#"{
  "name": "shop",
  "envs": [],
  "services": [
    {
      "name": "web",
      "http_port": 8.0e1
    }
  ],
  "x": "\ud83d\ude00\u0041"
}
"#;
    assert_eq!(format_spec(text).unwrap(), wanted);
    assert_eq!(format_spec(wanted).unwrap(), wanted);
    let rows = "{\n\"envs\":[{\"value\":\"1\",\"key\":\"A\"}, {}],\n\"name\":\"shop\"}\n";
    let wanted = "{\n  \"name\": \"shop\",\n  \"envs\": [{\"key\": \"A\", \"value\": \"1\"}, {}]\n}\n";
    assert_eq!(format_spec(rows).unwrap(), wanted);
}

#[test]
fn what_cannot_be_parsed_is_refused_and_what_is_no_block_stays() {
    for text in ["a: [", "", "# only a comment\n", "a: 1\n---\nb: 2\n", "a: *b\n"] {
        assert_eq!(format_spec(text).unwrap_err().first_error().map(|e| e.is_error()), Some(true), "{text}");
    }
    assert_eq!(format_spec(&"x".repeat(300_000)).unwrap_err()[0].code, Code::TooLarge);
    assert_eq!(format_spec("a: 1 # b\u{a0}\n").unwrap(), "a: 1 # b\u{a0}\n");
    for text in ["{name:  shop}", "shop", "'shop'  # it\n", "--- {a: b}\n"] {
        assert_eq!(format_spec(text).unwrap(), text);
    }
    assert_eq!(format_spec("\u{feff}name:   shop").unwrap(), "name: shop\n");
    assert_eq!(format_spec("name:\tshop\nregion: a\tb\n").unwrap(), "name: shop\nregion: a\tb\n");
    let place = format_spec("\u{feff}a: 1\r\nb: [\r\n").unwrap_err()[0].place.unwrap();
    assert_eq!((place.line, place.start), (2, 12), "the bracket");
}

/// A text that looks like a spec, from numbers that decide what comes next.
struct Scribe<'d> {
    dice: std::slice::Iter<'d, u8>,
    text: String,
    anchors: usize,
}

impl Scribe<'_> {
    fn roll(&mut self, sides: u8) -> u8 {
        self.dice.next().map_or(0, |number| number % sides)
    }

    fn pick<'p>(&mut self, words: &[&'p str]) -> &'p str {
        words[usize::from(self.roll(u8::try_from(words.len()).unwrap()))]
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn line_end(&mut self) {
        let end = self.pick(&["\n", "\n", "\n", " # beside\n", "   # far\n", "  \n"]);
        self.push(end);
    }

    fn between(&mut self, indent: usize) {
        for _ in 0..self.roll(4) {
            let column = match self.roll(4) {
                0 => usize::from(self.roll(8)),
                _ => indent,
            };
            let line = self.pick(&["", "", "# above", "#- name: old", " "]);
            self.push(&format!("{}{line}\n", " ".repeat(column)));
        }
    }

    fn mapping(&mut self, indent: usize, depth: usize, behind_dash: bool) {
        const KEYS: [&str; 16] = [
            "services",
            "name",
            "envs",
            "image",
            "key",
            "value",
            "scope",
            "git",
            "x-more",
            "odd",
            "'name'",
            "<<",
            "routes",
            "ingress",
            "http_port",
            "jobs",
        ];
        for index in 0..=self.roll(4) {
            if index > 0 || !behind_dash {
                self.between(indent);
                self.push(&" ".repeat(indent));
            }
            let key = self.pick(&KEYS);
            let colon = self.pick(&[":", ":", ":", " :"]);
            self.push(&format!("{key}{colon}"));
            self.value(indent, depth, true);
        }
    }

    fn sequence(&mut self, indent: usize, depth: usize) {
        for _ in 0..=self.roll(3) {
            self.between(indent);
            self.push(&format!("{}-", " ".repeat(indent)));
            match self.roll(4) {
                0 => self.value(indent, depth + 1, false),
                1 => {
                    let inner = indent + 2 + usize::from(self.roll(3));
                    self.push(&" ".repeat(inner - indent - 1));
                    self.mapping(inner, depth + 1, true);
                }
                _ => {
                    self.push(" ");
                    self.mapping(indent + 2, depth + 1, true);
                }
            }
        }
    }

    fn value(&mut self, indent: usize, depth: usize, of_key: bool) {
        let property = match self.roll(12) {
            0 => format!(" &a{}", self.anchors),
            1 => " !tag".to_owned(),
            _ => String::new(),
        };
        self.anchors += usize::from(property.starts_with(" &"));
        self.push(&property);
        let inner = indent + 1 + usize::from(self.roll(4));
        match self.roll(if depth < 4 { 10 } else { 7 }) {
            0 => self.line_end(),
            1 => self.block_scalar(indent),
            2 => self.flow(indent),
            3 if property.is_empty() => self.alias(),
            4 => self.long_scalar(inner),
            3 | 5 | 6 => self.scalar(),
            7 | 8 => {
                self.line_end();
                self.mapping(inner, depth + 1, false);
            }
            _ => {
                self.line_end();
                let inner = if of_key && self.roll(2) == 0 { indent } else { inner };
                self.sequence(inner, depth + 1);
            }
        }
    }

    fn alias(&mut self) {
        match self.anchors.checked_sub(1) {
            Some(last) => self.push(&format!(" *a{last}")),
            None => self.push(" a"),
        }
        self.line_end();
    }

    fn scalar(&mut self) {
        let scalar = self.pick(&[" a", " 'it''s'", " \"a\\\"b # c\"", " 8080", "  {{ name }}", " ${X}", " ~"]);
        self.push(scalar);
        self.line_end();
    }

    fn long_scalar(&mut self, indent: usize) {
        let pad = " ".repeat(indent);
        match self.roll(3) {
            0 => self.push(&format!(" one\n{pad}two # no\n")),
            1 => self.push(&format!(" \"a\n\n  {pad}b\\\n{pad}\\ c\"")),
            _ => {
                self.line_end();
                self.push(&format!("{pad}below"));
            }
        }
        self.line_end();
    }

    fn block_scalar(&mut self, indent: usize) {
        let header = self.pick(&[" |", " |-", " |+", " >", " >-", " |2", " >1+"]);
        self.push(header);
        self.line_end();
        let least = header.chars().find_map(|c| c.to_digit(10)).map_or(1, |digit| digit as usize);
        let inner = indent + if least > 1 || header.contains('1') { least } else { 1 + usize::from(self.roll(4)) };
        for _ in 0..self.roll(5) {
            let line = self.pick(&["text", "  more  ", "", "# no comment", "- a: b", "\ttab"]);
            let inner = if line.is_empty() { usize::from(self.roll(3)) } else { inner };
            self.push(&format!("{}{line}\n", " ".repeat(inner)));
        }
    }

    fn flow(&mut self, indent: usize) {
        let pad = " ".repeat(indent + 2);
        let end = self.pick(&["", "", "\n", " # in\n", "\n\n"]).to_owned();
        let gap = if end.is_empty() { String::new() } else { format!("{end}{pad}") };
        let inner = self.pick(&["value: 1,KEY : 'x'", "key: {a: [b , c]}", "a, b: , 'c':d", "? x : y", ""]).to_owned();
        let item = self.pick(&["a", "b: c", "{value: 1,key: A}", "[]"]).to_owned();
        let text = match self.roll(3) {
            0 => format!(" {{{gap}{inner}{gap}}}"),
            1 => format!(" [{gap}{item} ,{gap}{item}{gap}]"),
            _ => format!(" [ {item} , {{ {inner} }}, ]"),
        };
        self.push(&text);
        self.line_end();
    }
}

fn scribbled() -> impl Strategy<Value = String> {
    vec(any::<u8>(), 0..160).prop_map(|dice| {
        let mut scribe = Scribe { dice: dice.iter(), text: String::new(), anchors: 0 };
        let indent = usize::from(scribe.roll(8) == 7);
        let start = scribe.pick(&["", "", "", "---\n", "# top\n\n", "--- # c\n", "%YAML 1.2\n---\n"]);
        scribe.push(start);
        scribe.mapping(indent, 0, false);
        let end = scribe.pick(&["", "", "", "# end\n", "...\n", "\n\n# end", "... # end\n"]);
        scribe.push(end);
        scribe.text
    })
}

/// A text with one piece of it cut out, doubled or replaced.
fn broken() -> impl Strategy<Value = String> {
    let texts = texts();
    (0..texts.len(), any::<prop::sample::Index>(), 0..30_usize, "[a-z:\\-{}\\[\\]#&*!|>'\"%@,? \n\t]{0,6}").prop_map(
        move |(text, at, cut, instead)| {
            let characters: Vec<char> = texts[text].chars().collect();
            let at = at.index(characters.len());
            let after = characters.iter().skip(at + cut);
            characters.iter().take(at).copied().chain(instead.chars()).chain(after.copied()).collect()
        },
    )
}

proptest! {
    // No file of failures: what was found becomes a case of its own in the other tests.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_from_scribbled_texts(text in scribbled()) {
        formatted(&text);
    }

    #[test]
    fn nothing_is_lost_from_scribbled_texts_that_break_off(text in scribbled(), cut in 1..4_usize) {
        let length = text.chars().count().saturating_sub(cut);
        formatted_or_left_alone(&text.chars().take(length).collect::<String>());
    }

    #[test]
    fn nothing_is_lost_from_broken_texts(text in prop_oneof![broken(), any::<String>()]) {
        formatted_or_left_alone(&text);
    }
}
