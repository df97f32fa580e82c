//! Characters that a display does not show as they are.

/// Whether a character controls a terminal, ends a line, changes the direction of text, or is invisible. Characters
/// that join letters or emoji, or choose between their forms, are allowed.
pub fn is_deceptive(c: char) -> bool {
    let ends_a_line = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || ends_a_line || is_ignorable(c) && !chooses_a_form(c)
}

/// The property `Default_Ignorable_Code_Point` of Unicode 16.0
/// (<https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>). It includes the characters that change the
/// direction of text.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The joiners of Arabic, Indic scripts and emoji, and the variation selectors of emoji, Mongolian and Chinese characters.
fn chooses_a_form(c: char) -> bool {
    let joins = matches!(c, '\u{200c}' | '\u{200d}');
    let selects = matches!(c, '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    joins || selects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_controls_and_hidden_characters_are_deceptive_and_letters_and_emoji_are_not() {
        for c in
            ['\n', '\0', '\u{1b}', '\u{9b}', '\u{61c}', '\u{202e}', '\u{2028}', '\u{2029}', '\u{e0041}', '\u{feff}']
        {
            assert!(is_deceptive(c), "{c:?}");
        }
        for c in
            ['\u{ad}', '\u{115f}', '\u{200b}', '\u{2060}', '\u{2069}', '\u{3164}', '\u{ffa0}', '\u{1d173}', '\u{e0fff}']
        {
            assert!(is_deceptive(c), "invisible: {c:?}");
        }
        assert!(!"aä漢👩\u{200d}💻❤\u{fe0f}می\u{200c}خ葛\u{e0100}ᠠ\u{180b} ".contains(is_deceptive));
    }
}
