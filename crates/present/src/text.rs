//! Numbers, durations and lists as they appear in sentences.

/// `48,211`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 upload`, `2 uploads`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// `a, b and c`; `None` for an empty list.
pub fn list(items: &[impl AsRef<str>]) -> Option<String> {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    let (last, rest) = items.split_last()?;
    Some(if rest.is_empty() { (*last).to_owned() } else { format!("{} and {last}", rest.join(", ")) })
}

/// `3.2 s`, `2 min 5 s`.
pub fn duration(milliseconds: i64) -> String {
    match milliseconds {
        ..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 48_211, 1_234_567].map(grouped), ["0", "999", "1,000", "48,211", "1,234,567"]);
    }

    #[test]
    fn lists_end_with_and() {
        assert_eq!(list(&["a", "b", "c"]).as_deref(), Some("a, b and c"));
        assert_eq!((list(&["a"]).as_deref(), list(&[""; 0])), (Some("a"), None));
    }

    #[test]
    fn durations_are_short() {
        assert_eq!([0, 950, 3_250, 125_000].map(duration), ["0.0 s", "0.9 s", "3.2 s", "2 min 5 s"]);
    }
}
