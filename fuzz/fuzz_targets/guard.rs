//! Any bytes as a request to the guard, and as a text: nothing panics; what passes can be read as far as what came could, is clean the
//! second time, and holds no card number that stands by itself.
#![no_main]

use guard::{Exceptions, Guard};
use libfuzzer_sys::fuzz_target;
use model::otlp::{count_records, inspect};
use model::{Signal, Stamp};

const CARD: &[u8] = b" 4111111111111111 ";

fuzz_target!(|input: &[u8]| {
    let mut guard = Guard::default();
    for signal in Signal::ALL {
        // The door bounds nesting.
        let Ok(found) = inspect(signal, input) else { continue };
        if !found.is_clean() {
            continue;
        }
        let before = count_records(signal, input).expect("the door read it");
        let passed = guard.admit(signal, input.to_vec()).expect("the door read it");
        let after = count_records(signal, &passed.request).expect("what passes can be read");
        assert_eq!(before, after + passed.dropped.total());
        assert!(passed.rewritten || passed.request == input);
    }
    // Nobody signed it.
    let stamp = Stamp { boot_id: [0; 16], uptime_ns: 0, wall_ns: 0, synchronised: true };
    assert!(Exceptions::new("d", Vec::new(), 1).check(input, &stamp).is_err());
    let (masked, _) = guard.mask(input);
    let (again, _) = guard.mask(&masked);
    // What was masked may stand beside something that is a value only now; then no more is left of it.
    let (last, _) = guard.mask(&again);
    assert!(last.len() <= again.len() + 64 * input.len());
    let text = [input, CARD].concat();
    assert!(!guard.mask(&text).0.ends_with(CARD));
});
