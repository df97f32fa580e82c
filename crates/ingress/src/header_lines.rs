//! Header lines in the form in which they are written to a connection of HTTP/1.1. An answer of an instance goes to the client
//! in this form, because building a map of its headers would cost more than everything else that is done for a request.

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// The longest name that the `http` crate takes.
const LONGEST_NAME: usize = u16::MAX as usize;

/// Header lines with names in lower case. Every name and value is valid.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderLines {
    text: Vec<u8>,
    pub has_date: bool,
    pub has_request_id: bool,
}

/// A name or a value that no header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoHeader;

impl HeaderLines {
    /// `capacity`: bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        HeaderLines { text: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Appends a line if `keeps` says so, which gets the name in lower case and the value.
    pub fn push<E: From<NoHeader>>(
        &mut self,
        name: &[u8],
        value: &[u8],
        keeps: impl FnOnce(&[u8], &[u8]) -> Result<bool, E>,
    ) -> Result<(), E> {
        if !is_value(value) || !is_name(name) {
            return Err(NoHeader.into());
        }
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.text[start..].make_ascii_lowercase();
        let name = &self.text[start..];
        if keeps(name, value)? {
            self.has_date |= name == b"date";
            self.has_request_id |= name == b"x-request-id";
            for part in [b": ", value, b"\r\n"] {
                self.text.extend_from_slice(part);
            }
        } else {
            self.text.truncate(start);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Removes the lines with these names.
    pub fn remove(&mut self, names: &[HeaderName]) {
        if names.is_empty() {
            return;
        }
        let all = std::mem::take(self);
        for (name, value) in all.iter() {
            let is_kept = !names.iter().any(|it| it.as_str().as_bytes() == name);
            // They were checked when they were added.
            let _ = self.push(name, value, |_, _| Ok::<_, NoHeader>(is_kept));
        }
    }

    /// The same headers as a map.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in self.iter() {
            // Names and values were checked when they were added.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        map
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.text.as_slice();
        std::iter::from_fn(move || {
            // A name contains no colon, and a value no line break.
            let colon = rest.iter().position(|byte| *byte == b':')?;
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = (&rest[..colon], &rest[colon + 2..end - 1]);
            rest = &rest[end + 1..];
            Some(line)
        })
    }
}

/// Whether these bytes may be the value of a header (RFC 9110, 5.5).
fn is_value(bytes: &[u8]) -> bool {
    // Without an early end, the compiler checks many bytes at once.
    bytes.iter().fold(true, |valid, byte| valid & (*byte >= b' ' && *byte != 0x7f || *byte == b'\t'))
}

/// Whether these bytes may be the name of a header (RFC 9110, 5.6.2).
fn is_name(bytes: &[u8]) -> bool {
    let is_token = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
    };
    !bytes.is_empty() && bytes.len() <= LONGEST_NAME && bytes.iter().all(is_token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(given: &[(&str, &[u8])]) -> HeaderLines {
        let mut lines = HeaderLines::default();
        for (name, value) in given {
            lines.push(name.as_bytes(), value, |_, _| Ok::<_, NoHeader>(true)).unwrap();
        }
        lines
    }

    #[test]
    fn lines_have_names_in_lower_case_and_values_as_given() {
        let lines = lines(&[("X-A", b"1: 2"), ("x-a", b""), ("X-B", b"\xff\tz")]);
        assert_eq!(lines.as_bytes(), b"x-a: 1: 2\r\nx-a: \r\nx-b: \xff\tz\r\n");
        let map = lines.to_map();
        assert_eq!(map.get_all("x-a").iter().map(HeaderValue::as_bytes).collect::<Vec<_>>(), [&b"1: 2"[..], b""]);
        assert_eq!(map["x-b"].as_bytes(), b"\xff\tz");
    }

    #[test]
    fn lines_are_left_out_and_removed_by_name() {
        let mut lines = lines(&[("X-A", b"1"), ("X-B", b"2"), ("X-A", b"3")]);
        lines.push(b"X-C", b"4", |name, value| Ok::<_, NoHeader>((name, value) != (b"x-c", b"4"))).unwrap();
        lines.remove(&[HeaderName::from_static("x-a")]);
        assert_eq!(lines.as_bytes(), b"x-b: 2\r\n");
        lines.push(b"Date", b"now", |_, _| Ok::<_, NoHeader>(true)).unwrap();
        assert!(lines.has_date && !lines.has_request_id);
        lines.remove(&[HeaderName::from_static("date")]);
        assert!(!lines.has_date);
    }

    #[test]
    fn exactly_what_the_http_crate_takes_is_taken() {
        for byte in 0..=u8::MAX {
            let bytes = [b'a', byte, b'a'];
            assert_eq!(is_name(&bytes), HeaderName::from_bytes(&bytes).is_ok(), "{byte}");
            assert_eq!(is_value(&bytes), HeaderValue::from_bytes(&bytes).is_ok(), "{byte}");
        }
        for length in [0, 1, LONGEST_NAME, LONGEST_NAME + 1] {
            let name = vec![b'a'; length];
            assert_eq!(is_name(&name), HeaderName::from_bytes(&name).is_ok(), "{length}");
        }
        assert!(is_value(b""));
    }
}
