//! A text that ends in a block scalar, with or without a final line end, reads as in libyaml.
#![allow(clippy::unwrap_used)]

use app_spec::{AppSpec, EnvValue};

/// The text after `value:` at the end of a spec, and the value that libyaml 0.2.5 reads there.
const ENDINGS: [(&str, &str); 51] = [
    ("|\n    a\n    b", "a\nb"),
    ("|\n    a", "a"),
    ("|-\n    a", "a"),
    ("|+\n    a", "a"),
    (">\n    a\n    b", "a b"),
    (">-\n    a", "a"),
    (">+\n    a", "a"),
    ("|\n    a\n", "a\n"),
    ("|+\n    a\n", "a\n"),
    ("|\n    a\n    ", "a\n"),
    ("|+\n    a\n    ", "a\n"),
    (">+\n    a\n    ", "a\n"),
    ("|-\n    a\n    ", "a"),
    ("|\n    a\n  ", "a\n"),
    ("|+\n    a\n  ", "a\n"),
    ("|\n    a\n      ", "a\n  "),
    ("|+\n    a\n      ", "a\n  "),
    ("|+\n    a\n\n    ", "a\n\n"),
    ("|+\n    a\n\n", "a\n\n"),
    ("|\n    a\n\n  ", "a\n"),
    ("|\n    a  ", "a  "),
    ("|\n    a\n    \t", "a\n\t"),
    ("|2\n      a", "  a"),
    ("|2+\n      a", "  a"),
    ("|+2\n    a", "a"),
    ("|2-\n    a", "a"),
    ("|", ""),
    ("|+", ""),
    (">-", ""),
    ("|\n", ""),
    ("|+\n", ""),
    ("|+\n\n", "\n"),
    ("|\n    ", ""),
    ("|+\n\n    ", "\n"),
    (">+\n\n\n", "\n\n"),
    ("| # c\n    a", "a"),
    ("|+ # c\n    a", "a"),
    ("|\n    a\n# c", "a\n"),
    ("|+\n    a\n  # c", "a\n"),
    ("|\n    # a", "# a"),
    ("|\n    | a", "| a"),
    ("|\n\n    a", "\na"),
    (">\n\n    a\n\n\n    b\n      c", "\na\n\nb\n  c"),
    ("|\r\n    a\r\n    b", "a\nb"),
    ("|+\r\n    a\r\n\r\n    ", "a\n\n"),
    ("|+\r\n\r\n", "\n"),
    ("|\r    a\r    b", "a\nb"),
    ("|+\r\r", "\n"),
    ("\n    |\n    a", "a"),
    ("|\n    ä\n    😀", "ä\n😀"),
    ("|\n    a\n...", "a\n"),
];

/// A spec that ends in `value:` and the given text, with the same kind of line ends. The second form also has a comment
/// and more fields, in a different order.
fn texts(value: &str) -> [String; 2] {
    let ends = if value.contains("\r\n") { "\r\n" } else { ["\n", "\r"][usize::from(value.contains('\r'))] };
    let before = ["- key: A\n  ", "- # first\n  scope: RUN_TIME\n  key: A\n\n  "];
    before.map(|before| format!("name: shop\nenvs:\n{before}value: ").replace('\n', ends) + value)
}

fn value(text: &str) -> String {
    let spec = AppSpec::from_yaml(text).unwrap_or_else(|e| panic!("{text:?}: {e}")).spec;
    match &spec.envs[0].value {
        EnvValue::Plain(text) => text.clone(),
        other => panic!("{text:?}: {other:?}"),
    }
}

#[test]
fn a_block_at_the_end_of_a_text_reads_as_in_libyaml() {
    for (written, wanted) in ENDINGS {
        for text in texts(written) {
            assert_eq!(value(&text), wanted, "{text:?}");
            assert_eq!(value(&format!("\u{feff}{text}")), wanted, "{text:?} after a byte order mark");
            let other: serde_yaml::Value = serde_yaml::from_str(&text).unwrap();
            assert_eq!(other["envs"][0]["value"].as_str(), Some(wanted), "another reader, {text:?}");
        }
    }
}
