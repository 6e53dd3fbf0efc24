//! Any bytes as a frame, and as the OTLP of one: nothing panics; what can be read encodes again, and from
//! then on to the same bytes (P7).
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::{Frame, Section, SectionRef, decode_body, decode_frame, decode_header, encode_body, seal_frame};

fuzz_target!(|input: &[u8]| {
    if let Ok(frame) = decode_frame(input) {
        assert_eq!(decode_header(input).as_ref(), Ok(&frame.header));
        // A stranger's frame may say things twice, which writing it again puts right; from then on nothing changes.
        let first = write(&frame);
        let read = decode_frame(&first).expect("what was written can be read");
        assert_eq!(read.header, frame.header);
        assert_eq!(write(&read), first, "the same frame has other bytes");
    }
    let Some((kind, otlp)) = input.split_first() else { return };
    let section = match kind % 4 {
        0 => SectionRef::Traces(otlp),
        1 => SectionRef::Logs(otlp),
        2 => SectionRef::Metrics(otlp),
        _ => SectionRef::Exemplars(otlp),
    };
    let mut body = Vec::new();
    if encode_body(&[section], &mut body).is_err() {
        assert!(body.is_empty(), "a failed encoding leaves bytes behind");
        return;
    }
    let read = decode_body(&body).expect("what was written can be read");
    let sections: Vec<SectionRef<'_>> = read.iter().map(Section::as_ref).collect();
    let mut again = Vec::new();
    encode_body(&sections, &mut again).expect("what was read is OTLP");
    assert_eq!(again, body, "the same batch has other bytes");
});

fn write(frame: &Frame) -> Vec<u8> {
    let sections: Vec<SectionRef<'_>> = frame.sections.iter().map(Section::as_ref).collect();
    let mut body = Vec::new();
    encode_body(&sections, &mut body).expect("what was read is OTLP");
    let mut bytes = Vec::new();
    seal_frame(&frame.header, &body, &mut bytes);
    bytes
}
