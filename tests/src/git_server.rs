//! A small git server for http and https on a free port, and the ways in which a server can misbehave.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What the server does with a request.
#[derive(Clone)]
pub enum Manner {
    /// Serves the bare repository in this directory over git's smart protocol.
    Serve(PathBuf),
    /// The same, for clients that send exactly this `Authorization`.
    ServeWithLogin(PathBuf, String),
    /// Answers every request with this status.
    Status(&'static str),
    /// Redirects to this address, with the request's path appended.
    Redirect(String),
    /// Accepts the request and never answers.
    Hang,
    /// Answers with a byte now and then, forever.
    Trickle,
    /// Answers 200 with a web page.
    Page,
    /// Truncates the list of references.
    Cut(PathBuf),
}

/// Runs until the process exits; each test has its own server.
pub struct Server {
    pub url: String,
    requests: Arc<Mutex<Vec<Seen>>>,
}

/// A received request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub line: String,
    pub authorization: Option<String>,
}

impl Server {
    pub fn start(manner: Manner) -> Self {
        Self::start_as("http", manner, Some)
    }

    /// A server for https, with a certificate for localhost. Also returns the certificate of its authority as PEM.
    pub fn start_tls(manner: Manner) -> (Self, String) {
        let (authority, config) = tls();
        let config = Arc::new(config);
        let server = Self::start_as("https", manner, move |stream| {
            Some(StreamOwned::new(ServerConnection::new(config.clone()).ok()?, stream))
        });
        (server, authority)
    }

    fn start_as<S: Read + Write>(
        scheme: &str,
        manner: Manner,
        wrap: impl Fn(TcpStream) -> Option<S> + Clone + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let host = if scheme == "https" { "localhost" } else { "127.0.0.1" };
        let url = format!("{scheme}://{host}:{}/owner/name.git", listener.local_addr().unwrap().port());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (manner, seen, wrap) = (manner.clone(), Arc::clone(&seen), wrap.clone());
                thread::spawn(move || answer(wrap(stream)?, &manner, &seen));
            }
        });
        Self { url, requests }
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.requests.lock().unwrap().clone()
    }
}

/// The certificate of a new authority as PEM, and a configuration with a certificate of it for localhost.
fn tls() -> (String, ServerConfig) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let provider = tokio_rustls::rustls::crypto::ring::default_provider();
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    (authority.pem(), config)
}

/// Answers one request. The client notices errors on the connection.
fn answer(stream: impl Read + Write, manner: &Manner, seen: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut stream = reader.into_inner();
    // A proxy gets the absolute address and passes it on.
    let target = line.split(' ').nth(1)?;
    let path =
        target.strip_prefix("http://").map_or(target, |rest| &rest[rest.find('/').unwrap_or(rest.len())..]).to_owned();
    seen.lock().unwrap().push(Seen { line, authorization: authorization.clone() });
    match manner {
        Manner::Serve(repo) => serve(&mut stream, repo, &path, &body),
        Manner::ServeWithLogin(repo, login) if authorization.as_ref() == Some(login) => {
            serve(&mut stream, repo, &path, &body)
        }
        Manner::ServeWithLogin(..) => {
            respond(&mut stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"git\"\r\n", b"")
        }
        Manner::Status(status) => respond(&mut stream, status, "", b"no"),
        Manner::Redirect(to) => respond(&mut stream, "302 Found", &format!("Location: {to}{path}\r\n"), b""),
        Manner::Hang => {
            let _ = stream.read(&mut [0]);
            None
        }
        Manner::Trickle => {
            // A valid beginning, then a line of 65,520 bytes that never ends.
            let start = format!(
                "HTTP/1.1 200 OK\r\n{REFERENCES}Content-Length: 70000\r\n\r\n001e# service=git-upload-pack\n0000fff0"
            );
            stream.write_all(start.as_bytes()).ok()?;
            // Ends when the client disconnects.
            while stream.write_all(b"0").is_ok() {
                thread::sleep(std::time::Duration::from_millis(10));
            }
            None
        }
        Manner::Page => respond(&mut stream, "200 OK", "Content-Type: text/html\r\n", b"<html>Welcome</html>"),
        Manner::Cut(repo) => {
            let whole = references(repo)?;
            respond(&mut stream, "200 OK", REFERENCES, &whole[..whole.len() / 2])
        }
    }
}

const REFERENCES: &str = "Content-Type: application/x-git-upload-pack-advertisement\r\n";

fn serve(stream: &mut impl Write, repo: &Path, path: &str, body: &[u8]) -> Option<()> {
    if path.ends_with("/info/refs?service=git-upload-pack") {
        return respond(stream, "200 OK", REFERENCES, &references(repo)?);
    }
    let answer = upload_pack(repo, &["--stateless-rpc"], body)?;
    respond(stream, "200 OK", "Content-Type: application/x-git-upload-pack-result\r\n", &answer)
}

fn references(repo: &Path) -> Option<Vec<u8>> {
    let mut answer = b"001e# service=git-upload-pack\n0000".to_vec();
    answer.extend(upload_pack(repo, &["--stateless-rpc", "--advertise-refs"], b"")?);
    Some(answer)
}

/// git's own server side, as its `http-backend` calls it.
fn upload_pack(repo: &Path, options: &[&str], body: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new("git")
        .args(["-c", "safe.directory=*", "upload-pack"])
        .args(options)
        .arg(repo)
        .env("HOME", "/nonexistent")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("these tests need the git program for their server");
    let mut stdin = child.stdin.take().expect("the pipe was asked for above");
    let body = body.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&body));
    let mut answer = Vec::new();
    let read = child.stdout.take().map(|mut stdout| stdout.read_to_end(&mut answer));
    let _ = writer.join();
    child.wait().ok()?;
    read?.ok().map(|_| answer)
}

fn respond(stream: &mut impl Write, status: &str, headers: &str, body: &[u8]) -> Option<()> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    stream.flush().ok()
}
