//! Checks whether a PostgreSQL server accepts connections. The server opens its port before it does.

use std::net::SocketAddr;
use std::time::Duration;

use rollout::health::ProbeFault;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::health_check::{connect, protocol};

const LIMIT: Duration = Duration::from_secs(2);

/// How many bytes of a server's error message are read.
const LONGEST_ERROR: usize = 4096;

/// Sends a start-up message and waits for an authentication request (`R`). A server that is still recovering answers
/// with an error (`E`) instead. No password is sent. Errors: what the server sent.
pub(crate) async fn accepts(address: SocketAddr, user: &str, database: &str) -> Result<(), ProbeFault> {
    let exchange = async {
        let mut stream = connect(address).await?;
        stream.write_all(&start_up(user, database)).await.map_err(|error| protocol(&error))?;
        match stream.read_u8().await.map_err(|error| protocol(&error))? {
            b'R' => Ok(()),
            b'E' => Err(ProbeFault::Protocol { detail: error_message(&mut stream).await }),
            other => Err(ProbeFault::Protocol { detail: format!("a message of type {other}") }),
        }
    };
    timeout(LIMIT, exchange).await.unwrap_or(Err(ProbeFault::TimedOut { after: LIMIT }))
}

/// Reads the message of an error response. Each field is a type byte and a text that ends with NUL; type `M` is the
/// message.
async fn error_message(stream: &mut TcpStream) -> String {
    let length = stream.read_i32().await.ok().and_then(|it| usize::try_from(it).ok()).unwrap_or_default();
    let mut body = vec![0; length.saturating_sub(4).min(LONGEST_ERROR)];
    let read = stream.read_exact(&mut body).await;
    let message = read.ok().and_then(|_| body.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M")));
    message.map_or_else(|| "an error".to_owned(), |text| String::from_utf8_lossy(text).into_owned())
}

/// Start-up message of protocol 3.0: length, version, then names and values that each end with NUL.
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
