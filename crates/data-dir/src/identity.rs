//! The key and the installation id. Each is generated once.

use std::fs;
use std::io;
use std::path::Path;

use rand::{Rng, TryRngCore};

use crate::directory::DATABASE;
use crate::error::{DataDirError, failed, read, write};

pub(crate) const KEY_BYTES: usize = 32;
const INSTALLATION_CHARS: usize = 10;
/// Letters and digits that are hard to confuse, and that every engine accepts in names.
const INSTALLATION_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

pub(crate) fn load_key(root: &Path) -> Result<[u8; KEY_BYTES], DataDirError> {
    let path = root.join("key");
    if let Some(bytes) = read(&path)? {
        return bytes.try_into().map_err(|_| DataDirError::Damaged { path, expected: "a key of 32 bytes" });
    }
    if fs::metadata(root.join(DATABASE)).is_ok_and(|found| found.len() > 0) {
        return Err(DataDirError::KeyMissing { path });
    }
    let mut key = [0; KEY_BYTES];
    rand::rngs::OsRng.try_fill_bytes(&mut key).map_err(|cause| failed("generate", &path, io::Error::other(cause)))?;
    write(&path, &key)?;
    Ok(key)
}

pub(crate) fn load_installation(path: &Path) -> Result<String, DataDirError> {
    let Some(bytes) = read(path)? else {
        let id = new_installation();
        write(path, format!("{id}\n").as_bytes())?;
        return Ok(id);
    };
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    let well_formed = text.len() == INSTALLATION_CHARS && text.bytes().all(|it| INSTALLATION_ALPHABET.contains(&it));
    if well_formed {
        Ok(text)
    } else {
        Err(DataDirError::Damaged { path: path.to_owned(), expected: "an installation id" })
    }
}

fn new_installation() -> String {
    let mut rng = rand::rng();
    (0..INSTALLATION_CHARS)
        .map(|_| char::from(INSTALLATION_ALPHABET[rng.random_range(0..INSTALLATION_ALPHABET.len())]))
        .collect()
}
