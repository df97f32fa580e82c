//! Listeners on IPv6. On a host without IPv6 these tests only say so.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::harness::*;
use crate::limits::Limits;
use crate::protocol::Rewrite;

/// A proxy on this IPv6 address with the app `shop`, which also has the address as a host name. `None`: the host has no
/// IPv6.
async fn open(ip: Ipv6Addr) -> Option<TestProxy> {
    if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("skipped: this host has no IPv6");
        return None;
    }
    let proxy = TestProxy::listen((ip, 0).into(), Limits::default()).await;
    let mut wanted = table(1, vec![rule("/", Rewrite::Keep, &[("web", echo().await)])]);
    wanted.apps[0].hosts.push("[::1]".to_owned());
    proxy.routing.install(&wanted);
    Some(proxy)
}

async fn get(address: SocketAddr, host: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_all(&mut stream).await
}

#[tokio::test]
async fn clients_connect_by_ipv6_and_may_name_the_address_as_host() {
    let Some(proxy) = open(Ipv6Addr::LOCALHOST).await else { return };
    let port = proxy.address.port();
    for host in ["shop".to_owned(), format!("[::1]:{port}"), "[::1]".to_owned()] {
        let answer = get(proxy.address, &host).await;
        for line in
            [format!("host: {host}\n"), "x-forwarded-for: ::1\n".to_owned(), format!("x-forwarded-host: {host}\n")]
        {
            assert!(answer.contains(&line), "{line}: {answer}");
        }
    }
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err(), "one address is not all addresses");
}

#[tokio::test]
async fn a_listener_on_all_ipv6_addresses_accepts_ipv4_as_well() {
    let Some(proxy) = open(Ipv6Addr::UNSPECIFIED).await else { return };
    let port = proxy.address.port();
    for (address, seen) in
        [(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), "::1"), ((Ipv4Addr::LOCALHOST, port).into(), "127.0.0.1")]
    {
        let answer = get(address, "shop").await;
        assert!(answer.contains(&format!("x-forwarded-for: {seen}\n")), "{answer}");
    }
    // An IPv4 client is compared with IPv4 networks.
    proxy.trust(&["127.0.0.0/8"], &[]);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: shop\r\nX-Forwarded-For: 2001:db8::1\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.contains("x-forwarded-for: 2001:db8::1\n"), "{answer}");
}
