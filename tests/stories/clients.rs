//! Clients of App Platform, as the stories imitate them: their headers, and one connection for all their requests.

use std::collections::BTreeMap;

use boatyard_tests::http::Connection;
use boatyard_tests::installation::Installation;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;

/// A client with its recorded headers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Client {
    Doctl,
    Pydo,
    Terraform,
}

impl Client {
    fn headers(self, method: &str, body: &str) -> BTreeMap<&'static str, &'static str> {
        let agent = match self {
            Client::Doctl => "doctl/0.0.0-dev (linux amd64) godo/1.202.0",
            Client::Pydo => "azsdk-python-pydo/0.44.0 Python/3.11.7 (Linux-6.1.0-x86_64-with-glibc2.36)",
            Client::Terraform => "Terraform/1.9.0 godo/1.202.0",
        };
        let mut headers = BTreeMap::from([("user-agent", agent), ("accept", "application/json")]);
        if self == Client::Pydo {
            headers.insert("accept-encoding", "gzip, deflate");
            headers.insert("x-ms-client-request-id", "d2b1b1d6-0000-11ee-8000-000000000000");
        } else {
            headers.insert("accept-encoding", "gzip");
        }
        // The clients that use godo send it without a body, too.
        if !body.is_empty() || self != Client::Pydo && method != "GET" {
            headers.insert("content-type", "application/json");
        }
        headers
    }
}

/// A client's connection to an installation.
pub struct Session<'a> {
    pub client: Client,
    at: &'a Installation,
    connection: Connection,
}

impl<'a> Session<'a> {
    pub async fn open(client: Client, at: &'a Installation) -> Self {
        Self { client, at, connection: Connection::open(at.api()).await.unwrap() }
    }

    /// Sends a request and returns the status and the JSON.
    pub async fn send(&mut self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path).header("host", self.at.api().to_string());
        request = request.header("authorization", format!("Bearer {}", self.at.token()));
        for (name, value) in self.client.headers(method, body) {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let (status, body) = self.connection.send(request).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// Sends a request that has to succeed.
    pub async fn ok(&mut self, method: &str, path: &str, body: &str) -> Value {
        let (status, answer) = self.send(method, path, body).await;
        assert_eq!(status, 200, "{:?}: {method} {path}: {answer:#}", self.client);
        answer
    }
}
