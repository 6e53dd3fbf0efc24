//! Any text as a configuration: nothing panics, and each line of an error says something.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // What it would read is not the input.
    if text.contains("${") {
        return;
    }
    if let Err(error) = config::parse(text) {
        let error = error.to_string();
        let says = |line: &str| line.trim_matches([':', ' ']).len() > 3 && !line.contains(char::is_control);
        assert!(error.lines().count() > 0 && error.lines().all(says), "{error:?}");
    }
});
