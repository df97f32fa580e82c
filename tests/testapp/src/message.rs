//! The heads of HTTP/1.1 messages: reads a request's, writes a response's. Bodies are `body`'s business.

use std::io::{self, BufRead, Read, Write};

/// A head longer than this is refused.
const HEAD_LIMIT: u64 = 16 * 1024;

/// A request up to the empty line.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    query: String,
    http_1_0: bool,
    headers: Vec<(String, String)>,
}

/// Why there is no request to answer.
#[derive(Debug)]
pub enum NoRequest {
    /// The other side is done, or went away, or was silent for too long.
    Closed,
    /// What came is not HTTP/1.1.
    Malformed(&'static str),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> NoRequest {
        NoRequest::Closed
    }
}

impl Request {
    /// Reads the next request's head.
    pub fn read(from: &mut impl BufRead) -> Result<Request, NoRequest> {
        let mut head = from.take(HEAD_LIMIT);
        let first = line(&mut head)?;
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(NoRequest::Malformed("the first line is no request line"));
        };
        let http_1_0 = match version {
            "HTTP/1.1" => false,
            "HTTP/1.0" => true,
            _ => return Err(NoRequest::Malformed("only HTTP/1.1 is spoken here")),
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request =
            Request { method: method.into(), path: path.into(), query: query.into(), http_1_0, headers: Vec::new() };
        loop {
            let line = line(&mut head)?;
            if line.is_empty() {
                return Ok(request);
            }
            let (name, value) = line.split_once(':').ok_or(NoRequest::Malformed("a header has no colon"))?;
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// The header of this name, which must be given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The value of a query parameter, percent-decoded.
    pub fn query(&self, key: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == key).then(|| percent_decoded(value))
        })
    }

    /// A query parameter as a number; `otherwise` where it is absent.
    pub fn number(&self, key: &str, otherwise: u64) -> Result<u64, String> {
        let Some(text) = self.query(key) else { return Ok(otherwise) };
        text.parse().map_err(|_| format!("{key} must be a whole number, not {text:?}\n"))
    }

    pub fn keeps_alive(&self) -> bool {
        let wants = |word: &str| {
            self.header("connection").is_some_and(|value| value.split(',').any(|w| w.trim().eq_ignore_ascii_case(word)))
        };
        if self.http_1_0 { wants("keep-alive") } else { !wants("close") }
    }

    /// Whether the other side understands chunks.
    pub fn takes_chunks(&self) -> bool {
        !self.http_1_0
    }
}

/// One line without its end. A head that stops short, or is too long, is malformed.
fn line(head: &mut impl BufRead) -> Result<String, NoRequest> {
    let mut bytes = Vec::new();
    if head.read_until(b'\n', &mut bytes)? == 0 {
        return Err(NoRequest::Closed);
    }
    if bytes.pop() != Some(b'\n') {
        return Err(NoRequest::Malformed("the head is too long or stops in the middle of a line"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| NoRequest::Malformed("the head is not text"))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// How a response's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Bytes(usize),
    Chunks,
    /// Up to the end of the connection, for HTTP/1.0.
    Rest,
}

/// Writes a response's head. `request_id` is what the request named itself, given back.
pub fn write_head(
    to: &mut impl Write,
    status: u16,
    length: Length,
    request_id: Option<&str>,
    keep: bool,
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} {}\r\ncontent-type: text/plain; charset=utf-8\r\n", reason(status));
    match length {
        // These two have no body, and may not claim one.
        Length::Bytes(_) if status == 204 || status == 304 => {}
        Length::Bytes(count) => head.push_str(&format!("content-length: {count}\r\n")),
        Length::Chunks => head.push_str("transfer-encoding: chunked\r\n"),
        Length::Rest => {}
    }
    if let Some(id) = request_id {
        head.push_str(&format!("x-request-id: {id}\r\n"));
    }
    if !keep {
        head.push_str("connection: close\r\n");
    }
    head.push_str("\r\n");
    to.write_all(head.as_bytes())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        426 => "Upgrade Required",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<Request, NoRequest> {
        Request::read(&mut text.as_bytes())
    }

    #[test]
    fn a_request_is_taken_apart() {
        let request = read("GET /env?key=A%20B+C&x HTTP/1.1\r\nHost: a\r\nX-Request-Id:  7 \r\n\r\n").unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/env"));
        assert_eq!(request.query("key").as_deref(), Some("A B C"));
        assert_eq!(request.query("x").as_deref(), Some(""));
        assert_eq!(request.header("x-request-id"), Some("7"));
    }

    #[test]
    fn connections_are_kept_unless_told_otherwise() {
        assert!(read("GET / HTTP/1.1\r\n\r\n").unwrap().keeps_alive());
        assert!(!read("GET / HTTP/1.1\r\nConnection: Close\r\n\r\n").unwrap().keeps_alive());
        assert!(!read("GET / HTTP/1.0\r\n\r\n").unwrap().keeps_alive());
        assert!(read("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").unwrap().keeps_alive());
    }

    #[test]
    fn half_a_head_is_not_a_request() {
        assert!(matches!(read(""), Err(NoRequest::Closed)));
        assert!(matches!(read("GET / HTTP/1.1\r\nHost: a\r\n"), Err(NoRequest::Closed)));
        assert!(matches!(read("GET / HTTP/1.1\r\nHo"), Err(NoRequest::Malformed(_))));
        assert!(matches!(read("hello\r\n\r\n"), Err(NoRequest::Malformed(_))));
        let endless = format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(20_000));
        assert!(matches!(read(&endless), Err(NoRequest::Malformed(_))));
    }

    #[test]
    fn a_stray_percent_sign_stays() {
        assert_eq!(percent_decoded("50%&%zz%é"), "50%&%zz%é");
    }
}
