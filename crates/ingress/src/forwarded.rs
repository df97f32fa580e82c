//! Where a request comes from, as a trusted proxy says in its `X-Forwarded-*` headers.

use std::net::{IpAddr, SocketAddr};

use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::headers::{Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO};
use crate::host;
use crate::protocol::TrustedProxies;

/// Whether an address is in one of these networks. An IPv4 address in the form of IPv6 counts as the IPv4 address.
pub(crate) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// The origin of a request on a connection of a trusted proxy. What its headers do not say, or say in a form that cannot
/// be read, stays as in `connection`.
pub(crate) fn origin(connection: &Origin, headers: &HeaderMap, trusted: &TrustedProxies) -> Origin {
    let mut origin = connection.clone();
    if let Some(client) = client(headers, trusted) {
        origin.set_address(client);
    }
    // The proxy that is nearest to the ingress appends its value, or replaces what it got.
    let host = last(headers, &X_FORWARDED_HOST).filter(|it| host::normal(it).is_some());
    origin.host = host.and_then(|it| HeaderValue::from_str(it).ok());
    let scheme = last(headers, &X_FORWARDED_PROTO).and_then(|it| match it.to_ascii_lowercase().as_str() {
        "https" => Some(("https", 443)),
        "http" => Some(("http", 80)),
        _ => None,
    });
    let given_host = headers.get(HOST).and_then(|it| it.to_str().ok());
    if let Some((scheme, default_port)) = scheme {
        origin.scheme = HeaderValue::from_static(scheme);
        origin.port = host.or(given_host).and_then(host::port).unwrap_or(default_port).into();
    }
    if let Some(port) = last(headers, &X_FORWARDED_PORT).and_then(|it| it.parse::<u16>().ok()).filter(|it| *it != 0) {
        origin.port = port.into();
    }
    origin
}

/// The address from which the outermost trusted proxy was reached. Each proxy appends the address of its peer, so what
/// stands before the last address that is no trusted proxy was written by a client.
fn client(headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    let values: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().map(|it| it.to_str().unwrap_or_default()).collect();
    let mut outermost = None;
    for entry in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(address) = address(entry.trim()) else { break };
        outermost = Some(address);
        if !contains(&trusted.by_header, address) {
            break;
        }
    }
    outermost
}

/// Some proxies write the port behind the address.
fn address(text: &str) -> Option<IpAddr> {
    let without_brackets = text.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    let address = without_brackets.parse().ok().or_else(|| text.parse().ok().map(|it: SocketAddr| it.ip()));
    address.map(|it: IpAddr| it.to_canonical())
}

fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn trusted() -> TrustedProxies {
        let by_header =
            vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        TrustedProxies { by_header, by_proxy_protocol: Vec::new() }
    }

    /// Address, host (`-` if it is the `Host` header), port and scheme.
    fn believed(given: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        let connection = Origin::new([127, 0, 0, 1].into(), 8080, "http");
        let Origin { address, port, scheme, host } = origin(&connection, &headers, &trusted());
        let host = host.unwrap_or(HeaderValue::from_static("-"));
        [address, host, port, scheme].map(|it| it.to_str().unwrap().to_owned()).join(" ")
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
        for (value, client) in [
            ("203.0.113.9", "203.0.113.9"),
            ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
            ("203.0.113.9, 10.1.1.1, fd00::1", "203.0.113.9"),
            ("1.1.1.1, 203.0.113.9,10.1.1.1", "203.0.113.9"),
            ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("203.0.113.9:51234", "203.0.113.9"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            // What cannot be read ends the chain that is believed.
            ("203.0.113.9, unknown, 10.1.1.1", "10.1.1.1"),
            ("unknown", "127.0.0.1"),
            ("", "127.0.0.1"),
        ] {
            assert_eq!(believed(&[("x-forwarded-for", value)]), format!("{client} - 8080 http"), "{value}");
        }
        let two_lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "10.1.1.1")];
        assert_eq!(believed(&two_lines), "203.0.113.9 - 8080 http");
    }

    #[test]
    fn scheme_host_and_port_are_those_that_the_nearest_proxy_wrote() {
        let proto = ("x-forwarded-proto", "https");
        for (given, expected) in [
            (vec![proto], "- 443 https"),
            (vec![proto, ("host", "shop.example.com:8443")], "- 8443 https"),
            (vec![proto, ("x-forwarded-host", "shop.example.com")], "shop.example.com 443 https"),
            (vec![proto, ("x-forwarded-host", "a, shop.example.com:8443")], "shop.example.com:8443 8443 https"),
            (vec![proto, ("x-forwarded-port", "9443")], "- 9443 https"),
            (vec![("x-forwarded-proto", "http, HTTPS")], "- 443 https"),
            (vec![("x-forwarded-proto", "http")], "- 80 http"),
            (vec![("x-forwarded-proto", "gopher"), ("x-forwarded-port", "0")], "- 8080 http"),
            (vec![("x-forwarded-host", "no host"), ("x-forwarded-port", "x")], "- 8080 http"),
            (vec![("x-forwarded-host", "[2001:db8::1]:80")], "[2001:db8::1]:80 8080 http"),
        ] {
            assert_eq!(believed(&given), format!("127.0.0.1 {expected}"), "{given:?}");
        }
    }
}
