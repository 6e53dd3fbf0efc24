//! Keeps the resident memory small (docs/architecture.md, "Small"): limits for glibc's allocator, and pages of code
//! that lately did not run.
#![allow(unsafe_code, reason = "mallopt and madvise have no safe wrappers; each call says why it is sound")]

use std::fs::File;
use std::os::unix::fs::FileExt;

use sources::Limits;

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

/// What the program has in memory now, bytes; 0 where the kernel does not tell. `statm` costs a tenth of what `status` does.
pub(crate) fn resident() -> u64 {
    let mut text = [0; 128];
    let length = File::open("/proc/self/statm").and_then(|file| file.read_at(&mut text, 0)).unwrap_or(0);
    let pages = text.get(..length).and_then(|text| std::str::from_utf8(text).ok()?.split_ascii_whitespace().nth(1));
    pages.and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * rustix::param::page_size() as u64
}

/// Whether so much is nearly all that the program may take.
pub(crate) fn is_short(resident: u64, limit: u64) -> bool {
    const MARGIN: u64 = 2 << 20;
    resident > limit - MARGIN.min(limit / 6)
}

/// Looks at what the program has in memory, and gives it, bytes: where that is nearly all that it may take, one large body comes in at
/// a time. What runs is in memory at that moment: pages are given back afterwards.
pub(crate) fn look(limits: &Limits, limit: u64, now_ns: u64) -> u64 {
    let resident = resident();
    let short = is_short(resident, limit);
    limits.press(short);
    if short {
        log::warn_limited("memory", now_ns, "nearly all of `memory` is taken: large requests come in one by one");
    }
    resident
}

/// Looks at the memory again and again: seldom while much of it is left, since a look costs as much as several spans.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    next_ns: u64,
    short: bool,
}

impl Watch {
    /// The wait between looks while a third of the memory or more is left.
    const SELDOM_NS: u64 = 500_000_000;

    /// Whether memory is short, as it was when it was looked at last: now, where that is due.
    pub(crate) fn is_short(&mut self, limits: &Limits, limit: Option<u64>, now_ns: u64) -> bool {
        if let Some(limit) = limit.filter(|_| now_ns >= self.next_ns) {
            let resident = look(limits, limit, now_ns);
            self.short = is_short(resident, limit);
            let wait = if resident < limit - limit / 3 { Self::SELDOM_NS } else { 0 };
            self.next_ns = now_ns.saturating_add(wait);
        }
        self.short
    }
}

/// The program's own code and constants, as they lie in memory.
pub(crate) struct ProgramPages {
    /// Start and length, bytes; both are whole pages.
    ranges: Vec<(usize, usize)>,
    page: usize,
}

impl ProgramPages {
    /// Finds them; none where the kernel does not tell.
    pub(crate) fn find() -> Self {
        let mut ranges = Vec::new();
        if let (Ok(program), Ok(maps)) =
            (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps"))
            && let Some(program) = program.to_str()
        {
            for line in maps.lines() {
                let mut words = line.split_ascii_whitespace();
                if let (Some(range), Some(access)) = (words.next(), words.next())
                    && line.ends_with(program)
                    && !access.contains('w')
                    && let Some((start, end)) = range.split_once('-')
                    && let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16))
                {
                    let length = end.saturating_sub(start);
                    match ranges.last_mut() {
                        Some((first, count)) if *first + *count == start => *count += length,
                        _ => ranges.push((start, length)),
                    }
                }
            }
        }
        Self { ranges, page: rustix::param::page_size() }
    }

    /// Makes each stretch of a few pages a mapping of its own. With a page that is needed the kernel maps up to 64 KiB around it, as far as
    /// the mapping goes, and most of that never runs. The mark by which neighbours differ means nothing for code, which core dumps
    /// leave out anyway. It only costs memory when the kernel does not want to.
    pub(crate) fn cut(&self) {
        let stretch = STRETCH.max(self.page);
        for (start, length) in &self.ranges {
            let end = start + length;
            for at in (start.next_multiple_of(2 * stretch)..end).step_by(2 * stretch) {
                let pages = std::ptr::with_exposed_provenance_mut::<core::ffi::c_void>(at);
                // SAFETY: the range lies in a mapping of this very program, and nothing of what the program sees changes: only core
                // dumps leave these pages out.
                let marked =
                    unsafe { rustix::mm::madvise(pages, stretch.min(end - at), rustix::mm::Advice::LinuxDontDump) };
                if marked.is_err() {
                    return;
                }
            }
        }
    }

    /// Gives them back, but for pages that differ from the file: a debugger or a probe has written into those, and what it wrote must
    /// stay. What runs comes back at once from the page cache; what only starting, a new connection or a large request needed (the
    /// configuration's parser, the TLS handshake) does not.
    pub(crate) fn give_back(&self) {
        let Ok(pagemap) = File::open("/proc/self/pagemap") else { return };
        for (start, length) in &self.ranges {
            let mut told = vec![0; length / self.page * PAGEMAP_ENTRY];
            if pagemap.read_exact_at(&mut told, (start / self.page * PAGEMAP_ENTRY) as u64).is_err() {
                continue;
            }
            for (first, count) in unwritten(told.as_chunks().0) {
                self.drop_pages(start + first * self.page, count * self.page);
            }
        }
    }

    fn drop_pages(&self, start: usize, length: usize) {
        let pages = std::ptr::with_exposed_provenance_mut::<core::ffi::c_void>(start);
        // SAFETY: the range lies in a mapping of this very program that cannot be written to, and of which no page was ever
        // written to, as the kernel has just told; it stays mapped as long as the program runs. What comes back from the
        // file is what was there.
        let dropped = unsafe { rustix::mm::madvise(pages, length, rustix::mm::Advice::LinuxDontNeed) };
        // It only costs memory when the kernel does not want to.
        let _kept = dropped;
    }
}

/// Does that before anything else runs: reading the configuration needs much code that never runs again, and 64 KiB around each page of it
/// would be resident at once.
pub fn cut_program_pages() {
    ProgramPages::find().cut();
}

/// Bytes that are a mapping of their own: a fault brings no more of them. Less would cost more faults, and save little.
const STRETCH: usize = 8 << 10;

/// Bytes that `/proc/self/pagemap` has for each page (Linux, admin-guide/mm/pagemap.rst).
const PAGEMAP_ENTRY: usize = 8;

/// Runs of pages, as first page and count, that are in memory as they are in their file.
fn unwritten(pagemap: &[[u8; PAGEMAP_ENTRY]]) -> Vec<(usize, usize)> {
    const PRESENT: u64 = 1 << 63;
    const OF_FILE: u64 = 1 << 61;
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (page, entry) in pagemap.iter().enumerate() {
        let entry = u64::from_le_bytes(*entry);
        if entry & PRESENT == 0 || entry & OF_FILE == 0 {
            continue;
        }
        match runs.last_mut() {
            Some((first, count)) if *first + *count == page => *count += 1,
            _ => runs.push((page, 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: pages that are in memory as in the file, that somebody wrote into, that are not in memory. Guarantees: only the first
    /// ones are given back: a breakpoint stays where it was set.
    #[test]
    fn only_unwritten_pages_are_given_back() {
        let (file, written, absent) = (0xa180_0000_0000_0000_u64, 0x8180_0000_0000_0000_u64, 0u64);
        let pages = [file, file, written, file, absent, absent, file];
        let entries: Vec<[u8; PAGEMAP_ENTRY]> = pages.iter().map(|page| page.to_le_bytes()).collect();
        assert_eq!(unwritten(&entries), [(0, 2), (3, 1), (6, 1)]);
        assert_eq!(unwritten(&[]), []);
    }

    /// Scenario: this very program's mappings are cut, twice. Guarantees: each stretch is a mapping of its own, what is found of the program
    /// is the same, and the program goes on.
    #[test]
    fn the_program_goes_on_in_stretches() {
        let program = std::fs::read_link("/proc/self/exe").unwrap();
        let mappings = || {
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            maps.lines().filter(|line| line.ends_with(program.to_str().unwrap())).count()
        };
        let (pages, before) = (ProgramPages::find(), mappings());
        pages.cut();
        let bytes: usize = pages.ranges.iter().map(|(_, length)| length).sum();
        let cut = mappings();
        assert!(cut > bytes / STRETCH.max(pages.page) / 2 && cut > before, "{before} mappings, then {cut}");
        pages.cut();
        assert_eq!(mappings(), cut);
        assert_eq!(ProgramPages::find().ranges, pages.ranges);
        pages.give_back();
    }

    /// Scenario: this very program's pages are given back, again and again. Guarantees: less of them is resident afterwards, and the
    /// program goes on.
    #[test]
    fn the_program_goes_on_without_its_pages() {
        let file_bytes = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.split_ascii_whitespace().next().unwrap().parse::<u64>().unwrap()
        };
        let pages = ProgramPages::find();
        assert!(!pages.ranges.is_empty());
        let before = file_bytes();
        pages.give_back();
        let after = file_bytes();
        assert!(after < before, "{before} KiB, then {after}");
        (0..3).for_each(|_| pages.give_back());
    }

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
