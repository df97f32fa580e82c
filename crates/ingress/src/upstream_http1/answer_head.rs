//! The head of an answer (RFC 9112, 4 to 6): status, headers for the client, and how the body ends.

use std::mem::MaybeUninit;

use bytes::Bytes;
use httparse::{Header, ParserConfig, Response, Status};
use hyper::StatusCode;
use hyper::ext::ReasonPhrase;
use hyper::header::HeaderValue;

use super::answer_body::BodyReader;
use crate::header_lines::{HeaderLines, NoHeader};
use crate::headers::{self, NamedHeaders};
use crate::message_writer::may_have_body;
use crate::socket_read::UnreadBytes;

/// Bytes of a head. SECURITY.md states this number.
const HEAD_BYTES: usize = 256 * 1024;
/// Header lines that are read without an allocation.
const USUAL_LINES: usize = 48;

/// Why the bytes are no answer that may be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("the status line or a header is malformed")]
    Malformed,
    #[error("the headers are too long, or there are too many")]
    TooLong,
    #[error("the Content-Length is not one number")]
    Length,
    #[error("there are a Content-Length and a Transfer-Encoding")]
    TwoFramings,
    #[error("the Transfer-Encoding is not chunked, or HTTP/1.0 does not know it")]
    TransferEncoding,
}

impl From<NoHeader> for HeadError {
    fn from(NoHeader: NoHeader) -> Self {
        HeadError::Malformed
    }
}

/// The head of a final answer.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub status: StatusCode,
    /// If it is not the usual one of the status.
    pub reason: Option<ReasonPhrase>,
    /// What the client gets of the headers. They have a length only if that says nothing about the body of this answer, which
    /// knows its length itself.
    pub headers: HeaderLines,
    /// The instance closes the connection after this answer, and says so.
    pub says_close: bool,
    /// The connection may carry another request after this answer.
    pub keeps_connection: bool,
    /// The answer has the headers of a WebSocket.
    pub offers_websocket: bool,
}

/// What stands at the start of the bytes.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// An interim answer, other than 101.
    Interim(StatusCode),
    Final(AnswerHead, BodyReader),
}

/// What decides how an answer is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeadRules {
    /// The request was a HEAD, so its answer has no body.
    pub is_head: bool,
    /// Header lines of an answer.
    pub most_lines: usize,
}

/// The bytes of an answer that were read and not understood yet.
#[derive(Debug, Default)]
pub(crate) struct HeadReader(UnreadBytes);

impl HeadReader {
    pub fn push(&mut self, bytes: Bytes) {
        self.0.push(bytes);
    }

    /// The bytes behind the head.
    pub fn into_rest(self) -> Bytes {
        self.0.into_bytes()
    }

    /// `None`: more bytes are needed.
    pub fn next(&mut self, rules: HeadRules) -> Result<Option<Parsed>, HeadError> {
        if self.0.may_contain_head()
            && let Some((parsed, length)) = parse(self.0.bytes(), rules)?
        {
            self.0.advance(length);
            return Ok(Some(parsed));
        }
        if self.0.set_incomplete() >= HEAD_BYTES { Err(HeadError::TooLong) } else { Ok(None) }
    }
}

/// `None`: the head is not complete.
fn parse(bytes: &Bytes, rules: HeadRules) -> Result<Option<(Parsed, usize)>, HeadError> {
    let mut few = [const { MaybeUninit::uninit() }; USUAL_LINES];
    let few = &mut few[..USUAL_LINES.min(rules.most_lines)];
    match parse_with(bytes, few, rules) {
        Err(HeadError::TooLong) if rules.most_lines > USUAL_LINES => {
            parse_with(bytes, &mut vec![MaybeUninit::uninit(); rules.most_lines], rules)
        }
        result => result,
    }
}

fn parse_with<'b>(
    bytes: &'b Bytes,
    lines: &mut [MaybeUninit<Header<'b>>],
    rules: HeadRules,
) -> Result<Option<(Parsed, usize)>, HeadError> {
    let mut config = ParserConfig::default();
    // A proxy removes such spaces (RFC 9112, 5.1) and replaces line folding with spaces (5.2).
    config.allow_spaces_after_header_name_in_responses(true).allow_obsolete_multiline_headers_in_responses(true);
    let mut response = Response::new(&mut []);
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, lines) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLong),
        Err(_) => return Err(HeadError::Malformed),
    };
    if length > HEAD_BYTES {
        return Err(HeadError::TooLong);
    }
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(HeadError::Malformed)?;
    if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
        // Its headers go nowhere, but must be headers.
        let mut lines = HeaderLines::default();
        for line in response.headers.iter() {
            push(&mut lines, *line, |_, _| Ok(false))?;
        }
        return Ok(Some((Parsed::Interim(status), length)));
    }
    let mut collected = Collected::default();
    let mut lines = HeaderLines::with_capacity(length);
    for line in response.headers.iter() {
        push(&mut lines, *line, |name, value| collected.add(name, value, rules.is_head))?;
    }
    lines.remove(collected.named.names());
    let is_http_10 = response.version == Some(0);
    let body = collected.body(status, is_http_10, rules)?;
    let reason = response.reason.filter(|reason| status.canonical_reason() != Some(reason));
    let reason = reason.map(|text| ReasonPhrase::try_from(text.as_bytes())).transpose();
    let head = AnswerHead {
        status,
        reason: reason.map_err(|_| HeadError::Malformed)?,
        says_close: collected.says_close,
        keeps_connection: !collected.says_close && (!is_http_10 || collected.says_keep_alive),
        offers_websocket: collected.names_upgrade && collected.upgrade == Some(true),
        headers: lines,
    };
    Ok(Some((Parsed::Final(head, body), length)))
}

/// Appends a line that `keeps` keeps, with folded lines joined.
fn push(
    lines: &mut HeaderLines,
    Header { name, value }: Header<'_>,
    mut keeps: impl FnMut(&[u8], &[u8]) -> Result<bool, HeadError>,
) -> Result<(), HeadError> {
    match lines.push(name.as_bytes(), value, &mut keeps) {
        Err(HeadError::Malformed) if value.contains(&b'\n') => lines.push(name.as_bytes(), &joined_lines(value), keeps),
        result => result,
    }
}

fn joined_lines(value: &[u8]) -> Vec<u8> {
    let mut lines = value.split(|byte| *byte == b'\n');
    let mut joined = lines.next().unwrap_or_default().trim_ascii_end().to_vec();
    for line in lines {
        joined.push(b' ');
        joined.extend_from_slice(line.trim_ascii());
    }
    joined
}

/// What the headers of the connection and of the framing say.
#[derive(Debug, Default)]
struct Collected {
    named: NamedHeaders,
    says_close: bool,
    says_keep_alive: bool,
    names_upgrade: bool,
    /// Whether the only `Upgrade` header is `websocket`.
    upgrade: Option<bool>,
    length: Option<u64>,
    is_chunked: bool,
}

impl Collected {
    /// Returns whether the client gets this header. `name`: in lower case. `is_head`: the answer is one to HEAD.
    fn add(&mut self, name: &[u8], value: &[u8], is_head: bool) -> Result<bool, HeadError> {
        match name {
            // The most common one.
            b"connection" if value.eq_ignore_ascii_case(b"keep-alive") => self.says_keep_alive = true,
            b"connection" => {
                let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Malformed)?;
                self.says_close |= headers::has_token(&value, "close");
                self.says_keep_alive |= headers::has_token(&value, "keep-alive");
                self.names_upgrade |= headers::has_token(&value, "upgrade");
                self.named.add(&value);
            }
            b"upgrade" => {
                let is_only = self.upgrade.is_none();
                self.upgrade = Some(is_only && value.eq_ignore_ascii_case(b"websocket"));
            }
            b"transfer-encoding" => {
                if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(HeadError::TransferEncoding);
                }
                self.is_chunked = true;
            }
            b"content-length" => {
                let length = headers::length(value).ok_or(HeadError::Length)?;
                if self.length.replace(length).is_some() {
                    return Err(HeadError::Length);
                }
                return Ok(is_head);
            }
            _ => {}
        }
        Ok(headers::is_for_client(name, value))
    }

    /// How the body ends (RFC 9112, 6.3). An answer with two framings may be an attack, so it is refused.
    fn body(&self, status: StatusCode, is_http_10: bool, rules: HeadRules) -> Result<BodyReader, HeadError> {
        if self.is_chunked && self.length.is_some() {
            return Err(HeadError::TwoFramings);
        }
        if rules.is_head || !may_have_body(status) {
            return Ok(BodyReader::empty());
        }
        match self.length {
            _ if self.is_chunked && is_http_10 => Err(HeadError::TransferEncoding),
            _ if self.is_chunked => Ok(BodyReader::chunked(rules.most_lines)),
            // hyper marks other kinds of bodies with the highest numbers.
            Some(length) if length > u64::MAX - 2 => Err(HeadError::Length),
            Some(length) => Ok(BodyReader::with_length(length)),
            None => Ok(BodyReader::until_close()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rules(is_head: bool) -> HeadRules {
        HeadRules { is_head, most_lines: 512 }
    }

    fn read(text: &str, is_head: bool) -> Result<Option<Parsed>, HeadError> {
        let mut reader = HeadReader::default();
        reader.push(Bytes::copy_from_slice(text.as_bytes()));
        reader.next(rules(is_head))
    }

    fn final_head(text: &str) -> (AnswerHead, BodyReader) {
        match read(text, false).unwrap().unwrap() {
            Parsed::Final(head, body) => (head, body),
            Parsed::Interim(status) => panic!("{status}"),
        }
    }

    #[test]
    fn a_head_in_pieces_is_read_once_it_is_whole() {
        let text = "HTTP/1.1 200 Fine\r\nX-A: 1\r\nX-Folded: a\r\n  b \r\n\t c\r\nContent-Length: 2\r\n\r\nok";
        for step in 1..text.len() {
            let mut reader = HeadReader::default();
            let mut heads = Vec::new();
            for piece in text.as_bytes().chunks(step) {
                reader.push(Bytes::copy_from_slice(piece));
                if heads.is_empty() {
                    heads.extend(reader.next(rules(false)).unwrap());
                }
            }
            let [Parsed::Final(head, body)] = &heads[..] else { panic!("{heads:?}") };
            assert_eq!(head.reason, Some(ReasonPhrase::from_static(b"Fine")));
            assert_eq!(head.headers.as_bytes(), b"x-a: 1\r\nx-folded: a b c\r\n");
            assert_eq!((head.keeps_connection, body.exact_length()), (true, Some(2)));
            assert_eq!(reader.into_rest(), "ok");
        }
    }

    #[test]
    fn interim_answers_stand_before_the_final_one() {
        let mut reader = HeadReader::default();
        let text =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
        reader.push(Bytes::from(text));
        let mut next = || reader.next(rules(false)).unwrap().unwrap();
        assert!(matches!(next(), Parsed::Interim(StatusCode::CONTINUE)));
        assert!(matches!(next(), Parsed::Interim(StatusCode::EARLY_HINTS)));
        assert!(matches!(next(), Parsed::Final(AnswerHead { status: StatusCode::NO_CONTENT, .. }, _)));
        assert!(reader.next(rules(false)).unwrap().is_none());
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let (head, _) = final_head(
            "HTTP/1.1 200 OK\r\nConnection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\nTransfer-Encoding: chunked\r\n\
             X-Boatyard-Error: fake\r\nX-Kept: k\r\nSet-Cookie: a=1\r\nSet-Cookie: boatyard_session_a=s\r\n\r\n",
        );
        assert_eq!(head.headers.as_bytes(), b"x-kept: k\r\nset-cookie: a=1\r\n");
        assert!(head.says_close && !head.keeps_connection && !head.offers_websocket);
    }

    #[test]
    fn the_connection_is_kept_as_the_version_and_the_headers_say() {
        let table = [
            ("HTTP/1.1", "", true),
            ("HTTP/1.1", "Connection: keep-alive\r\nConnection: Close\r\n", false),
            ("HTTP/1.0", "", false),
            ("HTTP/1.0", "Connection: Keep-Alive\r\n", true),
            ("HTTP/1.0", "Connection: close, keep-alive\r\n", false),
        ];
        for (version, lines, kept) in table {
            let (head, _) = final_head(&format!("{version} 200 OK\r\n{lines}\r\n"));
            assert_eq!(head.keeps_connection, kept, "{version} {lines}");
        }
    }

    #[test]
    fn a_websocket_is_offered_by_two_headers() {
        let offers =
            |lines: &str| final_head(&format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n")).0.offers_websocket;
        assert!(offers("Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"));
        for other in [
            "Upgrade: websocket\r\n",
            "Connection: upgrade\r\n",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
        ] {
            assert!(!offers(other), "{other}");
        }
    }

    #[test]
    fn an_answer_that_two_readers_could_frame_differently_is_refused() {
        let many = "X: 1\r\n".repeat(513);
        let long = format!("X: {}\r\n", "x".repeat(HEAD_BYTES));
        let table = [
            ("Content-Length: 1\r\nContent-Length: 1\r\n", HeadError::Length),
            ("Content-Length: 1, 1\r\n", HeadError::Length),
            ("Content-Length: +1\r\n", HeadError::Length),
            ("Content-Length: 18446744073709551615\r\n", HeadError::Length),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", HeadError::TwoFramings),
            ("Transfer-Encoding: gzip\r\n", HeadError::TransferEncoding),
            ("Transfer-Encoding: gzip, chunked\r\n", HeadError::TransferEncoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HeadError::TransferEncoding),
            ("X-\u{e4}: 1\r\n", HeadError::Malformed),
            ("X: \u{0}\r\n", HeadError::Malformed),
            (many.as_str(), HeadError::TooLong),
            (long.as_str(), HeadError::TooLong),
        ];
        for (lines, error) in table {
            let result = read(&format!("HTTP/1.1 200 OK\r\n{lines}\r\n"), false);
            assert_eq!(result.err(), Some(error), "{:.60}", lines);
        }
        let old = read("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false);
        assert_eq!(old.err(), Some(HeadError::TransferEncoding));
        assert_eq!(read("SSH-2.0-OpenSSH_9.2\r\n", false).err(), Some(HeadError::Malformed));
    }

    #[test]
    fn an_answer_to_head_and_one_without_content_have_no_body() {
        for (status, is_head) in [("200 OK", true), ("204 No Content", false), ("304 Not Modified", false)] {
            let text = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n");
            let Some(Parsed::Final(head, body)) = read(&text, is_head).unwrap() else { panic!("{text}") };
            assert!(body.is_end());
            assert_eq!(head.headers.as_bytes(), if is_head { &b"content-length: 5\r\n"[..] } else { b"" });
        }
    }
}
