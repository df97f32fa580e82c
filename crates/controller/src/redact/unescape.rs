//! A text as its reader understands it: with the escapes of JSON, HTML and URLs decoded.

/// A text after decoding. Without line ends, which JSON and URLs escape too.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub bytes: Vec<u8>,
    /// Where each byte begins in the text, and at last where the decoded part of the text ends.
    pub starts: Vec<usize>,
}

/// A way to write characters as others.
struct Notation {
    /// The first character of every escape.
    marker: u8,
    escape: fn(&[u8]) -> Escape,
}

/// What begins at a marker.
enum Escape {
    /// An escape of this length.
    Char(char, usize),
    Byte(u8, usize),
    /// The marker stands for itself.
    None,
    /// The text ends within an escape.
    CutOff,
}

/// How often JSON is decoded: a log line in JSON may contain another text in JSON.
const JSON_DEPTH: usize = 2;

impl Reading {
    /// All readings of the text. The first is the text itself, and there are no others without a marker in it.
    pub fn all(text: &[u8]) -> impl Iterator<Item = Self> {
        let mut plain = vec![Self { bytes: text.to_vec(), starts: (0..=text.len()).collect() }];
        for depth in 0..JSON_DEPTH {
            plain.extend(plain.get(depth).and_then(|it| it.decoded(&JSON)));
        }
        let inner: Vec<_> = plain.iter().flat_map(|it| [&HTML, &URL].map(|notation| it.decoded(notation))).collect();
        plain.into_iter().chain(inner.into_iter().flatten())
    }

    /// `None`: the text has no marker of this notation.
    fn decoded(&self, notation: &Notation) -> Option<Self> {
        self.bytes.contains(&notation.marker).then_some(())?;
        let mut decoded = Self { bytes: Vec::with_capacity(self.bytes.len()), starts: Vec::new() };
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let escape = match *byte == notation.marker {
                true => (notation.escape)(&self.bytes[at..]),
                false => Escape::None,
            };
            let mut utf8 = [0; 4];
            let (meaning, length) = match escape {
                Escape::Char(c, length) => (c.encode_utf8(&mut utf8).as_bytes(), length),
                Escape::Byte(ref it, length) => (std::slice::from_ref(it), length),
                Escape::None => (std::slice::from_ref(byte), 1),
                Escape::CutOff => break,
            };
            for it in meaning.iter().filter(|it| !super::is_line_end(**it)) {
                decoded.bytes.push(*it);
                decoded.starts.push(self.starts[at]);
            }
            at += length;
        }
        decoded.starts.push(self.starts[at]);
        Some(decoded)
    }
}

/// RFC 8259, section 7. Also `\xHH` for a byte, as in logs of nginx, and any other escaped punctuation.
const JSON: Notation = Notation { marker: b'\\', escape: json };

fn json(text: &[u8]) -> Escape {
    let c = match text.get(1) {
        None => return Escape::CutOff,
        Some(b'u') => return unicode(text),
        Some(b'x') => {
            return number(&text[2..], 16, 2).map_or_else(|| cut_off(&text[2..], 2), |it| Escape::Byte(it as u8, 4));
        }
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(punctuation) if punctuation.is_ascii_punctuation() => char::from(*punctuation),
        Some(_) => return Escape::None,
    };
    Escape::Char(c, 2)
}

/// `\uHHHH`, or two of them for a surrogate pair.
fn unicode(text: &[u8]) -> Escape {
    let Some(first) = number(&text[2..], 16, 4) else { return cut_off(&text[2..], 4) };
    if let Some(c) = char::from_u32(first) {
        return Escape::Char(c, 6);
    }
    let second = &text[6..];
    let low = second.strip_prefix(br"\u").map(|digits| (number(digits, 16, 4), digits));
    match low {
        Some((Some(low), _)) => {
            let pair = char::decode_utf16([first as u16, low as u16]).next().and_then(Result::ok);
            pair.map_or(Escape::None, |c| Escape::Char(c, 12))
        }
        Some((None, digits)) => cut_off(digits, 4),
        None if br"\u".starts_with(second) => Escape::CutOff,
        None => Escape::None,
    }
}

/// The named references that encoders write, and all numeric ones.
const HTML: Notation = Notation { marker: b'&', escape: html };

/// More than the longest reference has: `&#x10FFFF;`.
const LONGEST_REFERENCE: usize = 12;

fn html(text: &[u8]) -> Escape {
    let head = &text[..text.len().min(LONGEST_REFERENCE)];
    let Some(end) = head.iter().position(|it| *it == b';') else {
        let is_open =
            text.len() < LONGEST_REFERENCE && text[1..].iter().all(|it| it.is_ascii_alphanumeric() || *it == b'#');
        return if is_open { Escape::CutOff } else { Escape::None };
    };
    let c = match &text[1..end] {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16, digits.len()).and_then(char::from_u32),
        [b'#', digits @ ..] => number(digits, 10, digits.len()).and_then(char::from_u32),
        _ => None,
    };
    c.map_or(Escape::None, |c| Escape::Char(c, end + 1))
}

/// RFC 3986, section 2.1.
const URL: Notation = Notation { marker: b'%', escape: url };

fn url(text: &[u8]) -> Escape {
    number(&text[1..], 16, 2).map_or_else(|| cut_off(&text[1..], 2), |it| Escape::Byte(it as u8, 3))
}

/// The number that these first digits are.
fn number(text: &[u8], radix: u32, digits: usize) -> Option<u32> {
    let text = std::str::from_utf8(text.get(..digits)?).ok()?;
    let is_digits = text.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(text, radix).ok().filter(|_| is_digits)
}

/// For a text that does not begin with as many hexadecimal digits.
fn cut_off(text: &[u8], digits: usize) -> Escape {
    let is_open = text.len() < digits && text.iter().all(u8::is_ascii_hexdigit);
    if is_open { Escape::CutOff } else { Escape::None }
}
