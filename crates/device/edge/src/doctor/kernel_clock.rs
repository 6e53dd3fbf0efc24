//! What the kernel knows of its clock's discipline.

#![allow(unsafe_code, reason = "adjtimex has no safe wrapper; the call says why it is sound")]

use std::mem::MaybeUninit;

/// Whether a time service keeps the clock, and by how much it may be wrong at most, microseconds.
pub(super) struct Discipline {
    pub(super) synchronised: bool,
    pub(super) max_error_us: u64,
}

/// Asks the kernel, changing nothing; `None` where it does not tell (in some containers).
pub(super) fn discipline() -> Option<Discipline> {
    let mut answer = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: all zeroes are a valid `timex`, whose `modes` of 0 asks without setting anything; the kernel writes into nothing else.
    let (state, answer) = unsafe {
        let state = libc::adjtimex(answer.as_mut_ptr());
        (state, answer.assume_init())
    };
    let max_error_us = u64::try_from(answer.maxerror).unwrap_or(0);
    (state >= 0).then_some(Discipline {
        synchronised: state != libc::TIME_ERROR && answer.status & libc::STA_UNSYNC == 0,
        max_error_us,
    })
}
