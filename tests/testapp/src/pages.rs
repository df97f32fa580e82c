//! What each path answers.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::knobs::Knobs;
use crate::message::{Length, Request, write_head};

/// Longest body that `/echo` keeps in memory to give back.
const ECHO_LIMIT: u64 = 16 * 1024 * 1024;
/// `/stream` sends a line this often.
const STREAM_PERIOD: Duration = Duration::from_millis(100);

/// What the pages know.
#[derive(Debug)]
pub struct Site {
    pub name: String,
    pub version: String,
    pub hostname: String,
    pub never_ready: bool,
    /// Requests received so far.
    pub requests: AtomicU64,
}

impl Site {
    pub fn new(knobs: &Knobs) -> Site {
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_else(|_| "unknown".into());
        Site {
            name: knobs.name.clone(),
            version: knobs.version.clone(),
            hostname: hostname.trim().to_owned(),
            never_ready: knobs.never_ready,
            requests: AtomicU64::new(0),
        }
    }
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Keep,
    Close,
    /// It is no longer HTTP: what comes goes back.
    Echo,
}

/// One request with everything needed to answer it.
pub struct Exchange<'a, B> {
    pub request: &'a Request,
    pub body: &'a mut B,
    pub reply: &'a TcpStream,
    /// Whether the connection may be kept; an answer may say otherwise.
    pub keep: bool,
}

impl<B: Read> Exchange<'_, B> {
    /// Answers the request as its path asks. Errors: the connection broke, and nothing more can be said on it.
    pub fn answer(mut self, site: &Site) -> io::Result<Next> {
        let count = site.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let request = self.request;
        match (request.method.as_str(), request.path.as_str()) {
            ("POST" | "PUT", "/echo") => self.echo(),
            ("POST" | "PUT", "/upload") => self.upload(),
            ("GET" | "HEAD", "/") => self.text(200, &format!("{} {} {}\n", site.name, site.version, site.hostname)),
            ("GET" | "HEAD", "/health") if site.never_ready => self.text(503, "not ready\n"),
            ("GET" | "HEAD", "/health") => self.text(200, "ok\n"),
            ("GET" | "HEAD", "/env") => self.env(),
            ("GET" | "HEAD", "/counted") => self.text(200, &format!("{count}\n")),
            ("GET", "/stream") => self.stream(),
            ("GET", "/upgrade") => self.upgrade(),
            (_, "/slow") => self.slow(),
            (_, "/status") => self.status(),
            (_, "/exit") => self.exit(),
            _ => self.text(404, "no such page\n"),
        }
    }

    /// The value of one environment variable, 404 if it is not set.
    fn env(&mut self) -> io::Result<Next> {
        let key = self.request.query("key").unwrap_or_default();
        match std::env::vars_os().find(|(name, _)| name.to_str() == Some(&key)) {
            Some((_, value)) => self.bytes(200, value.as_encoded_bytes()),
            None => self.text(404, "not set\n"),
        }
    }

    /// A numbered line every 100 ms, and `end` as the last one.
    fn stream(&mut self) -> io::Result<Next> {
        let seconds = match self.request.number("seconds", 1) {
            Ok(seconds) => seconds,
            Err(complaint) => return self.text(400, &complaint),
        };
        let chunked = self.request.takes_chunks();
        let keep = self.keep && chunked;
        self.head(200, if chunked { Length::Chunks } else { Length::Rest }, keep)?;
        for line in 1..=seconds.saturating_mul(10) {
            self.part(chunked, &format!("{line}\n"))?;
            thread::sleep(STREAM_PERIOD);
        }
        self.part(chunked, "end\n")?;
        if chunked {
            self.reply.write_all(b"0\r\n\r\n")?;
        }
        Ok(if keep { Next::Keep } else { Next::Close })
    }

    fn part(&mut self, chunked: bool, text: &str) -> io::Result<()> {
        if chunked {
            self.reply.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
        } else {
            self.reply.write_all(text.as_bytes())
        }
    }

    /// The body, given back.
    fn echo(&mut self) -> io::Result<Next> {
        let mut body = Vec::new();
        self.body.take(ECHO_LIMIT + 1).read_to_end(&mut body)?;
        if body.len() as u64 > ECHO_LIMIT {
            self.keep = false;
            return self.text(413, "/echo gives back 16 MiB at most; /upload counts any number of bytes\n");
        }
        self.bytes(200, &body)
    }

    /// `<bytes> <checksum>` of the body, which is not kept. The checksum is 64-bit FNV-1a, 16 hexadecimal digits.
    fn upload(&mut self) -> io::Result<Next> {
        let (mut count, mut checksum) = (0_u64, FNV_START);
        let mut buffer = [0; 8192];
        loop {
            let read = self.body.read(&mut buffer)?;
            if read == 0 {
                return self.text(200, &format!("{count} {checksum:016x}\n"));
            }
            count += read as u64;
            checksum = fnv_1a(checksum, &buffer[..read]);
        }
    }

    fn slow(&mut self) -> io::Result<Next> {
        match self.request.number("ms", 1000) {
            Ok(millis) => {
                thread::sleep(Duration::from_millis(millis));
                self.text(200, &format!("{millis} ms later\n"))
            }
            Err(complaint) => self.text(400, &complaint),
        }
    }

    fn status(&mut self) -> io::Result<Next> {
        match self.request.number("code", 200) {
            Ok(code @ (204 | 304)) => self.bytes(code as u16, b""),
            Ok(code @ 200..=599) => self.text(code as u16, &format!("status {code}\n")),
            Ok(_) => self.text(400, "code must be one from 200 to 599\n"),
            Err(complaint) => self.text(400, &complaint),
        }
    }

    /// Switches to a protocol in which every byte comes back, until the other side has said all. It may be called websocket,
    /// because the front door passes on no other; the frames of one are echoed like any bytes.
    fn upgrade(&mut self) -> io::Result<Next> {
        let asked = self.request.header("upgrade").unwrap_or_default().to_ascii_lowercase();
        if asked != "echo" && asked != "websocket" {
            return self.text(426, "ask with: Connection: Upgrade, Upgrade: echo or websocket\n");
        }
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: {asked}\r\n\r\n");
        self.reply.write_all(head.as_bytes())?;
        Ok(Next::Echo)
    }

    /// Ends the program without an answer, as one that crashes does.
    fn exit(&mut self) -> io::Result<Next> {
        match self.request.number("code", 1) {
            Ok(code @ 0..=255) => {
                println!("ends on request with {code}");
                exit(code as i32)
            }
            Ok(_) => self.text(400, "code must be one from 0 to 255\n"),
            Err(complaint) => self.text(400, &complaint),
        }
    }

    fn text(&mut self, status: u16, text: &str) -> io::Result<Next> {
        self.bytes(status, text.as_bytes())
    }

    /// A whole answer, sent in one piece.
    fn bytes(&mut self, status: u16, body: &[u8]) -> io::Result<Next> {
        let mut whole = Vec::with_capacity(256 + body.len());
        let id = self.request.header("x-request-id");
        write_head(&mut whole, status, Length::Bytes(body.len()), id, self.keep)?;
        if self.request.method != "HEAD" {
            whole.extend_from_slice(body);
        }
        self.reply.write_all(&whole)?;
        Ok(if self.keep { Next::Keep } else { Next::Close })
    }

    fn head(&mut self, status: u16, length: Length, keep: bool) -> io::Result<()> {
        let mut head = Vec::with_capacity(256);
        write_head(&mut head, status, length, self.request.header("x-request-id"), keep)?;
        self.reply.write_all(&head)
    }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv_1a(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        assert_eq!(fnv_1a(FNV_START, b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(FNV_START, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(fnv_1a(FNV_START, b"foo"), b"bar"), 0x8594_4171_f739_67e8);
    }
}
