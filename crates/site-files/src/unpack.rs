//! Stores the files of a tar stream.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use tar::{Archive, EntryType};
use thiserror::Error;

use crate::index::{Entry, FileHash, Index};
use crate::links;
use crate::stored::{INDEX, StoredSite};

/// How large a site may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Bytes of all their paths together.
    pub paths: u64,
}

impl Default for Limits {
    /// 100,000 files with 16 MiB of paths, which the ingress keeps in its memory, and 4 GiB, the local disk of a component on
    /// App Platform.
    fn default() -> Self {
        Self { files: 100_000, bytes: 4 << 30, paths: 16 << 20 }
    }
}

impl Limits {
    /// Errors: there are more files, or longer paths.
    pub(crate) fn check(&self, files: usize, paths: u64) -> Result<(), UnpackError> {
        if files > self.files {
            return Err(UnpackError::TooManyFiles { most: self.files });
        }
        if paths > self.paths {
            return Err(UnpackError::PathsTooLong { most: self.paths });
        }
        Ok(())
    }
}

/// The result.
#[derive(Debug)]
pub struct Unpacked {
    /// Number of files.
    pub files: usize,
    /// Bytes of all files together. Files with the same content are stored once.
    pub bytes: u64,
    /// What was left out, and why. For people.
    pub notes: Vec<String>,
}

/// Why the files were not stored. Nothing of them is left.
#[derive(Debug, Error)]
pub enum UnpackError {
    /// The stream could not be read.
    #[error("cannot read the files of the image: {0}")]
    Read(#[source] io::Error),
    /// The files could not be written.
    #[error("cannot store the files of the site in {path}: {cause}")]
    Write {
        /// The directory.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The site's directory is a file, or a link that leads out of the image.
    #[error("{directory} is not a directory")]
    NotADirectory {
        /// The path in the image.
        directory: String,
    },
    /// There is no file in it.
    #[error("the directory {directory} contains no file")]
    Empty {
        /// The path in the image.
        directory: String,
    },
    /// A name in the stream is absolute, contains `..`, or lies outside of the directory.
    #[error("the file {path:?} would lie outside of the site")]
    PathLeaves {
        /// As the stream has it.
        path: String,
    },
    /// A symbolic or hard link names something outside of the site.
    #[error(
        "{path} is a link to {target}, which is outside of the site's files. Copy what it names into the directory of the site"
    )]
    LinkLeaves {
        /// The link.
        path: String,
        /// What it names.
        target: String,
    },
    /// Neither a file nor a directory nor a link.
    #[error("{path} is a device, a pipe or a socket; a site contains files, directories and links")]
    Special {
        /// The entry.
        path: String,
    },
    /// A name that no request can contain.
    #[error("the name of the file {path:?} is not UTF-8")]
    NotUtf8 {
        /// With replaced bytes.
        path: String,
    },
    /// See [`Limits`].
    #[error("the site has more than {most} files")]
    TooManyFiles {
        /// The limit.
        most: usize,
    },
    /// See [`Limits`].
    #[error("the paths of the site's files are longer than {} MiB together", most >> 20)]
    PathsTooLong {
        /// The limit.
        most: u64,
    },
    /// See [`Limits`].
    #[error("the files of the site are larger than {} MiB together", most >> 20)]
    TooLarge {
        /// The limit.
        most: u64,
    },
}

/// Stores the files of a tar stream in `to`, which exists completely afterwards or not at all. If `to` is there already, it
/// stays as it is. Blocks. The first entry of the stream is the directory whose files are stored. `directory`: its path in
/// the image. Errors: [`UnpackError`].
pub fn unpack(stream: impl Read, directory: &str, to: &Path, limits: Limits) -> Result<Unpacked, UnpackError> {
    let parent = to.parent().unwrap_or(Path::new("."));
    let failed = |cause| UnpackError::Write { path: to.to_owned(), cause };
    DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(failed)?;
    let draft = Draft::new(parent).map_err(failed)?;
    let mut site =
        Reading { draft: &draft, to, limits, files: BTreeMap::new(), links: BTreeMap::new(), bytes: 0, paths: 0 };
    site.read(stream, directory)?;
    let Reading { mut files, links, bytes, paths, .. } = site;
    let notes = links::resolve(&mut files, &links, directory, limits, paths)?;
    if files.is_empty() {
        return Err(UnpackError::Empty { directory: directory.to_owned() });
    }
    let count = files.len();
    draft.finish(&Index::new(files, now()), to).map_err(failed)?;
    Ok(Unpacked { files: count, bytes, notes })
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

/// What was read of a stream.
struct Reading<'a> {
    draft: &'a Draft,
    to: &'a Path,
    limits: Limits,
    files: BTreeMap<String, Entry>,
    links: BTreeMap<String, String>,
    bytes: u64,
    paths: u64,
}

impl Reading<'_> {
    fn read(&mut self, stream: impl Read, directory: &str) -> Result<(), UnpackError> {
        let mut archive = Archive::new(stream);
        let mut root = None;
        for entry in archive.entries().map_err(UnpackError::Read)? {
            let mut entry = entry.map_err(UnpackError::Read)?;
            let kind = entry.header().entry_type();
            let path = normal(&text(&entry.path_bytes())?)?;
            let Some(root) = &root else {
                if kind != EntryType::Directory {
                    return Err(UnpackError::NotADirectory { directory: directory.to_owned() });
                }
                root = Some(path);
                continue;
            };
            let path = below(&path, root)?;
            match kind {
                EntryType::Directory => {}
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.store(&mut entry, path)?,
                EntryType::Symlink => {
                    let target = text(&entry.link_name_bytes().unwrap_or_default())?;
                    self.count(&path)?;
                    self.links.insert(path, target);
                }
                EntryType::Link => {
                    let target = text(&entry.link_name_bytes().unwrap_or_default())?;
                    let named = normal(&target).and_then(|it| below(&it, root)).ok();
                    let Some(known) = named.and_then(|it| self.files.get(&it)).copied() else {
                        return Err(UnpackError::LinkLeaves { path, target });
                    };
                    self.count(&path)?;
                    self.files.insert(path, known);
                }
                _ => return Err(UnpackError::Special { path }),
            }
        }
        match root {
            Some(_) => Ok(()),
            None => Err(UnpackError::NotADirectory { directory: directory.to_owned() }),
        }
    }

    fn store(&mut self, entry: &mut tar::Entry<'_, impl Read>, path: String) -> Result<(), UnpackError> {
        let most = self.limits.bytes;
        let size = entry.size();
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > most {
            return Err(UnpackError::TooLarge { most });
        }
        let sha256 = self.draft.store(entry, size).map_err(|error| match error {
            StoreError::Read(cause) => UnpackError::Read(cause),
            StoreError::Write(cause) => UnpackError::Write { path: self.to.to_owned(), cause },
        })?;
        self.count(&path)?;
        self.files.insert(path, Entry { sha256, size });
        Ok(())
    }

    /// Counts a path that is added. Errors: see [`Limits::check`].
    fn count(&mut self, path: &str) -> Result<(), UnpackError> {
        self.paths += path.len() as u64;
        self.limits.check(self.files.len() + self.links.len() + 1, self.paths)
    }
}

fn text(bytes: &[u8]) -> Result<String, UnpackError> {
    let text = std::str::from_utf8(bytes);
    text.map(str::to_owned).map_err(|_| UnpackError::NotUtf8 { path: String::from_utf8_lossy(bytes).into_owned() })
}

/// A path of the stream without empty names and `.`.
fn normal(path: &str) -> Result<String, UnpackError> {
    let leaves = path.starts_with('/') || path.contains('\0') || path.split('/').any(|name| name == "..");
    if leaves {
        return Err(UnpackError::PathLeaves { path: path.to_owned() });
    }
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty() && *name != ".").collect();
    Ok(names.join("/"))
}

/// The rest of a path below the directory of the stream.
fn below(path: &str, root: &str) -> Result<String, UnpackError> {
    let rest = if root.is_empty() { Some(path) } else { path.strip_prefix(root).and_then(|it| it.strip_prefix('/')) };
    let rest = rest.filter(|it| !it.is_empty());
    rest.map(str::to_owned).ok_or_else(|| UnpackError::PathLeaves { path: path.to_owned() })
}

/// A directory that is being filled. Removed when it is dropped, unless it was finished.
struct Draft {
    path: PathBuf,
    finished: std::cell::Cell<bool>,
}

enum StoreError {
    Read(io::Error),
    Write(io::Error),
}

impl Draft {
    fn new(parent: &Path) -> io::Result<Self> {
        let path = parent.join(format!("{}.new", uuid::Uuid::new_v4().simple()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, finished: std::cell::Cell::new(false) })
    }

    /// Stores one file.
    fn store(&self, from: &mut impl Read, size: u64) -> Result<FileHash, StoreError> {
        let unnamed = self.path.join("file.new");
        let mut file = create(&unnamed).map_err(StoreError::Write)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        let mut left = size;
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = match from.read(&mut buffer[..most]) {
                Ok(0) => return Err(StoreError::Read(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(StoreError::Read(error)),
            };
            hash.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(StoreError::Write)?;
            left -= count as u64;
        }
        drop(file);
        let hash = FileHash(hash.finalize().into());
        // A file with the same content has the same name.
        fs::rename(&unnamed, self.path.join(hash.to_string())).map_err(StoreError::Write)?;
        Ok(hash)
    }

    /// Syncs all files and gives the directory its name.
    fn finish(&self, index: &Index, to: &Path) -> io::Result<()> {
        let mut file = create(&self.path.join(INDEX))?;
        let mut writer = io::BufWriter::new(&mut file);
        serde_json::to_writer(&mut writer, index)?;
        writer.flush()?;
        drop(writer);
        file.sync_all()?;
        // One call for all files: thousands of calls of fsync take much longer.
        rustix::fs::syncfs(File::open(&self.path)?)?;
        match fs::rename(&self.path, to) {
            Ok(()) => self.finished.set(true),
            // The same files were stored meanwhile.
            Err(_) if StoredSite::open_complete(to).is_some() => return Ok(()),
            Err(error) => return Err(error),
        }
        File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.finished.get() {
            // What stays is removed with the other directories that no deployment uses.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
