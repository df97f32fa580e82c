//! Which Host headers are allowed. A web page can make its domain name resolve to loopback (DNS rebinding), so any other
//! name is refused.

use std::net::{IpAddr, SocketAddr};

use crate::base_url::{OutsideUrl, split_host};

/// Whether only this host can reach the address.
pub fn is_local(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Whether a server that listens on `bound` answers a request with this `Host` header.
///
/// Allowed names are `localhost`, those that end in `.localhost`, and that of the outside address. Allowed addresses are
/// loopback addresses, `bound` and that of the outside address. A server that listens on all addresses answers to any
/// address, because DNS cannot redirect an address.
pub(crate) fn is_allowed(host: &str, bound: SocketAddr, outside: Option<&OutsideUrl>) -> bool {
    let Some((name, _)) = split_host(host) else { return false };
    if outside.is_some_and(|it| it.host() == name) {
        return true;
    }
    match name.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || ip == bound.ip() || bound.ip().is_unspecified(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
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
            assert!(is_allowed(allowed, loopback, None), "{allowed}");
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
            assert!(!is_allowed(refused, loopback, None), "{refused}");
        }
    }

    #[test]
    fn a_server_on_all_addresses_allows_any_address_but_no_other_name() {
        let all: SocketAddr = "0.0.0.0:7080".parse().expect("an address");
        assert!(is_allowed("192.0.2.1:7080", all, None));
        assert!(!is_allowed("attacker.example:7080", all, None));
    }

    #[test]
    fn the_outside_name_is_allowed_with_any_port_and_no_name_beside_it() {
        let loopback: SocketAddr = "127.0.0.1:7080".parse().expect("an address");
        let outside = "https://api.example.com:8443".parse().ok();
        for allowed in ["api.example.com:8443", "API.example.com.", "api.example.com:7080", "localhost"] {
            assert!(is_allowed(allowed, loopback, outside.as_ref()), "{allowed}");
        }
        for refused in ["example.com", "x.api.example.com", "api.example.com.attacker.example", "api.example.com@x"] {
            assert!(!is_allowed(refused, loopback, outside.as_ref()), "{refused}");
        }
    }
}
