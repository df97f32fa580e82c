//! The machine's engine: builds as the product does them, and containers through the command line.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::{BuildEvent, BuildSpec, Context, DockerEngine, Engine, Installation};
use futures::StreamExt;

/// Ends a wait for something that never comes.
const ENDS_WITHIN: Duration = Duration::from_secs(180);

/// An image, which goes when this is dropped.
pub struct Image(String);

impl Image {
    pub fn id(&self) -> &str {
        &self.0
    }

    pub fn megabytes(&self) -> u64 {
        let size = docker(&["image", "inspect", "--format", "{{.Size}}", &self.0]).unwrap_or_default();
        size.trim().parse::<u64>().unwrap_or_default() / 1_000_000
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = docker(&["image", "rm", "--force", &self.0]);
    }
}

/// Builds a directory with the text of a Dockerfile. `afresh`: every step runs. Errors: the end of the build's log.
pub fn build(dockerfile: &str, source: &Path, args: &[(&str, &str)], afresh: bool) -> Result<Image, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let id = uuid::Uuid::new_v4();
        let key = *id.as_bytes().repeat(2).first_chunk().unwrap();
        let installation = Installation { id: id.simple().to_string(), key };
        let socket = std::env::var("DOCKER_HOST").unwrap_or_default();
        let socket = socket.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
        let engine = DockerEngine::connect(Path::new(socket), installation).map_err(|error| error.to_string())?;
        let spec = BuildSpec {
            tag: format!("boatyard-detect-test/{}:1", id.simple()),
            dockerfile: ".boatyard.Dockerfile".into(),
            args: args.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            no_cache: afresh,
            ..BuildSpec::default()
        };
        let mut events = engine.build(&spec, context(dockerfile, source)).await.map_err(|error| error.to_string())?;
        let mut log = Vec::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(BuildEvent::Built { .. }) => return Ok(Image(spec.tag)),
                Ok(BuildEvent::Log(line)) => log.push(line),
                Ok(BuildEvent::Step { .. }) => {}
                Err(error) => {
                    return Err(format!("{error}\n{}", log[log.len().saturating_sub(40)..].join("\n")));
                }
            }
        }
        Err("the engine ended the build without a result".to_owned())
    })
}

/// An archive of the directory, with the Dockerfile in a hidden place.
fn context(dockerfile: &str, source: &Path) -> Context {
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_dir_all("", source).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, ".boatyard.Dockerfile", dockerfile.as_bytes()).unwrap();
    let bytes = Bytes::from(archive.into_inner().unwrap());
    futures::stream::iter([Ok(bytes)]).boxed()
}

/// Whether a command succeeds in a build.
pub fn reaches(base: &str, command: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    build(&format!("FROM {base}\nRUN timeout 60 {command}\n"), directory.path(), &[], true).is_ok()
}

/// The text of a file of an image, which need not run.
pub fn file(image: &str, path: &str) -> Result<String, String> {
    let id = docker(&["create", image, "/none"])?;
    let archive = docker(&["cp", &format!("{}:{path}", id.trim()), "-"]);
    docker(&["rm", id.trim()])?;
    archive
}

/// A container, which goes when this is dropped.
pub struct Container {
    id: String,
    port: u16,
}

impl Container {
    /// With an init process, as on the platform.
    pub fn run(image: &str, port: u16) -> Result<Self, String> {
        let id = docker(&["run", "--detach", "--init", "--env", &format!("PORT={port}"), image])?;
        Ok(Self { id: id.trim().to_owned(), port })
    }

    /// Its page, as soon as it answers.
    pub fn page(&self) -> Result<String, String> {
        let deadline = Instant::now() + ENDS_WITHIN;
        loop {
            let state = self.inspect("{{.State.Running}} {{.NetworkSettings.IPAddress}}")?;
            let address = state.strip_prefix("true ").and_then(|it| it.trim().parse::<Ipv4Addr>().ok());
            let answer = address.and_then(|it| get(it, self.port).ok());
            if let Some(answer) = answer.filter(|it| it.starts_with("HTTP/1.1 200") || it.starts_with("HTTP/1.0 200")) {
                return Ok(answer);
            }
            if address.is_none() || Instant::now() > deadline {
                let logs = self.logs();
                return Err(format!("no page from the container ({state}): {logs}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The output of a shell command in it.
    pub fn output(&self, command: &str) -> Result<String, String> {
        docker(&["exec", &self.id, "sh", "-c", command])
    }

    /// Stops it. Errors: the program had to be killed.
    pub fn stop(&self) -> Result<(), String> {
        docker(&["stop", "--time", "60", &self.id])?;
        match self.inspect("{{.State.ExitCode}}")?.trim() {
            "137" => Err("the program ignores its stop signal".into()),
            _ => Ok(()),
        }
    }

    /// What its program wrote, to both outputs.
    fn logs(&self) -> String {
        let output = Command::new("docker").args(["logs", &self.id]).output();
        let text = output.map(|it| [it.stdout, it.stderr].concat()).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn inspect(&self, format: &str) -> Result<String, String> {
        docker(&["container", "inspect", "--format", format, &self.id])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", &self.id]);
    }
}

fn get(address: Ipv4Addr, port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&(address, port).into(), Duration::from_secs(5))?;
    stream.set_read_timeout(Some(ENDS_WITHIN))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Runs `docker` and returns its output. Errors: the end of what it wrote.
fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(arguments).output();
    let output = output.map_err(|error| format!("docker: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let text = text + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().collect();
    Err(format!("docker {} failed:\n{}", arguments[0], lines[lines.len().saturating_sub(40)..].join("\n")))
}
