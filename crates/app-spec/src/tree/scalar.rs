//! The meaning of unquoted scalars in YAML 1.2's core schema, and the words that YAML 1.1 reads differently.

/// The meaning of an unquoted scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Plain {
    Null,
    Bool(bool),
    /// Fits into 64 bits. A larger integer is a [`Plain::Number`].
    Integer(i64),
    Number(f64),
    Text,
}

impl Plain {
    /// Applies the core schema: `null ~ true False 12 -3 0o17 0x1F 1.5 .inf`.
    pub fn of(text: &str) -> Plain {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
            "true" | "True" | "TRUE" => return Plain::Bool(true),
            "false" | "False" | "FALSE" => return Plain::Bool(false),
            _ => {}
        }
        if let Some(integer) = integer(text) {
            return Plain::Integer(integer);
        }
        match number(text) {
            Some(number) => Plain::Number(number),
            None => Plain::Text,
        }
    }
}

fn integer(text: &str) -> Option<i64> {
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal, 8);
    }
    if let Some(hex) = text.strip_prefix("0x") {
        return digits(hex, 16);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all_digits = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

/// `from_str_radix` would also accept a sign after the prefix.
fn digits(text: &str, radix: u32) -> Option<i64> {
    let valid = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    if valid { i64::from_str_radix(text, radix).ok() } else { None }
}

fn number(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" => return Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ if matches!(text, ".nan" | ".NaN" | ".NAN") => return Some(f64::NAN),
        _ => {}
    }
    // Rust's parser also accepts "inf", "nan" and "infinity", which are text in YAML.
    let numeric = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'));
    let starts_well = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if numeric && starts_well && unsigned.bytes().any(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Whether some YAML reader does not read unquoted `text` as text: YAML 1.1 reads `on`, `no` and `1:30` as other types.
pub(crate) fn is_ambiguous(text: &str) -> bool {
    Plain::of(text) != Plain::Text || is_old_boolean(text) || is_old_number(text)
}

/// Whether YAML 1.1 reads the word as a boolean.
pub(crate) fn is_old_boolean(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether YAML 1.1 may read the text as a number or date: underscores, base 60, dates, `0b11`. Such a text begins like
/// a number and contains only characters of numbers and dates. `0.0.0.0` and `1.2.3` are text for every reader.
fn is_old_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts_like_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let is_address = unsigned.matches('.').count() > 1 && !unsigned.contains(':');
    starts_like_number
        && !is_address
        && unsigned.bytes().all(|b| b.is_ascii_hexdigit() || b"._:-+xobTZtz ".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_decides_the_type_of_an_unquoted_scalar() {
        let cases = [
            ("", Plain::Null),
            ("~", Plain::Null),
            ("true", Plain::Bool(true)),
            ("FALSE", Plain::Bool(false)),
            ("8080", Plain::Integer(8080)),
            ("-3", Plain::Integer(-3)),
            ("012", Plain::Integer(12)),
            ("0x1F", Plain::Integer(31)),
            ("0o17", Plain::Integer(15)),
            ("1.10", Plain::Number(1.1)),
            ("1e3", Plain::Number(1000.0)),
            (".5", Plain::Number(0.5)),
            ("on", Plain::Text),
            ("inf", Plain::Text),
            ("0x-1", Plain::Text),
            ("1.2.3", Plain::Text),
            ("-", Plain::Text),
            (".", Plain::Text),
            ("e5", Plain::Text),
        ];
        for (text, wanted) in cases {
            assert_eq!(Plain::of(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn words_that_yaml_1_1_reads_differently_are_ambiguous() {
        for text in ["on", "No", "y", "1:30", "1_000", "2024-01-31", "0b11", "012", "null", ""] {
            assert!(is_ambiguous(text), "{text:?}");
        }
        for text in ["web", "1.27-alpine", "v1", "node-js", "a:b", "main"] {
            assert!(!is_ambiguous(text), "{text:?}");
        }
    }
}
