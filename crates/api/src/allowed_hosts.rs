//! Which Host headers are allowed. A web page can make its domain name resolve to loopback (DNS rebinding), so any other
//! name is refused.

use std::net::{IpAddr, SocketAddr};

/// Whether only this host can reach the address.
pub fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Whether a server that listens on `bound` answers a request with this `Host` header.
///
/// Allowed names are `localhost` and those that end in `.localhost`. Allowed addresses are loopback addresses and `bound`.
/// A server that listens on all addresses answers to any address, because DNS cannot redirect an address.
pub(crate) fn is_allowed(host: &str, bound: SocketAddr) -> bool {
    let Some(name) = without_port(host) else { return false };
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == bound.ip() || bound.ip().is_unspecified(),
        Err(_) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// `None` if the part after the colon is not a port, or the name has other characters than host names have.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => (&host[..colon], Some(&host[colon + 1..])),
        _ => (host, None),
    };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    (plain && port.is_none_or(|port| port.parse::<u16>().is_ok())).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_names_and_addresses_are_allowed() {
        let loopback: SocketAddr = "127.0.0.1:7080".parse().expect("an address");
        for allowed in [
            "127.0.0.1:7080",
            "127.0.0.1",
            "localhost:1",
            "LOCALHOST",
            "localhost.",
            "api.localhost:7080",
            "[::1]:7080",
            "[::1]",
        ] {
            assert!(is_allowed(allowed, loopback), "{allowed}");
        }
        for refused in [
            "",
            "attacker.example",
            "attacker.example:7080",
            "localhost.attacker.example",
            "127.0.0.1.attacker.example",
            "192.0.2.1:7080",
            "notlocalhost",
            "localhost:7080@attacker.example",
            "localhost:x",
            "local host",
            "[::1]x",
        ] {
            assert!(!is_allowed(refused, loopback), "{refused}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_allows_any_address_but_no_other_name() {
        let all: SocketAddr = "0.0.0.0:7080".parse().expect("an address");
        assert!(is_allowed("192.0.2.1:7080", all));
        assert!(!is_allowed("attacker.example:7080", all));
    }
}
