//! Time limits of a connection: for its first bytes, for a request's head, and for being idle.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use model::Refusal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use crate::places::{Entry, Place, Places};

/// How long a new connection may stay without having sent what its protocol begins with.
const FIRST: Duration = Duration::from_secs(10);
/// How long the head of a request may take, from its first byte.
const HEAD: Duration = Duration::from_secs(30);
/// How long a connection may be without a request.
const IDLE: Duration = Duration::from_secs(600);
/// How often the limits are looked at.
const LOOK: Duration = Duration::from_secs(5);
/// How long the last words of a connection that makes room may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long one without a place may stay to be told so.
const TOLD: Duration = Duration::from_secs(5);
/// How long to wait when the system has no socket to give.
const NO_SOCKET: Duration = Duration::from_millis(100);
/// After an answer that came before its request's body, so much of the body is read and thrown away, for so long.
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(5);

/// Linux: no file descriptor in the system, in the process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;

/// The next connection with its place, or with a place to be told that there is none.
pub(crate) async fn accept(listener: &TcpListener, places: &Rc<Places>) -> (TcpStream, Place) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for more; a socket that cannot do it still works.
                let _nagle_stays_on = stream.set_nodelay(true);
                match places.enter() {
                    Entry::Place(place) | Entry::Full(place) => return (stream, place),
                    Entry::None => {}
                }
            }
            // Out of file descriptors, or the peer is gone: neither ends the source.
            Err(error) => {
                if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) {
                    places.count(Refusal::TooManyConnections);
                    places.close_idle();
                }
                tokio::time::sleep(NO_SOCKET).await;
            }
        }
    }
}

/// What came on a connection.
#[derive(Debug, Default)]
struct Seen {
    bytes: Cell<usize>,
    /// When the first byte came since the last request.
    head: Cell<Option<Instant>>,
}

/// A stream that notes when bytes come.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    seen: Rc<Seen>,
}

impl<S> Watched<S> {
    /// Watches a stream.
    pub fn new(stream: S) -> Self {
        Self { stream, seen: Rc::default() }
    }

    /// Tells how the stream stands, also when somebody else has it.
    pub fn clock(&self) -> Clock {
        Clock(Rc::clone(&self.seen))
    }
}

/// Tells how a watched stream stands.
#[derive(Debug, Clone)]
pub struct Clock(Rc<Seen>);

impl Clock {
    /// A request's head is there, or the request is answered: the next byte begins something else.
    pub fn head_is_there(&self) {
        self.0.head.set(None);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, into);
        let more = into.filled().len() - before;
        if more > 0 {
            this.seen.bytes.set(this.seen.bytes.get().saturating_add(more));
            this.seen.head.set(this.seen.head.get().or_else(|| Some(Instant::now())));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What a connection's protocol sends before its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Nothing: the head of the first request is the first.
    Head,
    /// So many bytes (HTTP/2: its preface and SETTINGS); what comes between requests is not the head of one.
    Preface(usize),
}

/// Runs a connection until it ends by itself, its time is over, or its place is needed. `farewell` tells it to end in good
/// order, and whether it has something to say then.
pub async fn watch<C: Future + Unpin>(
    mut connection: C,
    farewell: impl Fn(&mut C) -> bool,
    clock: &Clock,
    place: &Place,
    begin: Begin,
) -> Option<C::Output> {
    let started = Instant::now();
    loop {
        let look = async {
            tokio::select! {
                () = tokio::time::sleep(if place.is_full() { TOLD } else { LOOK }) => false,
                () = place.closed() => true,
            }
        };
        let asked = tokio::select! {
            ended = &mut connection => return Some(ended),
            asked = look => asked,
        };
        if place.is_full() {
            return None;
        }
        if !asked {
            match over(started, clock, place, begin) {
                Over::No => continue,
                Over::Idle => {}
                Over::TooSlow => {
                    place.count(Refusal::TooSlow);
                    return None;
                }
            }
        }
        if !farewell(&mut connection) {
            return None;
        }
        // It may have nobody who listens.
        return tokio::time::timeout(FAREWELL, connection).await.ok();
    }
}

/// Whether a connection's time is over.
enum Over {
    No,
    /// It ends in good order, as every server's connections do.
    Idle,
    TooSlow,
}

fn over(started: Instant, clock: &Clock, place: &Place, begin: Begin) -> Over {
    let Some(idle_since) = place.idle_since() else { return Over::No };
    let first = match begin {
        Begin::Head => 1,
        Begin::Preface(bytes) => bytes,
    };
    let slow_head = begin == Begin::Head && clock.0.head.get().is_some_and(|since| since.elapsed() >= HEAD);
    if slow_head || clock.0.bytes.get() < first && started.elapsed() >= FIRST {
        return Over::TooSlow;
    }
    if idle_since.elapsed() >= IDLE { Over::Idle } else { Over::No }
}

/// Closes a connection so that its peer gets the last answer although it still sends (RFC 9112 section 9.6): no more is
/// written, and for a while, unless its place is needed, what comes is thrown away.
pub async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: Watched<S>, place: &Place) {
    let drain = async {
        // The peer may be gone: then there is nobody to be heard.
        if stream.shutdown().await.is_err() {
            return;
        }
        let (mut buffer, mut left) = ([0; 4096], LINGER_BYTES);
        while let Ok(read) = stream.read(&mut buffer).await {
            left = left.saturating_sub(read);
            if read == 0 || left == 0 {
                return;
            }
        }
    };
    // Whoever sends on for longer gets a reset.
    tokio::select! {
        () = drain => {}
        () = place.closed() => {}
        () = tokio::time::sleep(LINGER) => {}
    }
}
