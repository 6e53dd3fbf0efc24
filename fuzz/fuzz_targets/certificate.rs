//! Any bytes as a certificate: its date is read or not, and what is read is a time of the calendar.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The first second of the year 10000.
const END_S: u64 = 253_402_300_800;

fuzz_target!(|input: &[u8]| {
    if let Some(until) = sinks::valid_until(input) {
        // Days of a month are taken as 1 to 31: the last ones of a short month are those of the next.
        assert!(until <= END_S + 86_400);
    }
});
