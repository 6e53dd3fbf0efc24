//! What the kernel counts: processor, load, memory, paging, pressure, uptime, processes.

use crate::writer::{Shape, Writer};

/// `USER_HZ`: the unit of processor times in `/proc`, the same on every architecture that Linux runs on here.
pub(crate) const TICKS: f64 = 100.0;
/// The size of a page in `/proc/vmstat`'s counts is not told; they are counted in operations.
const KIB: u64 = 1024;

const MODES: [&str; 8] = ["user", "nice", "system", "idle", "iowait", "interrupt", "softirq", "steal"];

/// Numbers of a line, behind its name.
pub(crate) fn numbers(line: &str) -> impl Iterator<Item = u64> {
    line.split_ascii_whitespace().map_while(|word| word.parse().ok())
}

/// The line that begins with a name, behind it.
fn line_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name))
}

/// When the host started, Unix seconds.
pub(crate) fn boot_seconds(stat: &str) -> Option<u64> {
    line_of(stat, "btime ")?.trim().parse().ok()
}

pub(crate) fn cpu(out: &mut Writer, stat: &str) {
    out.metric("system.cpu.time", "s", Shape::Counter);
    let mut count = 0_u64;
    for line in stat.lines() {
        let Some(rest) = line.strip_prefix("cpu").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) else {
            continue;
        };
        let Some((number, times)) = rest.split_once(' ') else { continue };
        count += 1;
        for (mode, ticks) in MODES.iter().zip(numbers(times)) {
            out.point(&[("cpu.logical_number", number), ("cpu.mode", mode)], ticks as f64 / TICKS);
        }
    }
    out.metric("system.cpu.logical.count", "{cpu}", Shape::UpDown);
    if count > 0 {
        out.point(&[], count);
    }
}

pub(crate) fn processes(out: &mut Writer, stat: &str) {
    let number = |name| line_of(stat, name)?.trim().parse::<u64>().ok();
    out.metric("system.process.count", "{process}", Shape::UpDown);
    for (state, name) in [("running", "procs_running "), ("blocked", "procs_blocked ")] {
        if let Some(count) = number(name) {
            out.point(&[("process.state", state)], count);
        }
    }
    out.metric("system.process.created", "{process}", Shape::Counter);
    if let Some(count) = number("processes ") {
        out.point(&[], count);
    }
}

pub(crate) fn load(out: &mut Writer, loadavg: &str) {
    let mut words = loadavg.split_ascii_whitespace();
    for name in ["system.cpu.load_average.1m", "system.cpu.load_average.5m", "system.cpu.load_average.15m"] {
        if let Some(load) = words.next().and_then(|word| word.parse::<f64>().ok()) {
            out.metric(name, "{thread}", Shape::Gauge);
            out.point(&[], load);
        }
    }
}

pub(crate) fn memory(out: &mut Writer, meminfo: &str) {
    let bytes = |name: &str| {
        let line = meminfo.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':')))?;
        numbers(line.get(name.len() + 1..)?).next().map(|kib| kib.saturating_mul(KIB))
    };
    let (Some(total), Some(free)) = (bytes("MemTotal"), bytes("MemFree")) else { return };
    let (buffers, cached) = (bytes("Buffers").unwrap_or(0), bytes("Cached").unwrap_or(0));
    let (slab, fixed) = (bytes("SReclaimable").unwrap_or(0), bytes("SUnreclaim").unwrap_or(0));
    let used = total.saturating_sub(free + buffers + cached + slab);
    out.metric("system.memory.usage", "By", Shape::UpDown);
    let states = [("used", used), ("free", free), ("buffers", buffers), ("cached", cached + slab)];
    for (state, bytes) in states {
        out.point(&[("system.memory.state", state)], bytes);
    }
    out.metric("system.memory.utilization", "1", Shape::Gauge);
    for (state, bytes) in states.into_iter().filter(|_| total > 0) {
        out.point(&[("system.memory.state", state)], bytes as f64 / total as f64);
    }
    out.metric("system.memory.limit", "By", Shape::UpDown);
    out.point(&[], total);
    out.metric("system.linux.memory.available", "By", Shape::UpDown);
    if let Some(available) = bytes("MemAvailable") {
        out.point(&[], available);
    }
    out.metric("system.linux.memory.slab.usage", "By", Shape::UpDown);
    out.point(&[("linux.memory.slab.state", "reclaimable")], slab);
    out.point(&[("linux.memory.slab.state", "unreclaimable")], fixed);
}

pub(crate) fn paging(out: &mut Writer, vmstat: &str, swaps: &str) {
    let count = |name| line_of(vmstat, name)?.trim().parse::<u64>().ok();
    let (all, major) = (count("pgfault "), count("pgmajfault "));
    out.metric("system.paging.faults", "{fault}", Shape::Counter);
    if let (Some(all), Some(major)) = (all, major) {
        out.point(&[("system.paging.fault.type", "major")], major);
        out.point(&[("system.paging.fault.type", "minor")], all.saturating_sub(major));
    }
    out.metric("system.paging.operations", "{operation}", Shape::Counter);
    for (direction, kind, name) in [
        ("in", "major", "pswpin "),
        ("out", "major", "pswpout "),
        ("in", "minor", "pgpgin "),
        ("out", "minor", "pgpgout "),
    ] {
        if let Some(count) = count(name) {
            out.point(&[("system.paging.direction", direction), ("system.paging.fault.type", kind)], count);
        }
    }
    out.metric("system.paging.usage", "By", Shape::UpDown);
    for line in swaps.lines().skip(1) {
        let mut words = line.split_ascii_whitespace();
        let (Some(device), Some(_kind)) = (words.next(), words.next()) else { continue };
        let mut kib = words.map_while(|word| word.parse::<u64>().ok());
        let (Some(size), Some(used)) = (kib.next(), kib.next()) else { continue };
        for (state, kib) in [("used", used), ("free", size.saturating_sub(used))] {
            out.point(&[("system.device", device), ("system.paging.state", state)], kib.saturating_mul(KIB));
        }
    }
}

pub(crate) fn uptime(out: &mut Writer, uptime: &str) {
    if let Some(seconds) = uptime.split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok()) {
        out.metric("system.uptime", "s", Shape::Gauge);
        out.point(&[], seconds);
    }
}

pub(crate) fn pressure(out: &mut Writer, files: &[(&str, &str)]) {
    out.metric("system.linux.pressure.time", "s", Shape::Counter);
    for (resource, text) in files {
        for kind in ["some", "full"] {
            let total = line_of(text, kind).and_then(|line| line.split_once("total="));
            if let Some(micros) = total.and_then(|(_, total)| total.trim().parse::<u64>().ok()) {
                let attributes = [("system.linux.pressure.resource", *resource), ("system.linux.pressure.type", kind)];
                out.point(&attributes, micros as f64 / 1e6);
            }
        }
    }
}
