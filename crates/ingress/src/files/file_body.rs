//! The body of a response from a file. Small files are kept in memory. Of others, what is in the page cache is read at once. Only
//! reads that wait for a disk run on a blocking thread.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::counters::RequestRecord;

/// The size of a read. The kernel's socket buffers take about as much at once.
const PIECE: usize = 64 * 1024;

/// Where the bytes of a file are.
#[derive(Debug)]
pub(crate) enum Content {
    Memory(Bytes),
    Disk(Arc<File>),
}

/// The bytes of a file on their way to a client. Its request counts as open until they were handed over.
#[derive(Debug)]
pub(crate) struct FileBody {
    content: Content,
    /// What is left.
    range: Range<u64>,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    /// `None` once the body has ended.
    record: Option<RequestRecord>,
}

impl FileBody {
    /// `range`: lies in the file.
    pub fn new(content: Content, range: Range<u64>, record: RequestRecord) -> Self {
        let mut body = Self { content, range, reading: None, record: Some(record) };
        // hyper does not poll an empty body.
        body.finish_at_end();
        body
    }

    pub fn left(&self) -> u64 {
        self.range.end - self.range.start
    }

    pub fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(self.left()).unwrap_or(PIECE).min(PIECE);
        let read = match (&mut self.reading, &self.content) {
            (Some(reading), _) => {
                let Poll::Ready(read) = Pin::new(reading).poll(cx) else { return Poll::Pending };
                self.reading = None;
                read.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
            // A file in memory is shorter than the largest number.
            (None, Content::Memory(content)) => Ok(content.slice(self.range.start as usize..).slice(..most)),
            (None, Content::Disk(file)) => match read_cached(file, self.range.start, most) {
                Some(read) => read,
                None => {
                    let (file, from) = (Arc::clone(file), self.range.start);
                    self.reading = Some(tokio::task::spawn_blocking(move || read(&file, from, most)));
                    return self.poll_read(cx);
                }
            },
        };
        Poll::Ready(Some(match read {
            Ok(bytes) if bytes.is_empty() => self.failed(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                self.range.start += bytes.len() as u64;
                if let Some(record) = &self.record {
                    record.sent(bytes.len());
                }
                self.finish_at_end();
                Ok(bytes)
            }
            Err(error) => self.failed(error),
        }))
    }

    fn finish_at_end(&mut self) {
        if self.left() == 0
            && let Some(mut record) = self.record.take()
        {
            record.finish();
        }
    }

    fn failed(&mut self, error: io::Error) -> io::Result<Bytes> {
        tracing::warn!(%error, "cannot read a file of a static site");
        if let Some(mut record) = self.record.take() {
            record.failed(None);
        }
        Err(error)
    }
}

/// `None`: the bytes are not in the page cache, or the file system does not say.
pub(super) fn read_cached(file: &File, from: u64, most: usize) -> Option<io::Result<Bytes>> {
    let mut bytes = vec![0; most];
    match preadv2(file, &mut [io::IoSliceMut::new(&mut bytes)], from, ReadWriteFlags::NOWAIT) {
        Ok(count) => {
            bytes.truncate(count);
            Some(Ok(bytes.into()))
        }
        Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR) => None,
        Err(error) => Some(Err(error.into())),
    }
}

fn read(file: &File, from: u64, most: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; most];
    let count = loop {
        match file.read_at(&mut bytes, from) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    bytes.truncate(count);
    Ok(bytes.into())
}
