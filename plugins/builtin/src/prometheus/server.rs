//! A server of one page, small enough to be sure of.
//!
//! `std::net` and no crate: of a request only its first line matters, so a parser would be carried for nothing, and the
//! small server crates have pools of threads without a bound. Each connection has one request, at most [`HEAD`] bytes of it
//! are read, it has [`TIME`] in all, and there are [`CONNECTIONS`] at most; one more is told so and closed. A line ends with
//! CR LF: a request with a bare LF is refused at once, rather than waited for to its end.
//!
//! Time is the machine's here, not the node's: the kernel's timeouts of sockets know no other.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a request that are read.
pub(super) const HEAD: usize = 8 * 1024;

/// Connections at a time.
pub(super) const CONNECTIONS: usize = 8;

/// The time that a connection has.
const TIME: Duration = Duration::from_secs(5);

/// The time that one connection too many has to take its answer. Nobody else is accepted meanwhile.
const BUSY: Duration = Duration::from_millis(250);

/// Failures to accept, one after the other, after which it ends and is started again after a pause.
const FAILURES: u32 = 100;

/// The stack of the thread of a connection.
const STACK: usize = 256 * 1024;

/// A port that is listened to.
pub(super) struct Server {
    address: SocketAddr,
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    /// The connections, so that stopping need not wait for them. A place is free where there is none.
    connections: Mutex<[Option<TcpStream>; CONNECTIONS]>,
}

/// The half that accepts. Blocking.
pub(super) struct Accepting<P> {
    listener: Option<TcpListener>,
    shared: Arc<Shared>,
    page: P,
}

impl Server {
    /// Takes the port.
    pub(super) fn bind(address: SocketAddr) -> Result<Self, String> {
        let listener = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listener.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("port {} is taken by another program; choose another one in `listen`", address.port())
            }
            io::ErrorKind::AddrNotAvailable => format!("{} is no address of this machine", address.ip()),
            _ => format!("cannot listen on {address}: {error}"),
        })?;
        Ok(Self { address, listener: Some(listener), shared: Arc::default() })
    }

    /// Where it listens.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until there is a free place.
    #[cfg(test)]
    pub(super) fn until_free(&self) {
        while self.shared.connections().iter().all(Option::is_some) {
            thread::yield_now();
        }
    }

    /// The half that accepts, which serves what `page` makes.
    pub(super) fn accepting<P>(&mut self, page: P) -> Accepting<P> {
        Accepting { listener: self.listener.take(), shared: self.shared.clone(), page }
    }

    /// Has the accepting half end. Does not wait for it.
    pub(super) fn stop(&self) {
        if self.shared.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        for connection in self.shared.connections().iter().flatten() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes it: nothing else ends an `accept`.
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        let _ = TcpStream::connect_timeout(&SocketAddr::new(ip, self.address.port()), Duration::from_secs(1));
    }
}

impl Drop for Server {
    /// For the case that nobody tore it down.
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, [Option<TcpStream>; CONNECTIONS]> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl<P: Fn() -> String + Send + Sync> Accepting<P> {
    /// Accepts until it is stopped; then the port is free, and no thread is left.
    pub(super) fn run(mut self) {
        let Some(listener) = self.listener.take() else { return };
        let mut failures = 0;
        thread::scope(|scope| {
            for connection in listener.incoming() {
                if self.shared.stopping() {
                    break;
                }
                let Ok(connection) = connection else {
                    // One that was reset before it was accepted, or no more file descriptors.
                    failures += 1;
                    if failures < FAILURES { continue } else { break }
                };
                failures = 0;
                let Some(place) = self.place(&connection) else {
                    answer(&connection, "503 Service Unavailable", "", "busy\n", Body::Sent);
                    part(&connection, Instant::now() + BUSY);
                    continue;
                };
                let serve = move |this: &Self| {
                    serve(&connection, &this.page);
                    this.shared.connections()[place] = None;
                };
                let this = &self;
                let thread = thread::Builder::new().name("prometheus-peer".into()).stack_size(STACK);
                if thread.spawn_scoped(scope, move || serve(this)).is_err() {
                    self.shared.connections()[place] = None;
                }
            }
            drop(listener);
        });
    }

    /// Takes a free place; also one that was taken while it was being stopped is closed by whoever stops.
    fn place(&self, connection: &TcpStream) -> Option<usize> {
        let copy = connection.try_clone().ok()?;
        let mut places = self.shared.connections();
        let free = places.iter().position(Option::is_none)?;
        if self.shared.stopping() {
            return None;
        }
        places[free] = Some(copy);
        Some(free)
    }
}

fn serve(connection: &TcpStream, page: &impl Fn() -> String) {
    let end = Instant::now() + TIME;
    let mut bytes = [0; HEAD];
    let Some(head) = head(connection, &mut bytes, end) else { return };
    let mut words = head.split_ascii_whitespace();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) => {
            let body = if method == "HEAD" { Body::LeftOut } else { Body::Sent };
            let path = target.split('?').next();
            match (method, path) {
                ("GET" | "HEAD", Some("/metrics")) => answer(connection, "200 OK", "", &page(), body),
                ("GET" | "HEAD", _) => answer(connection, "404 Not Found", "", "see /metrics\n", body),
                _ => {
                    let (status, allow) = ("405 Method Not Allowed", "Allow: GET, HEAD\r\n");
                    answer(connection, status, allow, "only GET and HEAD\n", body);
                }
            }
        }
        _ => answer(connection, "400 Bad Request", "", "not HTTP/1.1\n", Body::Sent),
    }
    part(connection, end);
}

/// The first line of a request whose head has come; nothing where it did not come in time or is too long.
fn head<'a>(mut connection: &TcpStream, bytes: &'a mut [u8], end: Instant) -> Option<&'a str> {
    let mut read = 0;
    loop {
        if read == bytes.len() {
            answer(connection, "431 Request Header Fields Too Large", "", "too long\n", Body::Sent);
            part(connection, end);
            return None;
        }
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
        connection.set_read_timeout(Some(left)).ok()?;
        match connection.read(&mut bytes[read..]) {
            Ok(0) => return None,
            Ok(n) => read += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
        let mut ends = bytes[..read].iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        if ends.any(|(at, _)| at == 0 || bytes[at - 1] != b'\r') {
            // No request: it gets its answer.
            return Some("");
        }
        if bytes[..read].windows(4).any(|window| window == b"\r\n\r\n") {
            break;
        }
    }
    let line = bytes[..read].split(|byte| *byte == b'\r').next()?;
    // What is no text is no request: it gets its answer.
    Some(std::str::from_utf8(line).unwrap_or_default())
}

/// Whether the body of an answer is sent. Its length is told in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Sent,
    LeftOut,
}

fn answer(mut connection: &TcpStream, status: &str, more: &str, text: &str, body: Body) {
    let _ = connection.set_write_timeout(Some(TIME));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n{more}\r\n",
        text.len()
    );
    let text = if body == Body::Sent { text } else { "" };
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(text.as_bytes()));
}

/// Waits until the other side has closed: closing with something unread would take the answer back.
fn part(mut connection: &TcpStream, end: Instant) {
    let _ = connection.shutdown(Shutdown::Write);
    let mut rest = [0; 512];
    for _ in 0..HEAD / rest.len() {
        let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        let Some(left) = left else { return };
        let _ = connection.set_read_timeout(Some(left));
        if !matches!(connection.read(&mut rest), Ok(1..)) {
            return;
        }
    }
}
