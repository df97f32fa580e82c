//! Whether a PostgreSQL server takes connections: it listens before it does.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(2);

/// Sends a start-up message and waits for the request to log in (`R`). A server that is still recovering answers with an
/// error (`E`) instead. No password is sent.
pub(crate) async fn accepts(address: SocketAddr, user: &str, database: &str) -> bool {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(&start_up(user, database)).await.ok()?;
        let mut kind = [0];
        stream.read_exact(&mut kind).await.ok()?;
        (kind[0] == b'R').then_some(())
    };
    matches!(timeout(LIMIT, asked).await, Ok(Some(())))
}

/// Protocol 3.0: length, version, then names and values each ended by NUL.
fn start_up(user: &str, database: &str) -> Vec<u8> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", user, "database", database] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("names are short");
    [length.to_be_bytes().to_vec(), body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_up_message_is_length_version_and_pairs() {
        let message = start_up("shop", "db");
        assert_eq!(
            message.len(),
            usize::try_from(u32::from_be_bytes([message[0], message[1], message[2], message[3]])).expect("fits")
        );
        assert_eq!(&message[4..8], &[0, 3, 0, 0]);
        assert_eq!(&message[8..], b"user\0shop\0database\0db\0\0");
    }
}
