//! Any bytes as OTLP/JSON: nothing panics, what is taken is protobuf within its bound, and JSON for every reader.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::inspect;
use model::otlp::json::to_protobuf;

const MOST: usize = 1 << 16;

fuzz_target!(|input: &[u8]| {
    for signal in Signal::ALL {
        if let Ok(bytes) = to_protobuf(signal, input, MOST) {
            assert!(bytes.len() <= MOST + input.len());
            inspect(signal, &bytes).expect("what is written is protobuf");
            assert!(std::str::from_utf8(input).is_ok());
        }
    }
});
