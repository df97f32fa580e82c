//! The server: a thread for each connection, and a decent end. On TERM it stops accepting, ends idle connections, finishes
//! open requests for up to 30 s, and exits with 0.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::exit;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::body::Body;
use crate::connection::{Connections, Entry};
use crate::knobs::Knobs;
use crate::message::{Length, NoRequest, Request, write_head};
use crate::pages::{Exchange, Next, Site};
use crate::term;

/// How long open requests may take once TERM has come.
const DRAIN_DEADLINE: Duration = Duration::from_secs(30);
/// A request, once begun, must make progress this often.
const STALLED: Duration = Duration::from_secs(60);
/// A connection's thread needs little: its buffers are on the heap but for one of 8 KiB.
const STACK: usize = 128 * 1024;

/// Serves until told to end; never returns.
pub fn run(knobs: &Knobs) -> ! {
    let connections = Arc::new(Connections::default());
    let ending = Arc::clone(&connections);
    term::on_term(knobs.ignore_term, move || {
        let whole = ending.drain(DRAIN_DEADLINE);
        println!("{}", if whole { "ends, all requests answered" } else { "ends with requests open" });
        exit(0);
    });
    thread::sleep(knobs.start_delay);
    knobs.exit_in_time();
    if let Some(period) = knobs.log_every {
        thread::spawn(move || crate::log_every(period));
    }
    if knobs.no_listen {
        println!("{} {} does not listen", knobs.name, knobs.version);
        loop {
            thread::park();
        }
    }
    let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, knobs.port)) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("testapp: cannot listen on port {}: {error}", knobs.port);
            exit(1);
        }
    };
    println!("{} {} listens on port {}", knobs.name, knobs.version, knobs.port);
    accept(&listener, &Arc::new(Site::new(knobs)), &connections, knobs.idle_close)
}

fn accept(listener: &TcpListener, site: &Arc<Site>, connections: &Arc<Connections>, idle_close: Option<Duration>) -> ! {
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Out of descriptors, most likely: some connection has to end first.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let stream = Arc::new(stream);
        let Some(entry) = connections.enter(&stream) else { continue };
        let site = Arc::clone(site);
        // Without memory for a thread this connection closes, and the next may fare better.
        let _ = thread::Builder::new().stack_size(STACK).spawn(move || {
            let _ = converse(&stream, &entry, &site, idle_close);
        });
    }
}

/// Answers requests on one connection until either side ends it.
fn converse(stream: &TcpStream, entry: &Entry, site: &Site, idle_close: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut from = BufReader::new(stream);
    loop {
        stream.set_read_timeout(idle_close)?;
        // Silence for the agreed time, an end, or a request's first byte.
        if from.fill_buf()?.is_empty() {
            return Ok(());
        }
        entry.set_busy(true);
        stream.set_read_timeout(Some(STALLED))?;
        let request = match Request::read(&mut from) {
            Ok(request) => request,
            Err(NoRequest::Closed) => return Ok(()),
            Err(NoRequest::Malformed(why)) => return refuse(stream, why),
        };
        let keep = request.keeps_alive() && !entry.draining();
        let mut body = Body::of(&request, &mut from, &mut &*stream)?;
        let next = Exchange { request: &request, body: &mut body, reply: stream, keep }.answer(site)?;
        match next {
            Next::Keep => body.finish()?,
            Next::Close => return body.finish(),
            Next::Echo => return echo(&mut from, stream),
        }
        entry.set_busy(false);
        // Told to end while it answered: nobody will wake this connection again, and the client has been promised more.
        if entry.draining() && from.buffer().is_empty() {
            return Ok(());
        }
    }
}

fn refuse(mut stream: &TcpStream, why: &str) -> io::Result<()> {
    write_head(&mut stream, 400, Length::Bytes(why.len() + 1), None, false)?;
    writeln!(stream, "{why}")
}

/// Gives back what comes until nothing more does.
fn echo(from: &mut impl Read, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = [0; 8192];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}
