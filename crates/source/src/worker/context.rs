//! Streams the build context as a tar, directly from git objects: no checkout, no temporary file.
//!
//! Entries are in git's order, owned by 0, with modes 644 and 755 and the commit's time, so the same commit gives the
//! same bytes. Symbolic links are sent as links. Names that git refuses end the stream with an error.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use git2::{ObjectType, Odb, OdbObject, Oid, Tree};
use tar::{Builder, EntryType, Header};

use super::errors::{damaged, pipe};
use super::report;
use super::tree::{CommitReader, DIRECTORY, Dockerfile, EXECUTABLE, LINK, SUBMODULE, is_file};
use crate::dockerignore::{Dockerignore, Matches};
use crate::error::SourceError;
use crate::identity::{Note, RESERVED_DOCKERFILE, Selection};
use crate::protocol::{CHUNK, FrameKind, Opened, write_frame};

/// Zip archives cannot store earlier times, and tools that create them during a build fail on 1970.
const EARLIEST_MTIME: i64 = 315_619_200; // 1980-01-02
const LATEST_MTIME: i64 = 0o77_777_777_777; // the largest value of 11 octal digits
/// Submodules and LFS pointers that are reported one by one.
const MAX_NOTES: u64 = 20;
/// Entries that may be visited for each file that may be sent: 1,000,000 by default.
const VISITED_PER_FILE: u64 = 5;
/// Maximum size of a pointer file: 1024 bytes by the LFS specification.
const LFS_POINTER: usize = 1024;

/// Sends the whole answer to a context request, except errors.
pub(super) fn send(reader: &CommitReader<'_>, selection: &Selection, out: &mut impl Write) -> Result<(), SourceError> {
    let root = reader.directory_tree(&selection.source_dir)?;
    let dockerfile = reader.dockerfile(selection)?;
    let ignore = reader.ignore(selection, &dockerfile)?;
    let odb = reader.opened.odb().map_err(|error| damaged(&error, reader.repo))?;
    report(out, FrameKind::Opened, &Opened { dockerfile_in_context: dockerfile.in_context.clone() })?;
    let mtime = reader.commit.time().seconds().clamp(EARLIEST_MTIME, LATEST_MTIME).unsigned_abs();
    let mut walk = ContextWriter {
        reader,
        odb: &odb,
        ignore: &ignore,
        dockerfile: &dockerfile,
        tar: Builder::new(FrameWriter { out, buffer: Vec::with_capacity(CHUNK), sent: 0 }),
        mtime,
        files: 0,
        seen: 0,
        bytes: 0,
        notes: 0,
        pending_directories: Vec::new(),
    };
    if dockerfile.added {
        walk.add(RESERVED_DOCKERFILE.as_bytes(), EntryType::Regular, 0o644, dockerfile.text.as_bytes())?;
    }
    walk.directory(&root, b"", &ignore.root(), 0)?;
    walk.finish()
}

struct ContextWriter<'a, W: Write> {
    reader: &'a CommitReader<'a>,
    odb: &'a Odb<'a>,
    ignore: &'a Dockerignore,
    dockerfile: &'a Dockerfile,
    tar: Builder<FrameWriter<'a, W>>,
    mtime: u64,
    files: u64,
    /// Entries visited, sent or not.
    seen: u64,
    bytes: u64,
    notes: u64,
    /// Excluded parent directories, to be written if an entry below them is included again.
    pending_directories: Vec<Vec<u8>>,
}

impl<'a, W: Write> ContextWriter<'a, W> {
    /// Sends everything in `tree`, which is at `prefix` (empty, or ending with a slash), `depth` levels down.
    fn directory(&mut self, tree: &Tree<'_>, prefix: &[u8], above: &Matches, depth: u32) -> Result<(), SourceError> {
        if depth > self.reader.limits.depth {
            return Err(too_large(printable(prefix), format!("{} levels of directories", self.reader.limits.depth)));
        }
        let mut seen = HashSet::with_capacity(tree.len());
        for entry in tree {
            let path = [prefix, entry.name_bytes()].concat();
            self.count_entry()?;
            if is_hostile(entry.name_bytes()) || !seen.insert(entry.name_bytes().to_vec()) {
                return Err(SourceError::HostileEntry { path: printable(&path), commit: self.reader.short() });
            }
            if self.dockerfile.added && path == RESERVED_DOCKERFILE.as_bytes() {
                continue;
            }
            let text = String::from_utf8_lossy(&path);
            let matches = self.ignore.matches(&text, above);
            let excluded = self.ignore.decides(&matches) && !self.always_sent(&text);
            match entry.filemode_raw() {
                DIRECTORY => self.subdirectory(entry.id(), path, excluded, &matches, depth)?,
                _ if excluded => {}
                SUBMODULE => {
                    self.note(Note::Submodule { path: printable(&path) })?;
                    self.add(&path, EntryType::Directory, 0o755, &[])?;
                }
                LINK => self.link(entry.id(), &path)?,
                mode if is_file(mode) => self.file(entry.id(), &path, mode)?,
                _ => return Err(SourceError::HostileEntry { path: printable(&path), commit: self.reader.short() }),
            }
        }
        Ok(())
    }

    /// Counts a visited entry. A pattern with `!` makes the walk visit excluded directories too, and a tree may contain
    /// one directory many times.
    fn count_entry(&mut self) -> Result<(), SourceError> {
        self.seen += 1;
        let most = self.reader.limits.context_files.saturating_mul(VISITED_PER_FILE);
        match self.seen > most {
            true => Err(too_large("the build context including ignored files".to_owned(), format!("{most} entries"))),
            false => Ok(()),
        }
    }

    fn subdirectory(
        &mut self,
        id: Oid,
        path: Vec<u8>,
        excluded: bool,
        matches: &Matches,
        depth: u32,
    ) -> Result<(), SourceError> {
        if excluded && !self.ignore.has_negations() && !self.leads_to_dockerfile(&path) {
            return Ok(());
        }
        if excluded {
            self.pending_directories.push(path.clone());
        } else {
            self.add(&path, EntryType::Directory, 0o755, &[])?;
        }
        let tree = self.reader.opened.find_tree(id).map_err(|error| damaged(&error, self.reader.repo))?;
        self.directory(&tree, &[&path[..], b"/"].concat(), matches, depth + 1)?;
        // Nothing below the directory was sent, so the directory is not sent either.
        if self.pending_directories.last() == Some(&path) {
            self.pending_directories.pop();
        }
        Ok(())
    }

    /// Docker sends these regardless of the patterns, because the build needs them.
    fn always_sent(&self, path: &str) -> bool {
        path == ".dockerignore" || path == self.dockerfile.in_context
    }

    fn leads_to_dockerfile(&self, directory: &[u8]) -> bool {
        let below = self.dockerfile.in_context.as_bytes().strip_prefix(directory);
        below.is_some_and(|rest| rest.starts_with(b"/"))
    }

    fn file(&mut self, id: Oid, path: &[u8], mode: i32) -> Result<(), SourceError> {
        let size = self.size(id, path)?;
        self.bytes += size;
        if self.bytes > self.reader.limits.context_bytes {
            return Err(too_large(
                "the build context".to_owned(),
                format!("{} bytes", self.reader.limits.context_bytes),
            ));
        }
        let object = self.read(id)?;
        if object.kind() != ObjectType::Blob {
            return Err(SourceError::HostileEntry { path: printable(path), commit: self.reader.short() });
        }
        let pointer = (object.len() <= LFS_POINTER).then(|| lfs_pointer(object.data())).flatten();
        if let Some(bytes) = pointer {
            self.note(Note::LfsPointer { path: printable(path), bytes })?;
        }
        let mode = if mode == EXECUTABLE { 0o755 } else { 0o644 };
        self.add(path, EntryType::Regular, mode, object.data())
    }

    fn link(&mut self, id: Oid, path: &[u8]) -> Result<(), SourceError> {
        let size = self.size(id, path)?;
        // The kernel's limit for the target of a link.
        if size > 4096 {
            return Err(too_large(format!("the target of the link {}", printable(path)), "4096 bytes".to_owned()));
        }
        let object = self.read(id)?;
        let target = object.data();
        if target.is_empty() || target.contains(&0) {
            return Err(SourceError::HostileEntry { path: printable(path), commit: self.reader.short() });
        }
        self.add(path, EntryType::Symlink, 0o777, target)
    }

    /// Reads a whole object. The result borrows the database, not this writer, so writing can continue.
    fn read(&self, id: Oid) -> Result<OdbObject<'a>, SourceError> {
        self.odb.read(id).map_err(|error| damaged(&error, self.reader.repo))
    }

    /// The size of an object, known before it is read into memory.
    fn size(&self, id: Oid, path: &[u8]) -> Result<u64, SourceError> {
        let (size, _) = self.odb.read_header(id).map_err(|error| damaged(&error, self.reader.repo))?;
        if size as u64 > self.reader.limits.file_bytes {
            return Err(too_large(printable(path), format!("{} bytes for one file", self.reader.limits.file_bytes)));
        }
        Ok(size as u64)
    }

    /// Writes one entry, after any pending parent directories. For a link, `data` is its target.
    fn add(&mut self, path: &[u8], kind: EntryType, mode: u32, data: &[u8]) -> Result<(), SourceError> {
        for directory in std::mem::take(&mut self.pending_directories) {
            self.add(&directory, EntryType::Directory, 0o755, &[])?;
        }
        self.files += 1;
        if self.files > self.reader.limits.context_files {
            return Err(too_large(
                "the build context".to_owned(),
                format!("{} files", self.reader.limits.context_files),
            ));
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(self.mtime);
        header.set_uid(0);
        header.set_gid(0);
        let as_path = |bytes| Path::new(OsStr::from_bytes(bytes)).to_owned();
        let written = match kind {
            EntryType::Symlink => {
                header.set_size(0);
                // The target is stored byte for byte. Only a target too long for the header is normalized by the tar
                // library.
                match header.set_link_name_literal(data) {
                    Ok(()) => self.tar.append_data(&mut header, as_path(path), io::empty()),
                    Err(_) => self.tar.append_link(&mut header, as_path(path), as_path(data)),
                }
            }
            EntryType::Directory => {
                header.set_size(0);
                self.tar.append_data(&mut header, as_path(&[path, b"/"].concat()), io::empty())
            }
            _ => {
                header.set_size(data.len() as u64);
                self.tar.append_data(&mut header, as_path(path), data)
            }
        };
        written.map_err(|error| pipe(&error))
    }

    /// Reports the first few notes and counts the rest. Buffered data is sent first, so that frames stay in order.
    fn note(&mut self, note: Note) -> Result<(), SourceError> {
        self.notes += 1;
        if self.notes > MAX_NOTES {
            return Ok(());
        }
        self.tar.get_mut().send_frame().map_err(|error| pipe(&error))?;
        report(self.tar.get_mut().out, FrameKind::Note, &note)
    }

    fn finish(mut self) -> Result<(), SourceError> {
        if let Some(count) = self.notes.checked_sub(MAX_NOTES).filter(|more| *more > 0) {
            self.tar.get_mut().send_frame().map_err(|error| pipe(&error))?;
            report(self.tar.get_mut().out, FrameKind::Note, &Note::More { count })?;
        }
        let mut frames = self.tar.into_inner().map_err(|error| pipe(&error))?;
        frames.send_frame().map_err(|error| pipe(&error))?;
        write_frame(frames.out, FrameKind::End, &frames.sent.to_be_bytes()).map_err(|error| pipe(&error))
    }
}

/// Splits written data into frames and counts the bytes.
struct FrameWriter<'a, W: Write> {
    out: &'a mut W,
    buffer: Vec<u8>,
    sent: u64,
}

impl<W: Write> FrameWriter<'_, W> {
    fn send_frame(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            write_frame(self.out, FrameKind::Tar, &self.buffer)?;
            self.sent += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for FrameWriter<'_, W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&data[..taken]);
        if self.buffer.len() == CHUNK {
            self.send_frame()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Names that refer to another location, or that turn a directory into a repository.
fn is_hostile(name: &[u8]) -> bool {
    name.is_empty()
        || name == b"."
        || name == b".."
        || name.eq_ignore_ascii_case(b".git")
        || name.contains(&b'/')
        || name.contains(&0)
        || name.len() > 255
}

/// If `data` is an LFS pointer: the size that it states.
fn lfs_pointer(data: &[u8]) -> Option<Option<u64>> {
    let text = std::str::from_utf8(data).ok()?;
    text.starts_with("version https://git-lfs").then_some(())?;
    Some(text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse().ok()))
}

fn too_large(what: String, limit: String) -> SourceError {
    SourceError::TooLarge { what, limit }
}

fn printable(path: &[u8]) -> String {
    crate::protocol::sanitize(&String::from_utf8_lossy(path), 300)
}
