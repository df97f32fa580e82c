//! The chunked transfer coding (RFC 9112, 7.1), as a reader without I/O.

use bytes::{Buf, Bytes};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// Digits of a chunk's size. More would not fit into the number, even if they are zeros.
const SIZE_DIGITS: u8 = 16;
/// Bytes of extensions in the lines of all chunks of a body. They mean nothing to the ingress.
const EXTENSION_BYTES: usize = 16 * 1024;
/// Bytes of all trailers of a body.
const TRAILER_BYTES: usize = 16 * 1024;

/// Why the bytes are no chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("the size of a chunk is not a number")]
    Size,
    #[error("the size of a chunk has too many digits")]
    SizeTooLong,
    #[error("a line of a chunk does not end in CR LF")]
    LineEnd,
    #[error("the extensions of chunks are too long")]
    Extensions,
    #[error("the trailers are malformed")]
    Trailers,
    #[error("the trailers are too long, or there are too many")]
    TrailersTooLong,
}

/// A part of a body.
#[derive(Debug, PartialEq)]
pub(crate) enum Chunk {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

#[derive(Debug)]
pub(crate) struct ChunkReader {
    state: State,
    /// The chunk's size so far, then what is left of the chunk.
    size: u64,
    extension_bytes: usize,
    trailers: Vec<u8>,
    most_trailers: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size, after this many digits.
    Size(u8),
    /// In white space after the size.
    AfterSize,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

impl ChunkReader {
    /// `most_trailers`: the number of trailers that a body may have.
    pub fn new(most_trailers: usize) -> Self {
        ChunkReader { state: State::Size(0), size: 0, extension_bytes: 0, trailers: Vec::new(), most_trailers }
    }

    pub fn is_end(&self) -> bool {
        self.state == State::End && self.trailers.is_empty()
    }

    /// Takes bytes off `input`. `None`: more are needed.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<Chunk>, ChunkError> {
        loop {
            match self.state {
                State::Data if input.is_empty() => return Ok(None),
                State::Data => return Ok(Some(Chunk::Data(self.take_data(input)))),
                State::End if self.trailers.is_empty() => return Ok(Some(Chunk::End)),
                State::End => {
                    let text = std::mem::take(&mut self.trailers);
                    return parse_trailers(&text, self.most_trailers).map(|it| Some(Chunk::Trailers(it)));
                }
                state => {
                    let Some(byte) = input.first().copied() else { return Ok(None) };
                    input.advance(1);
                    self.state = self.step(state, byte)?;
                }
            }
        }
    }

    fn take_data(&mut self, input: &mut Bytes) -> Bytes {
        let count = usize::try_from(self.size).unwrap_or(usize::MAX).min(input.len());
        let data = input.split_to(count);
        self.size -= count as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
        data
    }

    fn step(&mut self, state: State, byte: u8) -> Result<State, ChunkError> {
        Ok(match (state, byte) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                if digits == SIZE_DIGITS {
                    return Err(ChunkError::SizeTooLong);
                }
                let digit = char::from(byte).to_digit(16).ok_or(ChunkError::Size)?;
                self.size = self.size << 4 | u64::from(digit);
                State::Size(digits + 1)
            }
            (State::Size(0), _) => return Err(ChunkError::Size),
            (State::Size(_) | State::AfterSize, b' ' | b'\t') => State::AfterSize,
            (State::Size(_) | State::AfterSize, b';') => State::Extension,
            (State::Size(_) | State::AfterSize | State::Extension, b'\r') => State::SizeLf,
            (State::Size(_) | State::AfterSize, _) => return Err(ChunkError::Size),
            (State::Extension, b'\n') => return Err(ChunkError::LineEnd),
            (State::Extension, _) => {
                self.extension_bytes += 1;
                if self.extension_bytes >= EXTENSION_BYTES {
                    return Err(ChunkError::Extensions);
                }
                State::Extension
            }
            (State::SizeLf, b'\n') if self.size == 0 => State::TrailerStart,
            (State::SizeLf, b'\n') => State::Data,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0),
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::Trailer, b'\n') => return Err(ChunkError::LineEnd),
            (State::TrailerStart | State::Trailer, _) => {
                self.trailers.push(byte);
                if self.trailers.len() >= TRAILER_BYTES {
                    return Err(ChunkError::TrailersTooLong);
                }
                if byte == b'\r' { State::TrailerLf } else { State::Trailer }
            }
            (State::TrailerLf, b'\n') => {
                self.trailers.push(byte);
                State::TrailerStart
            }
            (State::EndLf, b'\n') => State::End,
            (State::SizeLf | State::DataCr | State::DataLf | State::TrailerLf | State::EndLf, _) => {
                return Err(ChunkError::LineEnd);
            }
            (State::Data | State::End, _) => unreachable!("these states take no single byte"),
        })
    }
}

/// `text`: lines that end in CR LF, without the empty line behind them.
fn parse_trailers(text: &[u8], most: usize) -> Result<HeaderMap, ChunkError> {
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    if lines > most {
        return Err(ChunkError::TrailersTooLong);
    }
    let whole = [text, b"\r\n"].concat();
    let mut lines = vec![httparse::EMPTY_HEADER; lines];
    let Ok(httparse::Status::Complete((length, lines))) = httparse::parse_headers(&whole, &mut lines) else {
        return Err(ChunkError::Trailers);
    };
    if length != whole.len() {
        return Err(ChunkError::Trailers);
    }
    let mut trailers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::try_from(line.name).map_err(|_| ChunkError::Trailers)?;
        let value = HeaderValue::from_bytes(line.value).map_err(|_| ChunkError::Trailers)?;
        trailers.append(name, value);
    }
    Ok(trailers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Reads a whole body in pieces of `step` bytes.
    fn read(text: &str, step: usize) -> Result<(String, Option<HeaderMap>, bool), ChunkError> {
        let (mut reader, mut data, mut trailers) = (ChunkReader::new(4), Vec::new(), None);
        for piece in text.as_bytes().chunks(step) {
            let mut input = Bytes::copy_from_slice(piece);
            while let Some(chunk) = reader.next(&mut input)? {
                match chunk {
                    Chunk::Data(bytes) => data.extend_from_slice(&bytes),
                    Chunk::Trailers(map) => trailers = Some(map),
                    Chunk::End => break,
                }
            }
        }
        Ok((String::from_utf8(data).unwrap(), trailers, reader.is_end()))
    }

    #[test]
    fn chunks_are_joined_however_they_arrive() {
        let text = "5\r\nhello\r\n1 ;x=\"y\"\r\n,\r\n00006\t\r\n world\r\n0\r\nX-Sum: 7\r\nX-B:\r\n\r\n";
        for step in 1..text.len() {
            let (data, trailers, ended) = read(text, step).unwrap();
            let trailers = trailers.unwrap();
            assert_eq!((data.as_str(), ended), ("hello, world", true));
            assert_eq!((&trailers["x-sum"], &trailers["x-b"]), (&"7".parse().unwrap(), &"".parse().unwrap()));
        }
        assert_eq!(read("0\r\n\r\n", 1), Ok((String::new(), None, true)));
        assert_eq!(read("3\r\nabc\r\n", 1), Ok(("abc".to_owned(), None, false)));
    }

    #[test]
    fn what_two_readers_could_understand_differently_is_refused() {
        let many = "X: 1\r\n".repeat(5);
        let table = [
            ("\r\n", ChunkError::Size),
            (" 5\r\nhello\r\n", ChunkError::Size),
            ("+5\r\nhello\r\n", ChunkError::Size),
            ("0x5\r\nhello\r\n", ChunkError::Size),
            ("5 5\r\nhello\r\n", ChunkError::Size),
            ("g\r\n", ChunkError::Size),
            ("5\nhello\r\n", ChunkError::Size),
            ("5\r\rhello\r\n", ChunkError::LineEnd),
            ("5;a\nhello\r\n", ChunkError::LineEnd),
            ("5\r\nhello\n", ChunkError::LineEnd),
            ("5\r\nhello!\r\n", ChunkError::LineEnd),
            ("5\r\nhello\rx", ChunkError::LineEnd),
            ("00000000000000005\r\nhello\r\n", ChunkError::SizeTooLong),
            ("fffffffffffffffff\r\n", ChunkError::SizeTooLong),
            ("0\r\n\n", ChunkError::LineEnd),
            ("0\r\nX: 1\n\r\n", ChunkError::LineEnd),
            ("0\r\nX : 1\r\n\r\n", ChunkError::Trailers),
            ("0\r\nX: 1\r\n y\r\n\r\n", ChunkError::Trailers),
            ("0\r\nX\r\n\r\n", ChunkError::Trailers),
            (&format!("0\r\n{many}\r\n"), ChunkError::TrailersTooLong),
            (&format!("0\r\nX: {}\r\n\r\n", "x".repeat(TRAILER_BYTES)), ChunkError::TrailersTooLong),
            (&format!("1;{}\r\n", "x".repeat(EXTENSION_BYTES)), ChunkError::Extensions),
        ];
        for (text, error) in table {
            assert_eq!(read(text, usize::MAX), Err(error), "{text:?}");
            assert_eq!(read(text, 1), Err(error), "{text:?}");
        }
    }
}
