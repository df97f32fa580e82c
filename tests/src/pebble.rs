//! Pebble, a certificate authority for tests that speaks ACME, with a name server that sends every name to this host.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

const PROGRAM: &str = "pebble";
const NAME_SERVER: &str = "pebble-challtestsrv";

/// An authority that can be started and stopped. Dropping it stops it.
pub struct Pebble {
    directory: PathBuf,
    acme: u16,
    management: u16,
    checks_slowly: bool,
    running: Vec<Running>,
}

impl Pebble {
    /// Chooses ports and writes files to a new directory below `directory`, but starts nothing. `None` without the programs,
    /// unless they are required.
    pub fn prepare(directory: &Path) -> Option<Self> {
        let is_there = |program| Command::new(program).arg("-help").stderr(Stdio::null()).output().is_ok();
        if !is_there(PROGRAM) || !is_there(NAME_SERVER) {
            let required = std::env::var("BOATYARD_REQUIRE_PEBBLE").is_ok_and(|it| it == "1");
            assert!(!required, "{PROGRAM} is missing. Run: make setup");
            eprintln!("skipped: this test needs {PROGRAM} and {NAME_SERVER} (in Debian: pebble)");
            return None;
        }
        let directory = directory.join("pebble");
        fs::create_dir(&directory).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(directory.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let [acme, management] = free_ports();
        Some(Self { directory, acme, management, checks_slowly: false, running: Vec::new() })
    }

    /// The address of the ACME directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.acme)
    }

    /// The certificate of the ACME server, which is its own authority.
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("cert.pem")
    }

    /// Makes the authority wait for some seconds before it checks a name.
    pub fn check_slowly(&mut self) {
        self.checks_slowly = true;
    }

    /// Starts the authority. It checks names by requests to `http` and handshakes with `https`, and its certificates are
    /// valid for `seconds`.
    pub fn start(&mut self, http: SocketAddr, https: SocketAddr, seconds: u64) {
        let local = |port: u16| format!("127.0.0.1:{port}");
        let config = json!({"pebble": {
            "listenAddress": local(self.acme),
            "managementListenAddress": local(self.management),
            "certificate": self.directory.join("cert.pem"),
            "privateKey": self.directory.join("key.pem"),
            "httpPort": http.port(),
            "tlsPort": https.port(),
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": seconds,
        }});
        let file = self.directory.join("config.json");
        fs::write(&file, config.to_string()).unwrap();
        let [dns, names] = free_ports();
        let (dns, off) = (local(dns), "");
        let arguments =
            ["-dns01", &dns, "-defaultIPv4", "127.0.0.1", "-defaultIPv6", off, "-management", &local(names)];
        let mut name_server = Command::new(NAME_SERVER);
        name_server.args(arguments).args(["-http01", off, "-https01", off, "-tlsalpn01", off]);
        self.running.push(self.spawn(name_server, NAME_SERVER));
        let mut authority = Command::new(PROGRAM);
        authority.arg("-config").arg(&file).args(["-dnsserver", &dns]);
        // Accepts every nonce: this is no test of a client for ACME.
        authority.env("PEBBLE_WFE_NONCEREJECT", "0").env("PEBBLE_AUTHZREUSE", "0");
        if !self.checks_slowly {
            authority.env("PEBBLE_VA_NOSLEEP", "1");
        }
        self.running.push(self.spawn(authority, PROGRAM));
        let deadline = Instant::now() + crate::installation::ENDS_WITHIN;
        while TcpStream::connect(local(self.acme)).is_err() {
            assert!(Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops the authority. It forgets its accounts and orders.
    pub fn stop(&mut self) {
        self.running.clear();
    }

    /// What the programs have printed.
    pub fn log(&self) -> String {
        [NAME_SERVER, PROGRAM].map(|it| fs::read_to_string(self.directory.join(it)).unwrap_or_default()).join("\n")
    }

    fn spawn(&self, mut command: Command, name: &str) -> Running {
        let log = File::options().create(true).append(true).open(self.directory.join(name)).unwrap();
        let command = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Running(command.spawn().unwrap())
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two ports that were free a moment ago.
fn free_ports() -> [u16; 2] {
    let bound = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    bound.map(|it| it.local_addr().unwrap().port())
}
