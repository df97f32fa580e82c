//! The address under which a client reached the API. Addresses in answers begin with it.

use std::net::Ipv6Addr;
use std::str::FromStr;

use axum::http::Uri;
use tokio_rustls::rustls::pki_types::ServerName;

/// The address of the API behind a proxy, or under a name of this host: `https://api.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideUrl {
    scheme: Scheme,
    /// In lower case; an IPv6 address without brackets.
    host: String,
    port: u16,
}

/// The scheme of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// As in an address: `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl FromStr for OutsideUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is not an address of the API: {why}. Use https://NAME[:PORT]");
        let uri: Uri = text.parse().map_err(|_| wrong("it is not a URL"))?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(wrong("it does not begin with http:// or https://")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it has a path"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no name"))?.as_str();
        let (host, port) = split_host(authority).ok_or_else(|| wrong("its name or port is wrong"))?;
        if host.ends_with(".localhost") {
            return Err(wrong("apps have names below localhost, and browsers must not send them the panel's cookies"));
        }
        // A certificate must be able to contain the name.
        if ServerName::try_from(host.as_str()).is_err() {
            return Err(wrong("its name is wrong"));
        }
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.default_port()) })
    }
}

impl std::fmt::Display for OutsideUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (scheme, host) = (self.scheme.as_str(), &self.host);
        match host.contains(':') {
            true => write!(f, "{scheme}://[{host}]")?,
            false => write!(f, "{scheme}://{host}")?,
        }
        match self.port == self.scheme.default_port() {
            true => Ok(()),
            false => write!(f, ":{}", self.port),
        }
    }
}

impl OutsideUrl {
    /// The name or the IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether a request with this `Host` header came under this address. A proxy may drop the port of the header.
    fn is_meant_by(&self, host: &str) -> bool {
        split_host(host).is_some_and(|(name, port)| name == self.host && port.is_none_or(|port| port == self.port))
    }
}

/// The beginning of all addresses in the answer to a request that came under this `Host` header, over a listener with this
/// scheme. Under the outside address a proxy may have ended TLS, so the scheme is that of the outside address.
pub(crate) fn base_url(host: &str, listener: Scheme, outside: Option<&OutsideUrl>) -> String {
    match outside {
        // A client that used TLS must not be sent to an address without.
        Some(outside) if outside.is_meant_by(host) && (listener, outside.scheme) != (Scheme::Https, Scheme::Http) => {
            outside.to_string()
        }
        _ => format!("{}://{host}", listener.as_str()),
    }
}

/// Splits `name:port`. The name is in lower case, without a dot at the end, and an IPv6 address without brackets. `None` if
/// the part after the colon is not a port, or the name has other characters than host names have.
pub fn split_host(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => (&host[..colon], Some(&host[colon + 1..])),
        _ => (host, None),
    };
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    let port = match port.map(str::parse::<u16>) {
        None => None,
        Some(Ok(port)) => Some(port),
        Some(Err(_)) => return None,
    };
    let name = match name.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok()?.to_string(),
        None => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
    };
    is_plain.then_some((name, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside(text: &str) -> Result<OutsideUrl, String> {
        text.parse()
    }

    #[test]
    fn an_outside_address_has_a_scheme_a_name_and_perhaps_a_port() {
        for (text, shown) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.Example.com:443/", "https://api.example.com"),
            ("https://api.example.com:8443", "https://api.example.com:8443"),
            ("http://192.0.2.1:7080", "http://192.0.2.1:7080"),
            ("https://[2001:db8::1]:7443", "https://[2001:db8::1]:7443"),
        ] {
            assert_eq!(outside(text).map(|it| it.to_string()).as_deref(), Ok(shown), "{text}");
        }
        for wrong in [
            "",
            "api.example.com",
            "ftp://api.example.com",
            "https://",
            "https://api.example.com/boatyard",
            "https://api.example.com?x=1",
            "https://user@api.example.com",
            "https://api.example.com:x",
            "https://a..b",
            "https://[api]",
        ] {
            assert!(outside(wrong).is_err(), "{wrong}");
        }
        for of_an_app in ["https://panel.localhost", "http://A.B.Localhost.:7080"] {
            let refused = outside(of_an_app).expect_err(of_an_app);
            assert!(refused.contains("apps have names below localhost"), "{refused}");
        }
    }

    #[test]
    fn answers_have_the_address_that_the_client_used() {
        use Scheme::{Http, Https};
        let behind_proxy = outside("https://api.example.com:8443").ok();
        let unencrypted = outside("http://api.example.com").ok();
        let local = outside("https://localhost:8443").ok();
        for (host, listener, outside, expected) in [
            ("127.0.0.1:7080", Http, None, "http://127.0.0.1:7080"),
            ("127.0.0.1:7443", Https, None, "https://127.0.0.1:7443"),
            ("127.0.0.1:7080", Http, behind_proxy.as_ref(), "http://127.0.0.1:7080"),
            ("api.example.com:8443", Http, behind_proxy.as_ref(), "https://api.example.com:8443"),
            ("API.example.com", Http, behind_proxy.as_ref(), "https://api.example.com:8443"),
            ("api.example.com", Https, behind_proxy.as_ref(), "https://api.example.com:8443"),
            ("api.example.com:7080", Http, behind_proxy.as_ref(), "http://api.example.com:7080"),
            ("api.example.com", Http, unencrypted.as_ref(), "http://api.example.com"),
            ("api.example.com", Https, unencrypted.as_ref(), "https://api.example.com"),
            ("localhost:7080", Http, local.as_ref(), "http://localhost:7080"),
            ("localhost:8443", Http, local.as_ref(), "https://localhost:8443"),
        ] {
            assert_eq!(base_url(host, listener, outside), expected, "{host} {listener:?} {outside:?}");
        }
    }
}
