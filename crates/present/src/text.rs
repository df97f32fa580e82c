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

/// `512.00 MiB`, `2.00 GiB`, `17 B`.
pub fn binary_size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        ..0x400 => return format!("{bytes} B"),
        0x400..0x10_0000 => (0x400_u64, "KiB"),
        0x10_0000..0x4000_0000 => (0x10_0000, "MiB"),
        _ => (0x4000_0000, "GiB"),
    };
    format!("{}.{:02} {name}", bytes / unit, bytes % unit * 100 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1000, 48_211, 1_234_567].map(grouped), ["0", "999", "1,000", "48,211", "1,234,567"]);
    }

    #[test]
    fn sizes_have_the_largest_fitting_unit() {
        let sizes = [0, 1023, 1024, 1536, 512 << 20, 5 << 30].map(binary_size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.00 KiB", "1.50 KiB", "512.00 MiB", "5.00 GiB"]);
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
