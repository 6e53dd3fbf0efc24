//! StatsD over UDP: gathered, and handed over once an interval.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use model::{Answer, Signal};
use statsd::{Fault, Gathered, NotTaken, read_line};
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::datagrams::{Dropped, LOOK};
use crate::{Feed, SourceState};

/// The largest datagram.
const DATAGRAM: usize = 64 << 10;
/// Datagrams that are read before others have their turn.
const TURN: usize = 64;
/// How long to wait when the system does not let read.
const NO_SOCKET: Duration = Duration::from_millis(100);

/// How lines are gathered.
#[derive(Debug, Clone)]
pub struct StatsdSettings {
    /// How often what was gathered is handed over.
    pub interval: Duration,
    /// After so long without a value a series has ended.
    pub idle: Duration,
    /// The most bytes of all series.
    pub memory: usize,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
}

impl StatsdSettings {
    /// The most memory that it takes, bytes: series, and the request with all of them while it is written.
    pub fn budget(&self) -> u64 {
        (4 * self.memory + DATAGRAM) as u64
    }
}

/// Takes datagrams for ever.
pub async fn serve(socket: UdpSocket, settings: StatsdSettings, feed: Feed, wall_ns: Rc<dyn Fn() -> u64>) {
    let state = Rc::clone(feed.state());
    let mut dropped = Dropped::new(&socket);
    let mut looks = interval_at(Instant::now() + LOOK, LOOK);
    let mut rounds = interval_at(Instant::now() + settings.interval, settings.interval);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let idle_ns = u64::try_from(settings.idle.as_nanos()).unwrap_or(u64::MAX);
    let (mut gathered, mut datagram) = (Gathered::new(settings.memory), vec![0; DATAGRAM]);
    let mut giving: Option<Pin<Box<dyn Future<Output = Answer>>>> = None;
    let mut given_points = 0;
    loop {
        let is_idle = giving.is_none();
        let given = poll_fn(|context| match &mut giving {
            Some(giving) => giving.as_mut().poll(context),
            None => std::task::Poll::Pending,
        });
        let answer = tokio::select! {
            readable = socket.readable() => {
                if let Err(error) = readable {
                    state.error("unreadable", 1, &error.to_string());
                    tokio::time::sleep(NO_SOCKET).await;
                }
                for _ in 0..TURN {
                    match socket.try_recv_from(&mut datagram) {
                        Ok((length, peer)) => take(&datagram[..length], peer.ip(), &mut gathered, &state, wall_ns()),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                        Err(error) => {
                            state.error("unreadable", 1, &error.to_string());
                            break;
                        }
                    }
                }
                None
            }
            answer = given => Some(answer),
            _ = looks.tick() => {
                dropped.tell(&state);
                None
            }
            // One that is not taken yet is followed by one that has all of it, but for sets and what has ended.
            _ = rounds.tick(), if is_idle => {
                let time = wall_ns();
                let (body, points) = gathered.finish(time, idle_ns, &settings.resource);
                if points > 0 {
                    let feed = feed.clone();
                    given_points = points;
                    giving = Some(Box::pin(async move { feed.give(Signal::Metrics, body, points, time).await }));
                }
                None
            }
        };
        if let Some(answer) = answer {
            giving = None;
            if let Answer::Wait(_) = answer {
                state.error("refused", given_points, "there is no room for it; the round is left out");
            }
        }
    }
}

/// Takes the lines of a datagram in.
fn take(datagram: &[u8], peer: IpAddr, gathered: &mut Gathered, state: &SourceState, wall_ns: u64) {
    for line in datagram.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
        let shown = || String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
        let (reason, why) = match read_line(line) {
            Ok(read) => match gathered.take(&read, wall_ns) {
                Ok(_) => continue,
                Err(NotTaken::NoNumber) => ("bad_line", "a value is no number"),
                Err(NotTaken::NoRoom) => ("no_room", "there is no room for another series or member of a set (memory)"),
            },
            Err(Fault::Malformed) => ("bad_line", "it is no line of StatsD"),
            Err(Fault::Unsupported) => ("unsupported", "events, service checks and other types are not taken"),
        };
        // Its name says who sends it; its values are nobody's business.
        let shown = shown();
        let name = shown.split([':', '|']).next().unwrap_or_default();
        state.error(reason, 1, &format!("{peer}, {name}: {why}"));
    }
}
