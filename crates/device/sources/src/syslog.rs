//! Syslog from the network: RFC 5424 and RFC 3164, over UDP and TCP (RFC 6587). Over TCP the sender waits under pressure; a datagram that finds no
//! room is dropped and counted.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use model::Signal;
use tail::{Batch, Framing, write_sent};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::Feed;
use crate::datagrams::{Dropped, LOOK, Rate};
use crate::lines::Giver;

/// What waits in memory while there is no room for it, bytes.
const ROOM: usize = 256 << 10;
/// The most bytes that are read at once of a connection.
const CHUNK: usize = 4 << 10;
/// Datagrams that are read before others have their turn.
const TURN: usize = 64;
/// How long to wait when the system has no socket to give.
const NO_SOCKET: Duration = Duration::from_millis(100);

/// What is taken.
#[derive(Debug, Clone)]
pub struct SyslogSettings {
    /// The most bytes of a message; what is longer is cut.
    pub max_message: usize,
    /// The most connections at once.
    pub connections: usize,
    /// The most messages a second, of all senders.
    pub rate: u32,
    /// Attributes of the resource, before what a message says.
    pub resource: Vec<(String, String)>,
}

impl SyslogSettings {
    /// The most memory that it takes, bytes; `udp` and `tcp` tell what is served.
    pub fn budget(&self, udp: bool, tcp: bool) -> u64 {
        // What waits, as it is gathered and as it is handed over, twice while that is tried.
        let datagrams = if udp { 3 * ROOM + 2 * self.max_message } else { 0 };
        // A batch is half of a piece and one message.
        let each = 3 * self.max_message + 2 * CHUNK + (72 << 10);
        let streams = if tcp { self.connections * each } else { 0 };
        (datagrams + streams) as u64
    }
}

/// Adds a message, and counts what is wrong with it.
fn put(settings: &SyslogSettings, giver: &Giver, (message, peer, is_cut): (&[u8], &str, bool), batch: &mut Batch) {
    let state = giver.feed.state();
    if is_cut {
        let most = settings.max_message;
        state.error(
            "long_message",
            1,
            &format!("{peer}: longer than {most} bytes (max_message): the rest is left out"),
        );
    }
    if !write_sent(message, peer, &settings.resource, giver.wall_ns(), batch) {
        state.error("other_format", 1, &format!("{peer}: no priority in front; the message goes on as it is"));
    }
}

/// Takes datagrams for ever.
pub async fn serve_udp(socket: UdpSocket, settings: Rc<SyslogSettings>, feed: Feed, wall_ns: Rc<dyn Fn() -> u64>) {
    let giver = Giver::new(feed, wall_ns);
    let state = Rc::clone(giver.feed.state());
    let mut dropped = Dropped::new(&socket);
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut rate = Rate::new(settings.rate);
    let (mut batch, mut datagram) = (Batch::default(), vec![0; settings.max_message + 1]);
    let mut giving: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
    loop {
        let given = poll_fn(|context| match &mut giving {
            Some(giving) => giving.as_mut().poll(context),
            None => std::task::Poll::Pending,
        });
        let is_given = tokio::select! {
            readable = socket.readable() => {
                if let Err(error) = readable {
                    state.error("unreadable", 1, &error.to_string());
                    tokio::time::sleep(NO_SOCKET).await;
                }
                for _ in 0..TURN {
                    let (length, peer) = match socket.try_recv_from(&mut datagram) {
                        Ok(came) => came,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => {
                            state.error("unreadable", 1, &error.to_string());
                            break;
                        }
                    };
                    if rate.take().is_err() {
                        state.error("over_rate", 1, &format!("{}: more than {} messages a second", peer.ip(), settings.rate));
                    } else if batch.bytes() >= ROOM {
                        state.error("no_room", 1, &format!("{}: there is no room for the message", peer.ip()));
                    } else {
                        let message = &datagram[..length.min(settings.max_message)];
                        let is_cut = length > settings.max_message;
                        put(&settings, &giver, (message, &peer.ip().to_string(), is_cut), &mut batch);
                    }
                }
                false
            }
            () = given => true,
            _ = looks.tick() => {
                dropped.tell(&state);
                false
            }
        };
        if is_given {
            giving = None;
        }
        if giving.is_none() && batch.records() > 0 {
            let (body, records) = batch.take();
            let giver = giver.clone();
            giving = Some(Box::pin(async move { giver.give(Signal::Logs, body, records).await }));
        }
    }
}

/// Takes connections for ever.
pub async fn serve_tcp(listener: TcpListener, settings: Rc<SyslogSettings>, feed: Feed, wall_ns: Rc<dyn Fn() -> u64>) {
    let rate = Rc::new(RefCell::new(Rate::new(settings.rate)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                feed.state().error("unreadable", 1, &error.to_string());
                tokio::time::sleep(NO_SOCKET).await;
                continue;
            }
        };
        let peer = peer.ip().to_string();
        if connections.len() >= settings.connections {
            let why = format!("{peer}: all {} connections are in use (connections)", settings.connections);
            feed.state().error("too_many_connections", 1, &why);
            continue;
        }
        let giver = Giver::new(feed.clone(), Rc::clone(&wall_ns));
        connections.spawn_local(connection(stream, peer, Rc::clone(&settings), Rc::clone(&rate), giver));
    }
}

async fn connection(
    mut stream: TcpStream,
    peer: String,
    settings: Rc<SyslogSettings>,
    rate: Rc<RefCell<Rate>>,
    giver: Giver,
) {
    let mut framing = Framing::new(settings.max_message);
    let (mut batch, mut chunk) = (Batch::default(), vec![0; CHUNK]);
    let mut is_open = true;
    while is_open {
        match stream.read(&mut chunk).await {
            Ok(length @ 1..) => framing.push(&chunk[..length]),
            _ => is_open = false,
        }
        while let Some(message) = framing.next().or_else(|| if is_open { None } else { framing.finish() }) {
            loop {
                let taken = rate.borrow_mut().take();
                let Err(wait) = taken else { break };
                tokio::time::sleep(wait).await;
            }
            put(&settings, &giver, (&message.bytes, &peer, message.is_cut), &mut batch);
            if batch.is_full() {
                let (body, records) = batch.take();
                giver.give(Signal::Logs, body, records).await;
            }
        }
        if batch.records() > 0 {
            let (body, records) = batch.take();
            giver.give(Signal::Logs, body, records).await;
        }
    }
}
