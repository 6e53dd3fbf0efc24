//! Disks, file systems and interfaces.

use crate::filter::Filter;
use crate::kernel::numbers;
use crate::writer::{Shape, Writer};

/// The unit of sectors in `/proc/diskstats`, whatever those of the disk are.
const SECTOR: u64 = 512;

/// A mounted file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// What is mounted.
    pub device: String,
    /// Where.
    pub mount_point: String,
    /// Its type.
    pub kind: String,
    /// Whether it may be written.
    pub writable: bool,
    /// Bytes of all of it.
    pub size: u64,
    /// Bytes that nobody uses.
    pub free: u64,
    /// Bytes that anybody may use.
    pub available: u64,
    /// Files that there may be; 0 where it has no such bound.
    pub inodes: u64,
    /// Files that there may still be.
    pub inodes_free: u64,
}

/// Fields of a device in `/proc/diskstats`: reads and writes, each with operations, merged, sectors and milliseconds; milliseconds at work.
fn disk(line: &str) -> Option<(&str, [[u64; 4]; 2], u64)> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let name = words.next()?;
    let mut count = || words.next()?.parse::<u64>().ok();
    let reads = [count()?, count()?, count()?, count()?];
    let writes = [count()?, count()?, count()?, count()?];
    let _in_progress = count()?;
    Some((name, [reads, writes], count()?))
}

pub(crate) fn disks(out: &mut Writer, diskstats: &str, but: &Filter) {
    let all = || {
        let used = |one: &(&str, [[u64; 4]; 2], u64)| one.1.iter().flatten().any(|count| *count > 0);
        diskstats.lines().filter_map(disk).filter(used).filter(|(name, ..)| !but.has(name))
    };
    let mut of = |name: &str, unit: &str, place: usize, factor: Option<f64>| {
        out.metric(name, unit, Shape::Counter);
        for (device, ways, _) in all() {
            for (direction, way) in ["read", "write"].iter().zip(ways) {
                let attributes = [("system.device", device), ("disk.io.direction", *direction)];
                match factor {
                    Some(factor) => out.point(&attributes, way[place] as f64 * factor),
                    None if place == 2 => out.point(&attributes, way[place].saturating_mul(SECTOR)),
                    None => out.point(&attributes, way[place]),
                }
            }
        }
    };
    of("system.disk.io", "By", 2, None);
    of("system.disk.operations", "{operation}", 0, None);
    of("system.disk.merged", "{operation}", 1, None);
    of("system.disk.operation_time", "s", 3, Some(0.001));
    out.metric("system.disk.io_time", "s", Shape::Counter);
    for (device, _, millis) in all() {
        out.point(&[("system.device", device)], millis as f64 / 1000.0);
    }
}

/// Counts of an interface: what comes in, and what goes out.
fn interface(line: &str) -> Option<(&str, [u64; 16])> {
    let (name, counts) = line.split_once(':')?;
    let mut all = [0; 16];
    let mut found = numbers(counts);
    for place in &mut all {
        *place = found.next()?;
    }
    Some((name.trim(), all))
}

pub(crate) fn network(out: &mut Writer, net_dev: &str, but: &Filter) {
    for (metric, unit, place) in [
        ("system.network.io", "By", 0),
        ("system.network.packet.count", "{packet}", 1),
        ("system.network.errors", "{error}", 2),
        ("system.network.packet.dropped", "{packet}", 3),
    ] {
        out.metric(metric, unit, Shape::Counter);
        for (name, counts) in net_dev.lines().filter_map(interface).filter(|(name, _)| !but.has(name)) {
            for (direction, at) in [("receive", place), ("transmit", place + 8)] {
                out.point(&[("network.interface.name", name), ("network.io.direction", direction)], counts[at]);
            }
        }
    }
}

pub(crate) fn file_systems(out: &mut Writer, all: &[FileSystem]) {
    out.metric("system.filesystem.usage", "By", Shape::UpDown);
    for one in all {
        let used = one.size.saturating_sub(one.free);
        let reserved = one.free.saturating_sub(one.available);
        for (state, bytes) in [("used", used), ("free", one.available), ("reserved", reserved)] {
            put(out, one, Some(state), bytes);
        }
    }
    out.metric("system.filesystem.utilization", "1", Shape::Gauge);
    for one in all {
        let used = one.size.saturating_sub(one.free);
        let all = used + one.available;
        if all > 0 {
            put(out, one, None, used as f64 / all as f64);
        }
    }
    out.metric("system.filesystem.limit", "By", Shape::UpDown);
    for one in all {
        put(out, one, None, one.size);
    }
    out.metric("system.filesystem.inodes.usage", "{inode}", Shape::UpDown);
    for one in all.iter().filter(|one| one.inodes > 0) {
        put(out, one, Some("used"), one.inodes.saturating_sub(one.inodes_free));
        put(out, one, Some("free"), one.inodes_free);
    }
}

fn put(out: &mut Writer, one: &FileSystem, state: Option<&str>, number: impl Into<crate::writer::Number>) {
    let own = [
        ("system.device", one.device.as_str()),
        ("system.filesystem.mountpoint", one.mount_point.as_str()),
        ("system.filesystem.type", one.kind.as_str()),
        ("system.filesystem.mode", if one.writable { "rw" } else { "ro" }),
        ("system.filesystem.state", state.unwrap_or_default()),
    ];
    let count = if state.is_some() { own.len() } else { own.len() - 1 };
    out.point(own.get(..count).unwrap_or_default(), number);
}
