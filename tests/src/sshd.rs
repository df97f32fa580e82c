//! OpenSSH's server on a free port of this host, with keys and a configuration of its own.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where Debian and others install it. It must be started by its whole path.
const PROGRAM: &str = "/usr/sbin/sshd";

/// A running server. It ends with this value.
pub struct Sshd {
    directory: PathBuf,
    port: u16,
    user: String,
    _process: Running,
}

impl Sshd {
    /// Starts a server with its files in a new directory below `directory`. `None` without the program, unless it is
    /// required.
    pub fn start(directory: &Path) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            let required = std::env::var("BOATYARD_REQUIRE_SSHD").is_ok_and(|it| it == "1");
            assert!(!required, "{PROGRAM} is missing. Run: make setup");
            eprintln!("skipped: this test needs {PROGRAM}");
            return None;
        }
        let directory = directory.join("sshd");
        fs::create_dir(&directory).unwrap();
        for kind in ["ed25519", "ecdsa"] {
            generate_key(&directory.join(format!("host_{kind}")), kind);
        }
        fs::write(directory.join("authorized_keys"), "").unwrap();
        // Chosen and released: sshd does not report a port that it chose. Another process may take it meanwhile.
        for _ in 0..20 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            if let Some(process) = spawn(&directory, port) {
                let user = String::from_utf8(Command::new("id").arg("-un").output().unwrap().stdout).unwrap();
                return Some(Self { directory, port, user: user.trim().to_owned(), _process: process });
            }
        }
        panic!("sshd does not start: {}", fs::read_to_string(directory.join("log")).unwrap());
    }

    /// The name under which a login for this server is kept.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The address of a repository on this host.
    pub fn address(&self, repository: &Path) -> String {
        format!("ssh://{}@{}{}", self.user, self.host(), repository.display())
    }

    /// The fingerprints of the server's keys.
    pub fn host_keys(&self) -> Vec<String> {
        let of = |kind| fingerprint(&self.directory.join(format!("host_{kind}.pub")));
        ["ed25519", "ecdsa"].map(of).into()
    }

    /// The server's keys as a file of known hosts has them.
    pub fn known_hosts(&self) -> String {
        let line = |kind: &str| {
            let key = fs::read_to_string(self.directory.join(format!("host_{kind}.pub"))).unwrap();
            format!("[127.0.0.1]:{} {key}", self.port)
        };
        ["ed25519", "ecdsa"].map(line).concat()
    }

    /// A new private key. The server accepts it if it is `authorized`.
    pub fn new_key(&self, kind: &str, authorized: bool) -> PathBuf {
        let file = self.directory.join(format!("user_{kind}_{authorized}"));
        generate_key(&file, kind);
        if authorized {
            let public = fs::read_to_string(file.with_extension("pub")).unwrap();
            let all = self.directory.join("authorized_keys");
            fs::write(&all, fs::read_to_string(&all).unwrap() + &public).unwrap();
        }
        file
    }

    /// What the server logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap()
    }
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the server, and waits until it listens. `None` if the port is taken.
fn spawn(directory: &Path, port: u16) -> Option<Running> {
    let at = |name: &str| directory.join(name).display().to_string();
    let config = format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         UsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel VERBOSE\n\
         PermitRootLogin prohibit-password\n",
        at("host_ed25519"),
        at("host_ecdsa"),
        at("authorized_keys"),
    );
    fs::write(directory.join("config"), config).unwrap();
    let log = File::create(directory.join("log")).unwrap();
    if fs::create_dir("/run/sshd").is_ok() {
        // As root, sshd separates its privileges in this directory. Debian's service creates it.
        fs::set_permissions("/run/sshd", fs::Permissions::from_mode(0o755)).unwrap();
    }
    let child = Command::new(PROGRAM)
        .args(["-D", "-e", "-f"])
        .arg(directory.join("config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    let mut running = Running(child.unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if running.0.try_wait().unwrap().is_some() {
            return None;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Some(running);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("sshd does not listen");
}

fn generate_key(file: &Path, kind: &str) {
    let made = Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(file).status().unwrap();
    assert!(made.success());
}

fn fingerprint(public_key: &Path) -> String {
    let shown = Command::new("ssh-keygen").arg("-lf").arg(public_key).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.split(' ').nth(1).unwrap().to_owned()
}
