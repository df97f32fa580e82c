//! Whether a formatted text is still the text that it was.

use crate::tree::{Entry, Kind, Node};

/// Whether two trees mean the same, whatever the order of their keys.
pub(super) fn means_the_same(one: &Node, other: &Node) -> bool {
    match (&one.kind, &other.kind) {
        (Kind::Scalar(one), Kind::Scalar(other)) => one.text == other.text && one.plain == other.plain,
        (Kind::Sequence(one), Kind::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| means_the_same(one, other))
        }
        (Kind::Mapping(one), Kind::Mapping(other)) => {
            let (one, other) = (sorted(one), sorted(other));
            let same =
                |(one, other): (&&Entry, &&Entry)| one.key == other.key && means_the_same(&one.value, &other.value);
            one.len() == other.len() && one.iter().zip(&other).all(same)
        }
        _ => false,
    }
}

fn sorted(entries: &[Entry]) -> Vec<&Entry> {
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by_key(|entry| &entry.key);
    sorted
}

/// Whether two texts hold the same characters, each as often, but for blanks and what gives a text its form. So no
/// comment is lost.
pub(super) fn holds_the_same(one: &str, other: &str) -> bool {
    counted(one) == counted(other)
}

fn counted(text: &str) -> [usize; 256] {
    let mut counts = [0; 256];
    for byte in text.bytes().filter(|byte| !b" \t\r\n,:+-[]{}".contains(byte)) {
        counts[usize::from(byte)] += 1;
    }
    counts
}
