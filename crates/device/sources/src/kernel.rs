//! The kernel's log, from `/dev/kmsg`. A position is the number of a record, in this boot of the machine; it rides in the commit that has the
//! records.

use std::fs::{self, File};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use model::{Position, ReadTo, Signal};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use tail::{Batch, KernelRecord, kernel_resource};
use tokio::time::timeout;

use crate::Feed;
use crate::lines::Giver;
use crate::waiting::Waiting;

/// The longest record that the kernel gives.
const MOST: usize = 8 << 10;
/// Records that come within this time go together.
const GATHER: Duration = Duration::from_millis(50);
/// How long until it is tried again, when it cannot be read.
const AGAIN: Duration = Duration::from_secs(60);
/// What its position is known by.
const KEY: &[u8] = b"kernel";

/// What is read.
#[derive(Debug, Clone)]
pub struct KernelSettings {
    /// The kernel's log.
    pub path: PathBuf,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
}

impl KernelSettings {
    /// The most memory that it takes, bytes.
    pub const BUDGET: u64 = 256 << 10;
}

/// Reads for ever; `read_to` is how far it was, with all other sources.
pub async fn run(settings: KernelSettings, feed: Feed, wall_ns: Rc<dyn Fn() -> u64>, read_to: Vec<ReadTo>) {
    let giver = Giver::new(feed, wall_ns);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let mut next = read_to.iter().find(|one| &*one.key == KEY).and_then(|one| decoded(&one.next, &boot));
    drop(read_to);
    loop {
        let why = match opened(&settings.path) {
            Ok(file) => read(file, &settings, &giver, &boot, &mut next).await,
            Err(error) => error.to_string(),
        };
        let path = settings.path.display();
        let hint = "root or the capability CAP_SYSLOG may read it";
        giver.feed.state().error("unreadable", 1, &format!("{path}: {why}; {hint}; tried again in a minute"));
        tokio::time::sleep(AGAIN).await;
    }
}

fn opened(path: &PathBuf) -> std::io::Result<File> {
    Ok(open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Reads until that cannot go on; says why.
async fn read(file: File, settings: &KernelSettings, giver: &Giver, boot: &str, next: &mut Option<u64>) -> String {
    let mut input = match Waiting::new(file, "kernel", MOST) {
        Ok(input) => input,
        Err(error) => return error.to_string(),
    };
    let resource = kernel_resource(&settings.resource);
    let state = giver.feed.state();
    let mut batch = Batch::default();
    loop {
        let came = match batch.records() {
            0 => Some(input.next().await),
            _ if batch.is_full() => None,
            _ => timeout(GATHER, input.next()).await.ok(),
        };
        match came {
            None => {
                let (body, records) = batch.take();
                give(giver, body, records, boot, *next).await;
            }
            Some(Ok(bytes)) if bytes.is_empty() => {
                if batch.records() > 0 {
                    let (body, records) = batch.take();
                    give(giver, body, records, boot, *next).await;
                }
                return "it has ended".to_owned();
            }
            Some(Ok(bytes)) => {
                let (mut rest, wall_ns) = (&*bytes, giver.wall_ns());
                let started_ns = wall_ns.saturating_sub(uptime_ns());
                while let Some((record, more)) = KernelRecord::read(rest) {
                    rest = more;
                    let expected = next.unwrap_or(record.sequence);
                    if record.sequence < expected {
                        continue;
                    }
                    if record.sequence > expected {
                        let why = "the kernel had overwritten records before they were read";
                        state.error("overwritten", record.sequence - expected, why);
                    }
                    *next = Some(record.sequence.saturating_add(1));
                    let time_ns = started_ns.saturating_add(record.time_us.saturating_mul(1000));
                    record.write(&resource, time_ns, wall_ns, &mut batch);
                }
                if !rest.trim_ascii().is_empty() {
                    state.error("bad_record", 1, "what the kernel gave is no record");
                }
            }
            // Records were overwritten: their numbers tell how many. The next read has what is left.
            Some(Err(error)) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
            Some(Err(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Some(Err(error)) => return error.to_string(),
        }
    }
}

async fn give(giver: &Giver, body: Vec<u8>, records: u64, boot: &str, next: Option<u64>) {
    let next = encoded(next.unwrap_or(0), boot);
    let position = Position { key: KEY.into(), read: next.clone(), next, is_again: false, is_done: false };
    giver.give_read(Signal::Logs, body, records, position).await;
}

fn encoded(next: u64, boot: &str) -> Box<[u8]> {
    format!("{next} {boot}").into_bytes().into()
}

/// The next number, where it is of this boot.
fn decoded(bytes: &[u8], boot: &str) -> Option<u64> {
    let (next, of) = std::str::from_utf8(bytes).ok()?.split_once(' ')?;
    next.parse().ok().filter(|_| of == boot)
}

/// Since the machine started, as the kernel's log counts it.
fn uptime_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a position of this boot, of another one, and bytes that are none. Guarantees: numbers of another boot mean nothing.
    #[test]
    fn positions_are_of_one_boot() {
        assert_eq!(decoded(&encoded(7, "boot-1"), "boot-1"), Some(7));
        assert_eq!((decoded(&encoded(7, "boot-1"), "boot-2"), decoded(b"x", "boot-1")), (None, None));
    }
}
