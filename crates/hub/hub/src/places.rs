//! The places for connections of one port: who is idle, who makes room for whom.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::clock;

/// One connection, as its port and its requests see it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The device that it speaks for, once it named one.
    pub(crate) device: OnceLock<String>,
    /// When bytes came or went last, by the monotonic clock.
    moved_ns: AtomicU64,
    began_ns: u64,
    /// Whether a request came through.
    spoke: AtomicBool,
    in_flight: AtomicUsize,
    evicted: Notify,
}

impl Peer {
    pub(crate) fn moved(&self) {
        self.moved_ns.store(clock::monotonic_ns(), Ordering::Relaxed);
    }

    /// Counts a request until the guard goes.
    pub(crate) fn request(self: &Arc<Self>) -> InFlight {
        self.spoke.store(true, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// How long nothing has moved while nothing was asked; before the first request, how long it has been there.
    fn idle_ns(&self, now_ns: u64) -> u64 {
        if !self.spoke.load(Ordering::Relaxed) {
            return now_ns.saturating_sub(self.began_ns);
        }
        if self.is_idle() { now_ns.saturating_sub(self.moved_ns.load(Ordering::Relaxed)) } else { 0 }
    }

    /// Waits until the connection is to be closed: nothing moved for `most`, or its place is needed.
    pub(crate) async fn is_over(&self, most: std::time::Duration) {
        let most_ns = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        loop {
            let idle_ns = self.idle_ns(clock::monotonic_ns());
            if idle_ns >= most_ns {
                return;
            }
            let left = std::time::Duration::from_nanos(most_ns - idle_ns);
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.evicted.notified() => return,
            }
        }
    }
}

/// A request in flight.
pub(crate) struct InFlight(Arc<Peer>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.moved();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The places of one port.
#[derive(Debug)]
pub(crate) struct Places {
    peers: Mutex<Vec<Arc<Peer>>>,
    most: usize,
}

/// What became of a new connection.
pub(crate) enum Seat {
    /// It has a place.
    Free(Arc<Peer>),
    /// It has the place of one that was idle, which is closed.
    Instead(Arc<Peer>),
    /// All others work.
    None,
}

impl Places {
    pub(crate) fn new(most: usize) -> Self {
        Self { peers: Mutex::new(Vec::new()), most }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a new connection a place. When there is none, the one that never said anything goes, and among these and then
    /// among all the one that has been idle longest.
    pub(crate) fn take(&self, address: SocketAddr) -> Seat {
        let now_ns = clock::monotonic_ns();
        let peer = Arc::new(Peer {
            address,
            device: OnceLock::new(),
            moved_ns: AtomicU64::new(now_ns),
            began_ns: now_ns,
            spoke: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            evicted: Notify::new(),
        });
        let mut peers = self.lock();
        if peers.len() < self.most {
            peers.push(Arc::clone(&peer));
            return Seat::Free(peer);
        }
        let idle = peers.iter().enumerate().filter(|(_, peer)| peer.is_idle());
        let oldest = idle.max_by_key(|(_, peer)| (!peer.spoke.load(Ordering::Relaxed), peer.idle_ns(now_ns)));
        let Some((place, _)) = oldest else { return Seat::None };
        let gone = std::mem::replace(&mut peers[place], Arc::clone(&peer));
        gone.evicted.notify_one();
        Seat::Instead(peer)
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, peer: &Arc<Peer>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, peer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(places: &Places) -> Arc<Peer> {
        match places.take(([127, 0, 0, 1], 1).into()) {
            Seat::Free(peer) | Seat::Instead(peer) => peer,
            Seat::None => panic!("no place"),
        }
    }

    /// Scenario: three places; one connection works, one spoke and is idle, one never spoke; then more come. Guarantees: the
    /// silent one makes room first, then the idle one, and one that works never does (P9).
    #[test]
    fn i1_the_silent_make_room_first() {
        let places = Places::new(3);
        let (working, idle, _silent) = (free(&places), free(&places), free(&places));
        let request = working.request();
        drop(idle.request());
        let kept = |peer: &Arc<Peer>| places.lock().iter().any(|other| Arc::ptr_eq(other, peer));
        let newer = free(&places);
        assert!(kept(&working) && kept(&idle) && kept(&newer));
        let held = newer.request();
        let last = free(&places);
        assert!(kept(&working) && !kept(&idle));
        let third = last.request();
        assert!(matches!(places.take(([127, 0, 0, 1], 1).into()), Seat::None));
        drop((request, held, third));
        places.leave(&working);
        assert!(matches!(places.take(([127, 0, 0, 1], 1).into()), Seat::Free(_)));
    }

    /// Scenario: a connection that never speaks although bytes trickle in, and one with a request in flight. Guarantees: the
    /// first is over after its time, counted from its beginning; the second is not.
    #[tokio::test(start_paused = true)]
    async fn i1_silence_has_an_end() {
        let places = Places::new(2);
        let (silent, working) = (free(&places), free(&places));
        silent.moved();
        let most = std::time::Duration::ZERO;
        silent.is_over(most).await;
        let _request = working.request();
        let over = tokio::time::timeout(
            std::time::Duration::from_secs(600),
            working.is_over(std::time::Duration::from_secs(75)),
        );
        assert!(over.await.is_err());
    }
}
