//! The command line on a terminal: what it prompts for, and what it never shows.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use boatyard_tests::installation::{ENDS_WITHIN, Installation};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::support::*;

const CTRL_C: &str = "\x03";

/// A command with a separate terminal as its standard streams.
pub struct Terminal {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
    child: Child,
}

impl Terminal {
    pub fn run(at: &Installation, args: &[&str]) -> Terminal {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let there = std::path::Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let line = OpenOptions::new().read(true).write(true).open(there).unwrap();
        let child = Command::new(PROGRAM)
            .args(args)
            .arg("--data-dir")
            .arg(at.data())
            .env_remove("BOATYARD_TOKEN")
            .env_remove("BOATYARD_API_URL")
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line)
            .spawn()
            .unwrap();
        let keyboard = File::from(keyboard);
        let screen = watched(keyboard.try_clone().unwrap());
        Terminal { keyboard, screen, shown: String::new(), child }
    }

    /// Waits until `text` is shown.
    pub fn until(&mut self, text: &str) {
        let deadline = Instant::now() + ENDS_WITHIN;
        while !self.shown.contains(text) {
            let left = deadline.saturating_duration_since(Instant::now());
            let more = self.screen.recv_timeout(left).unwrap_or_else(|_| panic!("no {text:?} in {:?}", self.shown));
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
    }

    pub fn type_in(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    pub fn is_echoing(&self) -> bool {
        tcgetattr(&self.keyboard).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    /// Changes the size of the window. The terminal is not the command's controlling one, so the signal is sent here.
    pub fn resize(&self, width: u16, height: u16) {
        let size = Winsize { ws_col: width, ws_row: height, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.keyboard, size).unwrap();
        self.signal(Signal::WINCH);
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit code, and everything that was shown.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        for more in self.screen.iter() {
            self.shown.push_str(&String::from_utf8_lossy(&more));
        }
        (code, std::mem::take(&mut self.shown))
    }
}

impl Drop for Terminal {
    /// Kills the command if it has not ended yet.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output on a terminal, until the last process has closed it.
fn watched(mut terminal: File) -> Receiver<Vec<u8>> {
    let (seen, screen) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = terminal.read(&mut bytes) {
            if seen.send(bytes[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    screen
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_values_are_prompted_for_once_and_secrets_are_never_shown() {
    let at = installation().await;
    let open = shop().replacen("value: web}", "value: web}, {key: TOKEN, type: SECRET}", 1);
    let open = open.replacen("value: api}", "value: api}, {key: GREETING, value: '${GREETING}'}", 1);
    let file = spec_file(&at, &open);
    let create = ["apps", "create", "--spec", &file, "--wait"];

    let mut left = Terminal::run(&at, &create);
    left.until("TOKEN of web (not shown): ");
    left.type_in(&format!("hunt{CTRL_C}"));
    let (code, shown) = left.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("nothing was sent") && !shown.contains("hunt"), "{shown}");
    assert!(left.is_echoing(), "the terminal is left as it was");
    assert_eq!(at.ok("GET", "/v2/apps", None).await.unwrap()["apps"].as_array().map_or(0, Vec::len), 0);

    let mut asked = Terminal::run(&at, &create);
    asked.until("TOKEN of web (not shown): ");
    assert!(!asked.is_echoing());
    asked.type_in("hunter2\n");
    asked.until("GREETING of api: ");
    assert!(asked.is_echoing());
    asked.type_in("good day\n");
    let (code, shown) = asked.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("good day") && !shown.contains("hunter2"), "{shown}");
    assert_eq!(page(&at, "/env?key=TOKEN").await, "hunter2");
    assert_eq!(page(&at, "/api/env?key=GREETING").await, "good day");

    // The app has its values now: it does not prompt again.
    let mut again = Terminal::run(&at, &["apps", "create", "--upsert", "--spec", &file, "--wait"]);
    let (code, shown) = again.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("TOKEN") && !shown.contains("GREETING"), "{shown}");
    assert_eq!(page(&at, "/env?key=TOKEN").await, "hunter2");
    assert_eq!(page(&at, "/api/env?key=GREETING").await, "good day");
}
