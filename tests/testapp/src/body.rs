//! Request bodies, of known length or in chunks, read as they come. A body that stops short is an error, never a short body.

use std::io::{self, BufRead, Read, Write};

use crate::message::Request;

/// Longest chunk-size line that makes sense.
const SIZE_LINE_LIMIT: u64 = 256;

/// What is still to come.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Bytes(u64),
    /// Bytes of the current chunk.
    Chunk(u64),
    /// The size of the next chunk.
    Size,
    Nothing,
}

/// A request's body; reads as end of file where it ends.
#[derive(Debug)]
pub struct Body<R> {
    from: R,
    left: Left,
}

impl<R: BufRead> Body<R> {
    /// The body that this request's head announces. A client that waits for `100 Continue` gets it through `reply`.
    pub fn of(request: &Request, from: R, reply: &mut impl Write) -> io::Result<Body<R>> {
        let left = if let Some(coding) = request.header("transfer-encoding") {
            if !coding.eq_ignore_ascii_case("chunked") {
                return Err(bad("a transfer coding other than chunked"));
            }
            Left::Size
        } else {
            let length = request.header("content-length").unwrap_or("0");
            match length.parse().map_err(|_| bad("a content-length that is no number"))? {
                0 => Left::Nothing,
                length => Left::Bytes(length),
            }
        };
        let waits = request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
        if waits && left != Left::Nothing {
            reply.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        Ok(Body { from, left })
    }

    /// Reads what nobody wanted, so that the next request is found where it begins.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink()).map(|_| ())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.from.by_ref().take(SIZE_LINE_LIMIT).read_line(&mut line)?;
        match line.strip_suffix('\n') {
            Some(line) => Ok(line.trim_end_matches('\r').to_owned()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        self.left = match u64::from_str_radix(size, 16).map_err(|_| bad("a chunk size that is no number"))? {
            0 => {
                while !self.line()?.is_empty() {}
                Left::Nothing
            }
            size => Left::Chunk(size),
        };
        Ok(())
    }
}

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if self.left == Left::Size {
            self.next_chunk()?;
        }
        let (Left::Bytes(left) | Left::Chunk(left)) = self.left else { return Ok(0) };
        let read = self.from.by_ref().take(left).read(into)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let left = left - read as u64;
        self.left = match self.left {
            Left::Chunk(_) if left == 0 => {
                self.line()?;
                Left::Size
            }
            Left::Chunk(_) => Left::Chunk(left),
            _ if left == 0 => Left::Nothing,
            _ => Left::Bytes(left),
        };
        Ok(read)
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The body of one POST, what comes after it, and what was said meanwhile.
    fn read(headers: &str, bytes: &str) -> io::Result<(String, String, String)> {
        let text = format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n{bytes}");
        let mut from = text.as_bytes();
        let request = Request::read(&mut from).unwrap();
        let (mut body, mut reply) = (String::new(), Vec::new());
        Body::of(&request, &mut from, &mut reply)?.read_to_string(&mut body)?;
        Ok((body, String::from_utf8(from.to_vec()).unwrap(), String::from_utf8(reply).unwrap()))
    }

    #[test]
    fn a_body_ends_where_the_next_request_begins() {
        assert_eq!(read("Content-Length: 5", "helloGET /").unwrap().0, "hello");
        let (body, rest, _) =
            read("Transfer-Encoding: chunked", "3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\nGET /").unwrap();
        assert_eq!((body.as_str(), rest.as_str()), ("hello", "GET /"));
        assert_eq!(read("Host: a", "GET /").unwrap().1, "GET /");
    }

    #[test]
    fn a_body_that_stops_short_is_an_error() {
        assert!(read("Content-Length: 5", "hell").is_err());
        assert!(read("Transfer-Encoding: chunked", "5\r\nhell").is_err());
        assert!(read("Transfer-Encoding: chunked", "4\r\nhell\r\n").is_err());
        assert!(read("Transfer-Encoding: chunked", "4\r\nhell\r\n0\r\n").is_err());
        assert!(read("Content-Length: five", "hello").is_err());
    }

    #[test]
    fn a_client_that_waits_to_send_is_told_to_go_on() {
        let (_, _, reply) = read("Content-Length: 2\r\nExpect: 100-continue", "hi").unwrap();
        assert_eq!(reply, "HTTP/1.1 100 Continue\r\n\r\n");
    }
}
