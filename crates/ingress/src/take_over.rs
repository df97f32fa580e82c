//! Replacing a running ingress without a refused connection: the new process takes over the listening sockets.
//!
//! The new process connects to the control socket of the running one and asks for its sockets, its lock and what it
//! serves. It begins to accept, binds the control socket, and only then asks the running one to retire. The running one
//! goes on accepting until then, and again if the new one ends or is too slow before that. The new one ends if the
//! running one refuses to retire. So one of them serves whenever the other one is killed.
//!
//! An ingress of the first version cannot hand over anything. Its sockets are copied from the outside (`pidfd_getfd`), if
//! the system permits that.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use crate::process::socket_path;
use crate::protocol::{
    AccessLogFormat, Certificate, Listener, ListenerKind, Message, PROTOCOL_VERSION, Request, RouteTable,
    TrustedProxies,
};
use crate::snapshot::{self, LoadOutcome};
use crate::wire::LINE_LIMIT;

/// For one answer of the running ingress. It answers from memory.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// Descriptors in one message. The kernel permits 253.
const BATCH: usize = 128;

/// Why the running ingress could not be replaced. It serves as before.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    #[error("the running ingress does not answer on its control socket")]
    Io(#[from] io::Error),
    #[error("the running ingress refused to hand over: {0}")]
    Refused(String),
    #[error("the running ingress sent an unexpected answer")]
    UnexpectedAnswer,
    #[error("the sockets of the running ingress, which is of an older version, cannot be copied")]
    Copy(#[source] io::Error),
}

/// What a running ingress hands over.
#[derive(Debug)]
pub struct Inherited {
    /// The lock of the data directory. Both processes hold it.
    pub(crate) lock: OwnedFd,
    pub(crate) state: InheritedState,
}

/// What the running ingress serves.
#[derive(Debug)]
pub(crate) struct InheritedState {
    /// The listening sockets, each as the controller asked for it.
    pub sockets: Vec<(Listener, TcpListener)>,
    pub table: RouteTable,
    pub certificates: Vec<Certificate>,
    pub access_log: AccessLogFormat,
    pub proxies: TrustedProxies,
    /// The control connection to the running ingress. If it ends before [`Request::Retire`], that process goes on serving.
    pub connection: UnixStream,
    /// What was read from it and not used.
    pub unread: Vec<u8>,
    /// The running ingress is of the first version: it is asked to shut down instead of to retire.
    pub is_first_version: bool,
}

/// Asks the running ingress of a data directory for its sockets. `None`: no ingress runs.
///
/// # Errors
/// [`TakeOverError`]; the running ingress serves as before.
pub fn take_over(data_dir: &Path) -> Result<Option<Inherited>, TakeOverError> {
    let connection = match UnixStream::connect(socket_path(data_dir)) {
        Ok(connection) => connection,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    connection.set_read_timeout(Some(ANSWER_DEADLINE))?;
    connection.set_write_timeout(Some(ANSWER_DEADLINE))?;
    let mut peer = Peer { connection, descriptors: Vec::new(), unread: Vec::new() };
    match peer.ask(&Request::HandOver)? {
        Message::HandedOver { listeners, table, certificates, access_log, proxies } => {
            let mut descriptors = std::mem::take(&mut peer.descriptors).into_iter();
            let lock = descriptors.next().ok_or(TakeOverError::UnexpectedAnswer)?;
            let descriptors: Vec<_> = descriptors.map(TcpListener::from).collect();
            if descriptors.len() != listeners.len() {
                return Err(TakeOverError::UnexpectedAnswer);
            }
            let sockets = listeners.into_iter().zip(descriptors).collect();
            let Peer { connection, unread, .. } = peer;
            let state = InheritedState {
                sockets,
                table,
                certificates,
                access_log,
                proxies,
                connection,
                unread,
                is_first_version: false,
            };
            Ok(Some(Inherited { lock, state }))
        }
        Message::Refused { reason } => match peer.ask(&Request::Status)? {
            Message::Status { status } if status.features == 0 => {
                copy_from(data_dir, status.pid, peer).map(Some).map_err(TakeOverError::Copy)
            }
            _ => Err(TakeOverError::Refused(reason)),
        },
        _ => Err(TakeOverError::UnexpectedAnswer),
    }
}

/// The control connection, read without a runtime.
struct Peer {
    connection: UnixStream,
    descriptors: Vec<OwnedFd>,
    unread: Vec<u8>,
}

impl Peer {
    fn ask(&mut self, request: &Request) -> Result<Message, TakeOverError> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        self.connection.write_all(&line)?;
        loop {
            let line = self.line()?;
            match serde_json::from_slice(&line).map_err(io::Error::from)? {
                // An event, not an answer.
                Message::Draining { .. } => {}
                answer => return Ok(answer),
            }
        }
    }

    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.unread[searched..].iter().position(|byte| *byte == b'\n') {
                let rest = self.unread.split_off(searched + end + 1);
                return Ok(std::mem::replace(&mut self.unread, rest));
            }
            searched = self.unread.len();
            if searched as u64 > LINE_LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.receive()?;
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut bytes)];
        let received = rustix::net::recvmsg(&self.connection, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.unread.extend_from_slice(&bytes[..received.bytes]);
        Ok(())
    }
}

/// Sends descriptors, each batch with a space, which JSON ignores before a value.
///
/// # Errors
/// `WouldBlock` if the socket is not blocking and full. Some may have been sent.
pub(crate) fn send_descriptors(to: impl AsFd, batch: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(batch)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    rustix::net::sendmsg(to, &[IoSlice::new(b" ")], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Batches that [`send_descriptors`] accepts.
pub(crate) fn batches<'a>(descriptors: &'a [BorrowedFd<'a>]) -> impl Iterator<Item = &'a [BorrowedFd<'a>]> {
    descriptors.chunks(BATCH)
}

/// Copies the lock and the listening sockets of a process that cannot send them.
fn copy_from(data_dir: &Path, pid: u32, mut peer: Peer) -> io::Result<Inherited> {
    let folder = data_dir.join("ingress");
    let LoadOutcome::Snapshot(snapshot) = snapshot::load(&folder.join("routes.json"))? else {
        return Err(io::Error::other("it has saved no routes"));
    };
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
    let (mut lock, mut sockets) = (None, Vec::<(Listener, TcpListener)>::new());
    for entry in fs::read_dir(format!("/proc/{}/fd", pid.as_raw_nonzero()))? {
        let entry = entry?;
        // The descriptor may be closed meanwhile.
        let Ok(target) = fs::read_link(entry.path()) else { continue };
        let is_lock = target == folder.join("lock");
        let is_socket = target.to_string_lossy().starts_with("socket:");
        let number = entry.file_name().to_string_lossy().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        if !(is_lock || is_socket) {
            continue;
        }
        let copy = rustix::process::pidfd_getfd(&process, number, rustix::process::PidfdGetfdFlags::empty())?;
        if is_lock {
            lock = Some(copy);
        } else if let Some(address) = listening_address(&copy) {
            let is_new = sockets.iter().all(|(known, _)| known.address != address);
            if is_new {
                sockets.push((Listener { address, kind: ListenerKind::Http }, TcpListener::from(copy)));
            }
        }
    }
    let lock = lock.ok_or_else(|| io::Error::other("its lock was not found"))?;
    // Takes charge, so that it obeys the shutdown. Its listeners stay as they are.
    let hello = Request::Hello {
        protocol: PROTOCOL_VERSION,
        listeners: snapshot.listeners.clone(),
        proxies: TrustedProxies::default(),
    };
    let Ok(Message::Welcome { table, .. }) = peer.ask(&hello) else {
        return Err(io::Error::other("it refused a hello"));
    };
    let state = InheritedState {
        sockets,
        table,
        certificates: Vec::new(),
        access_log: AccessLogFormat::Off,
        proxies: TrustedProxies::default(),
        connection: peer.connection,
        unread: peer.unread,
        is_first_version: true,
    };
    Ok(Inherited { lock, state })
}

/// The address of a TCP socket that listens.
fn listening_address(socket: &OwnedFd) -> Option<std::net::SocketAddr> {
    let listens = rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false);
    let address = listens.then(|| rustix::net::getsockname(socket).ok()).flatten()?;
    std::net::SocketAddr::try_from(address).ok()
}
