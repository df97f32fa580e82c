//! The machine's engine, through its command line.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

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

/// Builds an image. `afresh`: every step runs. Errors: the end of the build's log.
pub fn build(dockerfile: &Path, source: &Path, afresh: bool) -> Result<Image, String> {
    let id = dockerfile.with_file_name("image");
    let path = |it: &Path| it.display().to_string();
    let (dockerfile, id_file, source) = (path(dockerfile), path(&id), path(source));
    let mut arguments = vec!["build", "--progress", "plain", "--file", &dockerfile, "--iidfile", &id_file];
    arguments.extend(afresh.then_some("--no-cache"));
    arguments.push(&source);
    docker(&arguments)?;
    Ok(Image(std::fs::read_to_string(id).map_err(|error| error.to_string())?))
}

/// Whether a command succeeds in a build.
pub fn reaches(base: &str, command: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let dockerfile = directory.path().join("Dockerfile");
    std::fs::write(&dockerfile, format!("FROM {base}\nRUN timeout 60 {command}\n")).unwrap();
    build(&dockerfile, directory.path(), true).is_ok()
}

/// A container, which goes when this is dropped.
pub struct Container {
    id: String,
    port: u16,
}

impl Container {
    pub fn run(image: &str, port: u16) -> Result<Self, String> {
        let id = docker(&["run", "--detach", "--env", &format!("PORT={port}"), image])?;
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
                let logs = docker(&["logs", &self.id]).unwrap_or_default();
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
    let output = Command::new("docker").args(arguments).env("DOCKER_BUILDKIT", "1").output();
    let output = output.map_err(|error| format!("docker: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let text = text + &String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().collect();
    Err(format!("docker {} failed:\n{}", arguments[0], lines[lines.len().saturating_sub(40)..].join("\n")))
}
