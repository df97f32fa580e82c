//! TERM, which every stop of a container begins with.

use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Runs `end` when TERM (or INT, from a keyboard) arrives; with `ignore` only says that it came.
pub fn on_term(ignore: bool, end: impl FnOnce() + Send + 'static) {
    let mut signals = Signals::new([SIGTERM, SIGINT]).expect("both signals may be handled");
    let mut end = Some(end);
    thread::spawn(move || {
        for _signal in signals.forever() {
            if ignore {
                println!("TERM ignored");
            } else if let Some(end) = end.take() {
                end();
            }
        }
    });
}
