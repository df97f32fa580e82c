//! Which files a site has.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Increase it when older programs can no longer read an index.
pub(crate) const FORMAT: u32 = 1;

/// The files of a site, by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// The form of this index; see [`Index::is_readable`].
    format: u32,
    /// When the files were stored, in seconds since 1970.
    pub stored_at: u64,
    /// By path: relative, with `/` between the names, without empty names and dot names.
    pub files: BTreeMap<String, Entry>,
}

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Identifies its bytes.
    pub sha256: FileHash,
    /// Its length in bytes.
    pub size: u64,
}

/// The SHA-256 hash of a file's bytes. Its 64 hexadecimal digits are the name of the stored file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash(pub [u8; 32]);

impl Index {
    /// An index of these files.
    pub fn new(files: BTreeMap<String, Entry>, stored_at: u64) -> Self {
        Self { format: FORMAT, stored_at, files }
    }

    /// Whether this version knows the form of the index.
    pub(crate) fn is_readable(&self) -> bool {
        self.format == FORMAT
    }
}

impl FileHash {
    /// Whether this is the hash of these bytes.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        Sha256::digest(bytes).as_slice() == self.0
    }

    /// The first half of the digits, which still tells all files apart.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..16])
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for FileHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}
