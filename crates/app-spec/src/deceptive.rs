//! Characters that a display does not show as they are.

/// Whether a character controls a terminal, ends a line, changes the direction of text, or is invisible. Characters
/// that join letters or emoji are allowed.
pub fn is_deceptive(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends_a_line = matches!(c, '\u{2028}' | '\u{2029}');
    let is_unseen = matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || turns || ends_a_line || is_unseen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_controls_and_hidden_characters_are_deceptive_and_letters_and_emoji_are_not() {
        for c in ['\n', '\u{1b}', '\u{9b}', '\u{61c}', '\u{202e}', '\u{2028}', '\u{2029}', '\u{e0041}', '\u{feff}'] {
            assert!(is_deceptive(c), "{c:?}");
        }
        assert!(!"aä漢👩\u{200d}💻می\u{200c}خ ".contains(is_deceptive));
    }
}
