//! Any text as a configuration: nothing panics, and an error says something.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Err(error) = config::parse(text) {
        let error = error.to_string();
        assert!(error.trim_matches([':', ' ']).len() > 3 && !error.contains('\n'), "{error:?}");
    }
});
