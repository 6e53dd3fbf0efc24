//! Any bytes at the door: what is found readable gives pieces that are clean, bounded, and hold exactly the records that were
//! counted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::{MAX_AROUND, MAX_RECORD, PIECE_RECORDS, Pieces, inspect};

fuzz_target!(|input: &[u8]| {
    for signal in Signal::ALL {
        let Ok(found) = inspect(signal, input) else { continue };
        let mut records = 0;
        for piece in Pieces::new(signal, input, 1) {
            let again = inspect(signal, &piece).expect("a piece is readable");
            assert!(again.is_clean(), "{again:?}");
            assert!(again.records <= PIECE_RECORDS && piece.len() <= 2 * (MAX_RECORD + MAX_AROUND));
            records += again.records;
        }
        assert_eq!(records, found.records);
    }
});
