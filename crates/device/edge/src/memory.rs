//! Keeps the resident memory small (docs/architecture.md, "Small"): limits for glibc's allocator, and pages of code
//! that lately did not run.
#![allow(unsafe_code, reason = "mallopt and madvise have no safe wrappers; each call says why it is sound")]

use std::rc::Rc;

use sources::Limits;

use crate::drain::Shared;
use crate::log;

/// Blocks from here on are mapped by themselves, and given back to the system when freed.
#[cfg(target_env = "gnu")]
const MAP_FROM: i32 = 64 << 10;
/// More than this at the end of the heap is given back.
#[cfg(target_env = "gnu")]
const TRIM_FROM: i32 = 64 << 10;

/// Sets the allocator's limits. Without them, one large request raises its thresholds for good, freed memory stays
/// resident, and each thread gets an arena of its own. Call it first of all.
#[cfg(target_env = "gnu")]
pub(crate) fn limit_allocator() {
    // SAFETY: mallopt only sets parameters of the allocator; it has no other precondition than to run before the
    // threads that it shall hold for.
    let done = unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1) == 1
            && libc::mallopt(libc::M_MMAP_THRESHOLD, MAP_FROM) == 1
            && libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_FROM) == 1
            && libc::mallopt(libc::M_TOP_PAD, 16 << 10) == 1
    };
    debug_assert!(done, "the allocator refuses its limits");
}

/// Other C libraries have no such thresholds.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn limit_allocator() {}

/// What the program has in memory now, bytes; 0 where the kernel does not tell.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

/// Whether so much is nearly all that the program may take.
pub(crate) fn is_short(resident: u64, limit: u64) -> bool {
    const MARGIN: u64 = 2 << 20;
    resident > limit - MARGIN.min(limit / 6)
}

/// Looks whether memory is short, and lets one large body in at a time then. What runs is in memory at that moment: pages are given
/// back afterwards.
pub(crate) fn look(limits: &Limits, limit: Option<u64>, now_ns: u64) -> bool {
    let short = limit.is_some_and(|limit| is_short(resident(), limit));
    limits.press(short);
    if short {
        log::warn_limited("memory", now_ns, "nearly all of `memory` is taken: large requests come in one by one");
    }
    short
}

/// Looks, and gives pages back, before the bodies grow much.
pub(crate) fn watch_growth(limits: &Rc<Limits>, shared: &Rc<Shared>, limit: Option<u64>) {
    let (weak, shared) = (Rc::downgrade(limits), Rc::clone(shared));
    limits.before_growth(move || {
        if let Some(limits) = weak.upgrade() {
            look(&limits, limit, shared.clock.now_ns());
        }
        shared.pages.give_back();
    });
}

/// The program's own code and constants, as they lie in memory.
pub(crate) struct ProgramPages {
    /// Start and length, bytes.
    ranges: Vec<(usize, usize)>,
}

impl ProgramPages {
    /// Finds them; none where the kernel does not tell.
    pub(crate) fn find() -> Self {
        let mut ranges = Vec::new();
        if let (Ok(program), Ok(maps)) =
            (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/smaps"))
            && let Some(program) = program.to_str()
        {
            let mut candidate = None;
            for line in maps.lines() {
                let mut words = line.split_ascii_whitespace();
                let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
                if first == "Anonymous:" {
                    // A page of its own in a mapping of the file was written to, and would come back as it is in the file.
                    ranges.extend(candidate.take().filter(|_| second == "0"));
                } else if let Some((start, end)) = first.split_once('-')
                    && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
                {
                    let constant = line.ends_with(program) && !second.contains('w');
                    candidate = constant.then(|| (start, end.saturating_sub(start)));
                }
            }
        }
        Self { ranges }
    }

    /// Gives them back. What runs comes back at once from the page cache; what only starting, a new connection or a large
    /// request needed (the configuration's parser, the TLS handshake) does not.
    pub(crate) fn give_back(&self) {
        for (start, length) in &self.ranges {
            let pages = std::ptr::with_exposed_provenance_mut::<core::ffi::c_void>(*start);
            // SAFETY: the range is a mapping of this very program that cannot be written to, and of which no page was
            // ever written to, as the kernel tells it; it stays mapped as long as the program runs. What comes back from
            // the file is what was there.
            let dropped = unsafe { rustix::mm::madvise(pages, *length, rustix::mm::Advice::LinuxDontNeed) };
            // It only costs memory when the kernel does not want to.
            let _kept = dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: what this very program takes, and limits around it. Guarantees: memory is short before the limit is reached, not when
    /// much is left (P9).
    #[test]
    fn i14_memory_is_short_before_the_limit() {
        let now = resident();
        assert!(now > 100 << 10, "{now}");
        assert!(is_short(now, now) && is_short(now, now + now / 10) && !is_short(now, now * 2));
        assert!(is_short(12 << 20, 12 << 20) && is_short((10 << 20) + 1, 12 << 20) && !is_short(10 << 20, 12 << 20));
    }
}
