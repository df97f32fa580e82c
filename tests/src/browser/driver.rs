//! The process chromedriver, and its one session.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::http;
use crate::installation::ENDS_WITHIN;

/// How long the files of a killed browser may take to disappear. Then they are left behind.
const REMOVED_WITHIN: Duration = Duration::from_secs(30);

const ARGUMENTS: [&str; 9] = [
    "--headless",
    // Tests may run as root, where the browser has no sandbox.
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    // Containers often have little shared memory.
    "--disable-dev-shm-usage",
    // The browser makes no requests but those of the test.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
];

pub(super) struct Driver {
    address: SocketAddr,
    session: String,
    browser: Option<Pid>,
    /// Killed on drop.
    process: Child,
    /// Kept open, so that the process can go on writing.
    _output: Lines<BufReader<ChildStdout>>,
    /// The browser's profile, and its home directory, where it would otherwise leave crash reports.
    home: TempDir,
}

/// The browser refused a command, for example because the element is gone.
#[derive(Debug)]
pub(super) struct Refusal {
    code: String,
    message: String,
}

impl Driver {
    /// Starts the driver and a browser. `None` if no driver is installed.
    pub async fn start() -> Result<Option<Driver>> {
        let Some(program) = in_path("chromedriver") else { return Ok(None) };
        let home = tempfile::Builder::new().prefix("by-browser-").tempdir()?;
        let mut process = Command::new(program)
            .arg("--port=0")
            .env("HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("its output is a pipe")?;
        let mut output = BufReader::new(output).lines();
        let port =
            tokio::time::timeout(ENDS_WITHIN, port(&mut output)).await.context("chromedriver did not start")??;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (session, browser) = (String::new(), None);
        let mut driver = Driver { address, session, browser, process, _output: output, home };
        driver.open_session().await?;
        Ok(Some(driver))
    }

    async fn open_session(&mut self) -> Result<()> {
        let profile = format!("--user-data-dir={}", self.home.path().join("profile").display());
        let arguments: Vec<&str> = ARGUMENTS.into_iter().chain([profile.as_str()]).collect();
        let milliseconds = ENDS_WITHIN.as_millis();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "pageLoad": milliseconds, "script": milliseconds },
        } } });
        let opened = self.send("POST", "/session", Some(&wanted)).await?;
        self.session = opened["sessionId"].as_str().context("a new session has an id")?.to_owned();
        let pid = opened["capabilities"]["goog:processID"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        self.browser = pid.and_then(Pid::from_raw);
        Ok(())
    }

    /// Ends the browser, and starts another one in the same home directory.
    pub async fn restart_browser(&mut self) -> Result<()> {
        self.send("DELETE", &format!("/session/{}", self.session), None).await?;
        self.open_session().await
    }

    /// The home directory of the browser.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Sends a command of the session, and returns its result.
    pub async fn command(&self, method: &str, command: &str, body: Option<&Value>) -> Result<Value> {
        self.send(method, &format!("/session/{}/{command}", self.session), body).await
    }

    /// The browser's process id and home directory.
    #[cfg(test)]
    pub fn process_and_home(&self) -> (i32, PathBuf) {
        (self.browser.map_or(0, |it| it.as_raw_nonzero().get()), self.home.path().to_owned())
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let (status, answer) = http::send(self.address, request).await?;
        let mut answer: Value = serde_json::from_slice(&answer).context("an answer of chromedriver in JSON")?;
        let value = answer["value"].take();
        if status == 200 {
            return Ok(value);
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Err(anyhow!(Refusal { code: text("error"), message: text("message") }))
    }
}

impl Drop for Driver {
    /// Ends the browser, which would outlive its driver, and removes its files.
    fn drop(&mut self) {
        // The driver first: it would report that the browser crashed.
        let _ = self.process.start_kill();
        if let Some(browser) = self.browser {
            let _ = kill_process(browser, Signal::KILL);
        }
        // The browser's other processes end when they notice, and write files until then.
        let deadline = Instant::now() + REMOVED_WITHIN;
        while std::fs::remove_dir_all(self.home.path()).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest of the message is a stack trace of the driver.
        write!(f, "{}: {}", self.code, self.message.lines().next().unwrap_or_default())
    }
}

impl std::error::Error for Refusal {}

/// The port, from the line that reports it.
async fn port(output: &mut Lines<BufReader<ChildStdout>>) -> Result<u16> {
    while let Some(line) = output.next_line().await? {
        if let Some((_, port)) = line.trim_end_matches('.').split_once("successfully on port ") {
            return Ok(port.parse()?);
        }
    }
    Err(anyhow!("chromedriver ended at its start"))
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}
