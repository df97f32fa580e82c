//! The header of the PROXY protocol, by which a load balancer names the client of a connection
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). Both versions are read; version 1 is a line of text,
//! version 2 is binary.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

use super::connection::Connection;
use crate::forwarded::contains;

/// The first bytes of version 2. A header of version 1 is longer than this, too.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Of version 1, with its line end.
const LONGEST_LINE: usize = 107;
/// Of the addresses and extensions in version 2. Those of load balancers are far shorter.
const LONGEST_DATA: usize = 4096;

impl Connection {
    /// Reads the header, and takes the client that it names for the peer. Returns whether the connection may go on.
    pub async fn read_proxy_header(&mut self, stream: &mut TcpStream) -> bool {
        let read = tokio::select! {
            read = tokio::time::timeout(self.proxy.limits.proxy_header, read(stream)) => read,
            () = self.stop.cancelled() => return false,
            () = self.cut.cancelled() => return false,
            () = self.slot.evicted() => return false,
        };
        match read.unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into())) {
            Ok(None) => true,
            Ok(Some(client)) => {
                let trusted = self.proxy.trusted.load();
                self.behind = contains(&trusted.by_header, client.ip()).then(|| trusted.clone());
                self.origin.set_address(client.ip());
                self.slot.belongs_to(client.ip());
                self.peer = client;
                true
            }
            // A check whether the port is open.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => false,
            Err(error) => {
                self.proxy.refusals.count("proxy-protocol");
                tracing::debug!(peer = %self.peer, %error, "no header of the PROXY protocol");
                false
            }
        }
    }
}

/// Reads one header and nothing after it. `None`: the load balancer opened a connection of its own, as for a health check, or
/// the client has no IP address.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut first = [0; SIGNATURE.len()];
    if stream.read(&mut first[..1]).await? == 0 {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    stream.read_exact(&mut first[1..]).await?;
    if first == SIGNATURE {
        return read_binary(stream).await;
    }
    let mut line = first.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= LONGEST_LINE || !line.starts_with(b"PROXY ") {
            return Err(invalid("neither version 1 nor version 2"));
        }
        line.push(stream.read_u8().await?);
    }
    let text = std::str::from_utf8(&line).map_err(|_| invalid("version 1 is text"))?;
    parse_line(text.trim_end()).ok_or_else(|| invalid("not a line of version 1"))
}

/// The client in a line of version 1. The outer `None`: it is no such line.
fn parse_line(line: &str) -> Option<Option<SocketAddr>> {
    let words: Vec<&str> = line.split(' ').collect();
    let port = |text: &str| text.parse::<u16>().ok();
    match words[..] {
        ["PROXY", "UNKNOWN", ..] => Some(None),
        ["PROXY", family, source, destination, source_port, destination_port] => {
            let (source, _): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
            let fits = (family == "TCP4" && source.is_ipv4()) || (family == "TCP6" && source.is_ipv6());
            port(destination_port)?;
            fits.then_some(Some(SocketAddr::new(source, port(source_port)?)))
        }
        _ => None,
    }
}

/// The rest of a header of version 2, after its signature.
async fn read_binary(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let (version_and_command, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST_DATA {
        return Err(invalid("the header is too long"));
    }
    let mut data = vec![0; length];
    stream.read_exact(&mut data).await?;
    match version_and_command {
        // LOCAL: a health check of the load balancer.
        0x20 => Ok(None),
        0x21 => parse_addresses(family, &data).ok_or_else(|| invalid("the addresses are incomplete")),
        _ => Err(invalid("unknown version or command")),
    }
}

/// The client in the data of version 2. `data` begins with the addresses of client and server, then their ports; extensions
/// may follow. The outer `None`: it is too short.
fn parse_addresses(family: u8, data: &[u8]) -> Option<Option<SocketAddr>> {
    let port = |at: usize| data.get(at..at + 2).map(|it| u16::from_be_bytes([it[0], it[1]]));
    let client = match family {
        // TCP over IPv4, and over IPv6.
        0x11 => {
            port(10)?;
            SocketAddr::new(Ipv4Addr::from(<[u8; 4]>::try_from(data.get(..4)?).ok()?).into(), port(8)?)
        }
        0x21 => {
            port(34)?;
            SocketAddr::new(Ipv6Addr::from(<[u8; 16]>::try_from(data.get(..16)?).ok()?).into(), port(32)?)
        }
        _ => return Some(None),
    };
    Some(Some(client))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// The result, and what the header left unread.
    fn parsed(bytes: &[u8]) -> (Result<Option<SocketAddr>, io::ErrorKind>, usize) {
        let mut rest = bytes;
        let result = futures::executor::block_on(read(&mut rest)).map_err(|error| error.kind());
        (result, rest.len())
    }

    fn binary(command: u8, family: u8, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(data.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, data].concat()
    }

    #[test]
    fn a_line_of_version_1_names_the_client() {
        let client = |text: &str| (Ok(Some(text.parse().unwrap())), 3);
        for (line, expected) in [
            ("PROXY TCP4 203.0.113.9 10.0.0.1 51234 80\r\nGET", client("203.0.113.9:51234")),
            ("PROXY TCP6 2001:db8::1 fd00::1 51234 80\r\nGET", client("[2001:db8::1]:51234")),
            ("PROXY UNKNOWN\r\nGET", (Ok(None), 3)),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nGET", (Ok(None), 3)),
        ] {
            assert_eq!(parsed(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn what_is_no_header_is_an_error() {
        use io::ErrorKind::{ConnectionAborted, InvalidData, UnexpectedEof};
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE));
        for (given, kind) in [
            ("GET / HTTP/1.1\r\nHost: shop\r\n\r\n", InvalidData),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 51234\r\n", InvalidData),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 51234 80 1\r\n", InvalidData),
            ("PROXY TCP4 2001:db8::1 fd00::1 51234 80\r\n", InvalidData),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 65536 80\r\n", InvalidData),
            ("PROXY TCP4  203.0.113.9 10.0.0.1 1 80\r\n", InvalidData),
            ("PROXY UDP4 203.0.113.9 10.0.0.1 1 80\r\n", InvalidData),
            ("PROXY UNKNOWN", UnexpectedEof),
            ("PROXY TCP4 \r\n\r\n", InvalidData),
            (long.as_str(), InvalidData),
            ("P", UnexpectedEof),
            ("", ConnectionAborted),
        ] {
            assert_eq!(parsed(given.as_bytes()).0, Err(kind), "{given:?}");
        }
    }

    #[test]
    fn a_header_of_version_2_names_the_client_whatever_extensions_follow() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 200, 34, 0, 80];
        let extended = [&v4[..], &[4, 0, 1, 0]].concat();
        for data in [&v4[..], &extended] {
            assert_eq!(parsed(&binary(0x21, 0x11, data)), (Ok(Some("203.0.113.9:51234".parse().unwrap())), 0));
        }
        let address: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let v6 = [&address.octets()[..], &address.octets(), &[200, 34, 0, 80]].concat();
        assert_eq!(parsed(&binary(0x21, 0x21, &v6)).0, Ok(Some("[2001:db8::1]:51234".parse().unwrap())));
        assert_eq!(parsed(&binary(0x20, 0, &[])).0, Ok(None), "a health check of the load balancer");
        assert_eq!(parsed(&binary(0x21, 0x31, &[0; 216])).0, Ok(None), "a client on a unix socket");
    }

    #[test]
    fn a_header_of_version_2_that_is_too_short_or_unknown_is_an_error() {
        for wrong in [
            binary(0x21, 0x11, &[0; 11]),
            binary(0x21, 0x21, &[0; 35]),
            binary(0x22, 0x11, &[0; 12]),
            binary(0x11, 0x11, &[0; 12]),
        ] {
            assert_eq!(parsed(&wrong).0, Err(io::ErrorKind::InvalidData), "{wrong:?}");
        }
        let endless = [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 100]].concat();
        assert_eq!(parsed(&endless).0, Err(io::ErrorKind::InvalidData));
    }

    proptest! {
        #[test]
        fn every_address_is_read_as_it_was_written(address: IpAddr, port: u16, rest: Vec<u8>) {
            let client = SocketAddr::new(address, port);
            let (family, octets) = match address {
                IpAddr::V4(it) => (0x11, it.octets().to_vec()),
                IpAddr::V6(it) => (0x21, it.octets().to_vec()),
            };
            let data = [&octets[..], &octets, &port.to_be_bytes(), &[0, 80]].concat();
            let word = if address.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {word} {address} {address} {port} 80\r\n");
            for header in [binary(0x21, family, &data), line.into_bytes()] {
                prop_assert_eq!(parsed(&[&header[..], &rest].concat()), (Ok(Some(client)), rest.len()));
            }
        }

        #[test]
        fn no_bytes_cause_a_panic(bytes: Vec<u8>, signed: bool) {
            let prefix: &[u8] = if signed { &SIGNATURE } else { b"PROXY " };
            let _ = parsed(&[prefix, &bytes].concat());
        }
    }
}
