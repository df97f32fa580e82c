//! Files with a token, a key or a password.

use std::io::{self, Read};
use std::path::Path;

use crate::spec::file::is_standard_input;

/// The most bytes that a secret may have. Access tokens that are JSON documents have about 3 KiB.
pub const MAX_SECRET: u64 = 64 * 1024;

/// The content of the file, or of standard input for `-`. It is never printed. Errors: the file cannot be read, or has more
/// bytes than `most`.
pub fn text(file: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let length = match is_standard_input(file) {
        true => io::stdin().take(most + 1).read_to_string(&mut text),
        false => std::fs::File::open(file)?.take(most + 1).read_to_string(&mut text),
    }?;
    match length as u64 > most {
        true => Err(io::Error::other(format!("it is longer than {most} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_long_is_refused_and_never_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("token");
        std::fs::write(&file, "1234").expect("it is writable");
        assert_eq!(text(&file, 4).expect("short enough"), "1234");
        assert_eq!(text(&file, 3).expect_err("too long").to_string(), "it is longer than 3 bytes");
        assert!(text(&directory.path().join("missing"), 4).is_err());
    }
}
