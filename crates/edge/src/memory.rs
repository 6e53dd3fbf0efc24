//! Keeps the resident memory small (docs/architecture.md, "Small"): limits for glibc's allocator, and pages of code
//! that lately did not run.
#![allow(unsafe_code, reason = "mallopt and madvise have no safe wrappers; each call says why it is sound")]

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

/// Gives back the pages of the program's own code. What runs comes back at once from the page cache; what only starting or
/// a new connection needed (the configuration's parser, the TLS handshake) does not.
pub(crate) fn drop_unused_pages() {
    let (Ok(program), Ok(maps)) = (std::fs::read_link("/proc/self/exe"), std::fs::read_to_string("/proc/self/maps"))
    else {
        return;
    };
    let Some(program) = program.to_str() else { return };
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        if !line.ends_with(program) || !rights.contains('x') || rights.contains('w') {
            continue;
        }
        let Some((start, end)) = range.split_once('-') else { continue };
        let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)) else { continue };
        let pages = std::ptr::with_exposed_provenance_mut::<core::ffi::c_void>(start);
        // SAFETY: the range is an executable mapping of this very program, as the kernel tells it. Nothing ever wrote to
        // it (relocated data lies in other ranges), so that what comes back from the file is what was there.
        let dropped = unsafe { rustix::mm::madvise(pages, end - start, rustix::mm::Advice::LinuxDontNeed) };
        // It only costs memory when the kernel does not want to.
        let _kept = dropped;
    }
}
