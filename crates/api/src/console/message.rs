//! The messages of a console. Pure.

use controller::console::{ConsoleInput, TerminalSize};
use serde::Deserialize;
use serde_json::{Value, json};

/// A message of a client. Other operations are unknown to this version.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum ClientMessage {
    Stdin { data: String },
    Resize { width: u64, height: u64 },
}

/// What a client wants. `None` for what has no effect: an empty input, which doctl sends to stay connected; a size of 0,
/// which doctl sends if it does not know the size; operations and messages that this version does not understand.
pub(super) fn parse(message: &[u8]) -> Option<ConsoleInput> {
    match serde_json::from_slice(message).ok()? {
        ClientMessage::Stdin { data } if data.is_empty() => None,
        ClientMessage::Stdin { data } => Some(ConsoleInput::Bytes(data.into_bytes().into())),
        ClientMessage::Resize { width: 0, .. } | ClientMessage::Resize { height: 0, .. } => None,
        ClientMessage::Resize { width, height } => {
            let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
            Some(ConsoleInput::Resize(TerminalSize { width, height }))
        }
    }
}

/// A message with output.
pub(super) fn data(text: &str) -> String {
    json!({ "data": text }).to_string()
}

/// A message with a sentence, on a line of its own. The client's terminal is in raw mode, so lines end with `\r\n`. App
/// Platform's clients ignore `failed`.
pub(super) fn failure(sentence: &str) -> String {
    let message: Value = json!({ "data": format!("\r\n{}\r\n", sentence.replace('\n', "\r\n")), "failed": true });
    message.to_string()
}

/// Turns pieces of bytes into text, whichever way characters are split between pieces.
#[derive(Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character, at most 3 bytes.
    held: Vec<u8>,
}

impl Utf8 {
    /// The text that is complete. Replaces invalid bytes. `None` if no character is complete.
    pub fn push(&mut self, piece: &[u8]) -> Option<String> {
        self.held.extend_from_slice(piece);
        let mut text = String::with_capacity(self.held.len());
        let mut left: &[u8] = &self.held;
        loop {
            let error = match std::str::from_utf8(left) {
                Ok(valid) => {
                    text.push_str(valid);
                    left = &[];
                    break;
                }
                Err(error) => error,
            };
            let (valid, rest) = left.split_at(error.valid_up_to());
            text.push_str(&String::from_utf8_lossy(valid));
            left = rest;
            // `None`: the character may be complete with the next piece.
            let Some(invalid) = error.error_len() else { break };
            text.push(char::REPLACEMENT_CHARACTER);
            left = &left[invalid..];
        }
        self.held = left.to_vec();
        (!text.is_empty()).then_some(text)
    }

    /// What is held back, at the end of the output.
    pub fn rest(&mut self) -> Option<String> {
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then(|| char::REPLACEMENT_CHARACTER.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_clients_are_read_and_others_ignored() {
        let bytes = |text: &str| Some(ConsoleInput::Bytes(text.as_bytes().to_vec().into()));
        let size = |width, height| Some(ConsoleInput::Resize(TerminalSize { width, height }));
        for (message, expected) in [
            (r#"{"op":"stdin","data":"l"}"#, bytes("l")),
            (r#"{"op":"stdin","data":"\u0003"}"#, bytes("\x03")),
            (r#"{"op":"stdin","data":"\u003c\r"}"#, bytes("<\r")),
            (r#"{"data":"häuser","op":"stdin","more":1}"#, bytes("häuser")),
            (r#"{"op":"stdin","data":""}"#, None),
            (r#"{"op":"resize","width":120,"height":40}"#, size(120, 40)),
            (r#"{"op":"resize","width":0,"height":0}"#, None),
            (r#"{"op":"resize","width":80,"height":0}"#, None),
            (r#"{"op":"resize","width":70000,"height":40}"#, None),
            (r#"{"op":"resize","width":-1,"height":40}"#, None),
            (r#"{"op":"resize"}"#, None),
            (r#"{"op":"stdin"}"#, None),
            (r#"{"op":"paste","data":"x"}"#, None),
            ("[]", None),
            ("ls", None),
            ("", None),
        ] {
            assert_eq!(parse(message.as_bytes()), expected, "{message}");
        }
        assert_eq!(parse(b"\xff"), None);
    }

    #[test]
    fn a_sentence_has_a_line_of_its_own_in_a_raw_terminal() {
        let message: Value = serde_json::from_str(&failure("one\ntwo")).expect("JSON");
        assert_eq!(message, json!({ "data": "\r\none\r\ntwo\r\n", "failed": true }));
    }

    #[test]
    fn text_is_the_same_wherever_it_is_split() {
        let text = "aé€🚢\u{0}\u{1b}[31mz";
        let whole = text.as_bytes();
        for first in 0..=whole.len() {
            for second in first..=whole.len() {
                let mut utf8 = Utf8::default();
                let pieces = [&whole[..first], &whole[first..second], &whole[second..]];
                let read: String = pieces.iter().filter_map(|piece| utf8.push(piece)).collect();
                assert_eq!((read.as_str(), utf8.rest()), (text, None), "{first} {second}");
            }
        }
    }

    #[test]
    fn invalid_bytes_are_replaced_and_an_incomplete_character_is_held_back() {
        for (pieces, expected, rest) in [
            (vec![&b"a\xffb"[..]], "a\u{fffd}b", None),
            (vec![b"\xe2\x82", b"x"], "\u{fffd}x", None),
            (vec![b"\xf0", b"\x9f", b"\x9a", b"\xa2"], "🚢", None),
            (vec![b"a\xe2\x82"], "a", Some("\u{fffd}")),
            (vec![b"\x80\x80"], "\u{fffd}\u{fffd}", None),
            (vec![b"", b""], "", None),
        ] {
            let mut utf8 = Utf8::default();
            let text: String = pieces.iter().filter_map(|piece| utf8.push(piece)).collect();
            assert_eq!((text.as_str(), utf8.rest().as_deref()), (expected, rest), "{pieces:?}");
            assert!(utf8.held.len() < 4);
        }
    }
}
