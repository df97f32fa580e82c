//! The contents of small files, kept in memory: opening, reading and closing a file costs more than everything else that an
//! answer takes.

use std::sync::LazyLock;

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use site_files::FileHash;

/// Bytes of the longest file that is kept. Our choice: most pages, scripts and styles are shorter, and a longer file takes more
/// time to send than to open.
pub(super) const LONGEST: u64 = 64 * 1024;
/// Bytes of all kept files. Our choice. `docs/static-sites.md` states this number.
const CAPACITY: u64 = 32 * 1024 * 1024;
/// What one file takes beside its bytes, roughly.
const OVERHEAD: u64 = 128;

/// By the hash of the content, so a kept file is never out of date, and sites share files.
static KEPT: LazyLock<Cache<FileHash, Bytes, ByLength>> =
    LazyLock::new(|| Cache::with_weighter((CAPACITY / (8 * 1024)) as usize, CAPACITY, ByLength));

#[derive(Clone)]
struct ByLength;

impl Weighter<FileHash, Bytes> for ByLength {
    fn weight(&self, _: &FileHash, content: &Bytes) -> u64 {
        content.len() as u64 + OVERHEAD
    }
}

/// The content of a file, if it is kept.
pub(super) fn get(file: &FileHash) -> Option<Bytes> {
    KEPT.get(file)
}

/// Keeps a file of at most [`LONGEST`] bytes. Others are dropped when there are too many.
pub(super) fn keep(file: FileHash, content: Bytes) {
    KEPT.insert(file, content);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_files_take_a_limited_amount_of_memory() {
        let content = Bytes::from(vec![0; 64 * 1024]);
        for number in 0..2_000_u32 {
            let mut hash = [7; 32];
            hash[..4].copy_from_slice(&number.to_le_bytes());
            keep(FileHash(hash), content.clone());
            assert!(KEPT.weight() <= CAPACITY);
        }
        assert!(KEPT.len() > 100);
    }
}
