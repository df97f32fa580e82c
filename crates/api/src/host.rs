//! Which names we answer to. A web page can make its own name point at loopback, so a name that is not ours is refused.

use std::net::{IpAddr, SocketAddr};

/// Whether an address is reached from this host only.
pub fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Whether a request with this `Host` may be meant for a server bound to `bound`.
///
/// An address cannot be made to point elsewhere, so a server bound to all of the host's addresses answers to any; names
/// are `localhost` and what ends in `.localhost`.
pub(crate) fn is_ours(host: &str, bound: SocketAddr) -> bool {
    let Some(name) = without_port(host) else { return false };
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == bound.ip() || bound.ip().is_unspecified(),
        Err(_) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// `None` when what follows the colon is no port.
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
    fn only_our_own_names_are_answered() {
        let loopback: SocketAddr = "127.0.0.1:7080".parse().expect("an address");
        for ours in [
            "127.0.0.1:7080",
            "127.0.0.1",
            "localhost:1",
            "LOCALHOST",
            "localhost.",
            "api.localhost:7080",
            "[::1]:7080",
            "[::1]",
        ] {
            assert!(is_ours(ours, loopback), "{ours}");
        }
        for theirs in [
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
            assert!(!is_ours(theirs, loopback), "{theirs}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_answers_to_any_address_and_to_no_foreign_name() {
        let all: SocketAddr = "0.0.0.0:7080".parse().expect("an address");
        assert!(is_ours("192.0.2.1:7080", all));
        assert!(!is_ours("attacker.example:7080", all));
    }
}
