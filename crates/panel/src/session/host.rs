//! The host under which a person uses the panel.
//!
//! Browsers send a cookie to all ports of a host, and apps are at `NAME.localhost`. So the panel is never used under
//! `localhost` or a name below it, but under an IP address or the name of `--api-url`.

use std::net::IpAddr;

use web::split_host;

/// The address of the panel to use instead of `base`, with the same scheme and port. `None`: `base` is fine. `bound`: where
/// the server accepted the connection.
pub(super) fn instead(base: &str, bound: Option<IpAddr>) -> Option<String> {
    let (scheme, host) = base.split_once("://")?;
    let (name, port) = split_host(host)?;
    if name != "localhost" && !name.ends_with(".localhost") {
        return None;
    }
    let address = match bound {
        Some(IpAddr::V6(ip)) if ip.is_loopback() => "[::1]",
        _ => "127.0.0.1",
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{address}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_panel_is_never_used_under_a_name_that_apps_have() {
        for (base, bound, expected) in [
            ("http://127.0.0.1:7080", "127.0.0.1", None),
            ("http://192.0.2.1:7080", "0.0.0.0", None),
            ("http://[::1]:7080", "::1", None),
            ("https://panel.example.com", "127.0.0.1", None),
            ("http://notlocalhost:7080", "127.0.0.1", None),
            ("http://localhost:7080", "127.0.0.1", Some("http://127.0.0.1:7080")),
            ("http://localhost:9000", "0.0.0.0", Some("http://127.0.0.1:9000")),
            ("http://LOCALHOST.:7080", "127.0.0.1", Some("http://127.0.0.1:7080")),
            ("https://localhost", "127.0.0.1", Some("https://127.0.0.1")),
            ("http://shop.localhost:7080", "127.0.0.1", Some("http://127.0.0.1:7080")),
            ("http://localhost:7080", "::1", Some("http://[::1]:7080")),
        ] {
            assert_eq!(instead(base, bound.parse().ok()).as_deref(), expected, "{base}");
        }
    }
}
