//! Networks from which repositories are fetched only if the operator allows it, because services there trust every
//! client that can connect.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network whose services trust every client that can connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpecialNetwork {
    /// This host: `127.0.0.0/8`, `::1`, and the unspecified addresses, which reach it as well.
    Loopback,
    /// The local link: `169.254.0.0/16` and `fe80::/10`, where clouds serve the machine's credentials.
    LinkLocal,
}

/// Amazon's metadata service on IPv6. It is outside the link-local range, but serves the same purpose.
const METADATA_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

impl SpecialNetwork {
    /// The special network that an address is in; `None` if fetching from it needs no permission. Recognises
    /// IPv4 addresses in every form in which IPv6 can contain them.
    pub fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Self::of_ipv4(address),
            IpAddr::V6(address) => Self::of_ipv6(address),
        }
    }

    fn of_ipv4(address: Ipv4Addr) -> Option<Self> {
        match address.octets() {
            [127 | 0, ..] => Some(Self::Loopback),
            [169, 254, ..] => Some(Self::LinkLocal),
            _ => None,
        }
    }

    fn of_ipv6(address: Ipv6Addr) -> Option<Self> {
        let ipv4 = |high: u16, low: u16| Self::of_ipv4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
        match address.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(Self::Loopback),
            [0xfe80..=0xfebf, ..] => Some(Self::LinkLocal),
            _ if address == METADATA_IPV6 => Some(Self::LinkLocal),
            // Mapped, compatible and translated addresses, NAT64 and 6to4.
            [0, 0, 0, 0, 0, 0xffff, high, low]
            | [0, 0, 0, 0, 0, 0, high, low]
            | [0, 0, 0, 0, 0xffff, 0, high, low]
            | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
            | [0x2002, high, low, ..] => ipv4(high, low),
            _ => None,
        }
    }
}

impl fmt::Display for SpecialNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
        })
    }
}

impl FromStr for SpecialNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Loopback, Self::LinkLocal]
            .into_iter()
            .find(|network| network.to_string() == text)
            .ok_or_else(|| "it must be `loopback` or `link-local`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_host_and_the_local_link_are_recognized_in_every_form() {
        use SpecialNetwork::{LinkLocal, Loopback};
        for (address, network) in [
            ("127.0.0.1", Some(Loopback)),
            ("127.255.0.9", Some(Loopback)),
            ("0.0.0.0", Some(Loopback)),
            ("0.1.2.3", Some(Loopback)),
            ("::1", Some(Loopback)),
            ("::", Some(Loopback)),
            ("::ffff:127.0.0.1", Some(Loopback)),
            ("::127.0.0.1", Some(Loopback)),
            ("::ffff:0:127.0.0.1", Some(Loopback)),
            ("64:ff9b::127.0.0.1", Some(Loopback)),
            ("2002:7f00:1::", Some(Loopback)),
            ("169.254.169.254", Some(LinkLocal)),
            ("::ffff:169.254.169.254", Some(LinkLocal)),
            ("fe80::1", Some(LinkLocal)),
            ("febf::1", Some(LinkLocal)),
            ("fd00:ec2::254", Some(LinkLocal)),
            ("10.0.0.1", None),
            ("192.168.1.1", None),
            ("128.0.0.1", None),
            ("169.253.0.1", None),
            ("140.82.121.3", None),
            ("::ffff:140.82.121.3", None),
            ("2606:4700::1111", None),
            ("fec0::1", None),
        ] {
            assert_eq!(SpecialNetwork::of(address.parse().unwrap()), network, "{address}");
        }
    }

    #[test]
    fn networks_are_parsed_by_their_names() {
        assert_eq!("link-local".parse(), Ok(SpecialNetwork::LinkLocal));
        assert_eq!("loopback".parse(), Ok(SpecialNetwork::Loopback));
        assert!("everywhere".parse::<SpecialNetwork>().is_err());
    }
}
