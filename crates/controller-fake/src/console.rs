//! Fake shells: each writes what it reads, and obeys a few words.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use controller::console::{Console, ConsoleEnd, ConsoleInput, ConsoleOutput};
use tokio::sync::mpsc;

/// Pieces of a flood, of 64 KiB each.
const FLOOD: usize = 256;

/// What happened to the fake shells.
#[derive(Default)]
pub struct FakeConsoles {
    notes: Mutex<Vec<String>>,
    pieces: AtomicUsize,
    dropped: AtomicUsize,
}

impl FakeConsoles {
    pub fn notes(&self) -> Vec<String> {
        self.notes.lock().expect("no panic").clone()
    }

    pub fn pieces(&self) -> usize {
        self.pieces.load(SeqCst)
    }

    pub fn open(self: &Arc<Self>) -> Console {
        let (input, from_client) = mpsc::channel(64);
        let (to_client, output) = mpsc::channel(4);
        let notes = self.clone();
        let ended = tokio::spawn(async move {
            if let Some(end) = notes.run(from_client, &to_client).await {
                let _ = to_client.send(ConsoleOutput::End(end)).await;
            }
        });
        Console { input, output, ended }
    }

    fn note(&self, note: String) {
        self.notes.lock().expect("no panic").push(note);
    }

    /// `None`: the client has gone.
    async fn run(
        &self,
        mut from_client: mpsc::Receiver<ConsoleInput>,
        to_client: &mpsc::Sender<ConsoleOutput>,
    ) -> Option<ConsoleEnd> {
        let write = async |bytes: &[u8]| {
            let sent = to_client.send(ConsoleOutput::Bytes(Bytes::copy_from_slice(bytes))).await;
            drop(sent);
        };
        let mut is_stuck = false;
        while let Some(message) = from_client.recv().await {
            match message {
                ConsoleInput::Resize(size) => self.note(format!("size {}x{}", size.width, size.height)),
                ConsoleInput::Bytes(bytes) => match &bytes[..] {
                    b"exit" => return Some(ConsoleEnd::Exited),
                    b"lost" => return Some(ConsoleEnd::Lost("web-0 has stopped".into())),
                    b"stuck" => {
                        is_stuck = true;
                        self.note("stuck".into());
                    }
                    b"split" => {
                        write(b"a\xc3").await;
                        write(b"\xa9").await;
                    }
                    b"cut" => {
                        write(b"\xc3").await;
                        return Some(ConsoleEnd::Exited);
                    }
                    b"flood" => {
                        self.note("flood begins".into());
                        let piece = vec![b'x'; 64 << 10];
                        for _ in 0..FLOOD {
                            write(&piece).await;
                            self.pieces.fetch_add(1, SeqCst);
                        }
                    }
                    other => {
                        self.note(format!("input {}", String::from_utf8_lossy(other)));
                        write(other).await;
                    }
                },
            }
        }
        let dropped = self.dropped.fetch_add(1, SeqCst) + 1;
        self.note(format!("dropped {dropped}"));
        if is_stuck {
            // Its processes do not end.
            std::future::pending::<()>().await;
        }
        None
    }
}
