//! Keeps glibc's allocator small. Without it, one large request raises its thresholds for good, freed memory stays
//! resident, and each thread gets an arena of its own (docs/architecture.md, "Small").
#![allow(unsafe_code, reason = "mallopt has no safe wrapper; it is called once, before any other thread exists")]

/// Blocks from here on are mapped by themselves, and given back to the system when freed.
#[cfg(target_env = "gnu")]
const MAP_FROM: i32 = 64 << 10;
/// More than this at the end of the heap is given back.
#[cfg(target_env = "gnu")]
const TRIM_FROM: i32 = 64 << 10;

/// Sets the limits. Call it first of all.
#[cfg(target_env = "gnu")]
pub(crate) fn limit() {
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
pub(crate) fn limit() {}
