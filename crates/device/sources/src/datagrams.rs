//! Datagrams: how many may come, and how many the kernel dropped because nobody read them in time.

use std::fs;
use std::time::Duration;

use rustix::fd::AsFd;
use tokio::time::Instant;

use crate::SourceState;

/// How often the kernel is asked.
pub(crate) const LOOK: Duration = Duration::from_secs(10);

/// So many a second; what is not used gathers for a second.
#[derive(Debug)]
pub(crate) struct Rate {
    each_second: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    pub(crate) fn new(each_second: u32) -> Self {
        Self { each_second: f64::from(each_second), left: f64::from(each_second), at: Instant::now() }
    }

    /// Takes one; else how long until there is one.
    pub(crate) fn take(&mut self) -> Result<(), Duration> {
        let now = Instant::now();
        let more = now.duration_since(self.at).as_secs_f64() * self.each_second;
        (self.left, self.at) = ((self.left + more).min(self.each_second), now);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / self.each_second))
    }
}

/// What the kernel dropped of one socket.
#[derive(Debug)]
pub(crate) struct Dropped {
    inode: Option<u64>,
    told: u64,
}

impl Dropped {
    /// Of this socket, from now on.
    pub(crate) fn new(socket: impl AsFd) -> Self {
        let inode = rustix::fs::fstat(socket).ok().map(|stat| stat.st_ino);
        let mut dropped = Self { inode, told: 0 };
        dropped.told = dropped.count();
        dropped
    }

    /// Tells what was dropped since it was told last.
    pub(crate) fn tell(&mut self, state: &SourceState) {
        let count = self.count();
        if count > self.told {
            state.error("kernel_dropped", count - self.told, "datagrams came faster than they were read");
            self.told = count;
        }
    }

    fn count(&self) -> u64 {
        let Some(inode) = self.inode else { return 0 };
        let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
        tables.iter().filter_map(|path| fs::read_to_string(path).ok()).find_map(|text| drops(&text, inode)).unwrap_or(0)
    }
}

/// What the kernel's table says of the socket with this inode.
fn drops(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let is_its = words.nth(9)?.parse::<u64>().ok()? == inode;
        words.next_back().filter(|_| is_its)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// Scenario: a socket that nobody reads gets far more than it holds. Guarantees: what the kernel dropped is told, once (P1).
    #[test]
    fn what_the_kernel_drops_is_told() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut dropped = Dropped::new(&socket);
        let state = SourceState::new("x");
        dropped.tell(&state);
        assert_eq!(state.kinds(), 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..4000 {
            sender.send_to(&[7; 1000], socket.local_addr().unwrap()).unwrap();
        }
        dropped.tell(&state);
        dropped.tell(&state);
        let errors = state.errors();
        assert!(errors[0].reason == "kernel_dropped" && errors[0].count > 1000 && errors[0].count < 4000, "{errors:?}");
    }

    /// Scenario: more than a rate allows, then a pause. Guarantees: the rate holds, and what is refused is told how long it waits.
    #[tokio::test(start_paused = true)]
    async fn a_rate_holds() {
        let mut rate = Rate::new(10);
        assert_eq!((0..20).filter(|_| rate.take().is_ok()).count(), 10);
        let wait = rate.take().unwrap_err();
        assert!(wait <= Duration::from_millis(100));
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!((0..20).filter(|_| rate.take().is_ok()).count(), 5);
    }
}
