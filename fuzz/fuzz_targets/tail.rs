//! Any bytes as a stretch of a log file, in every format and encoding: nothing panics; entries lie within what is used, a stretch that is
//! closed is used up, and what is written is a request that the door can read, with a record for each entry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::inspect;
use regex_lite::Regex;
use tail::{Cutter, Encoding, End, Format, Multiline, Place, Preset, Writer, pod};

fuzz_target!(|input: &[u8]| {
    let _place = Place::decode(input).map(|place| assert_eq!(Place::decode(&place.encode()), Some(place)));
    let _pod = std::str::from_utf8(input).ok().and_then(pod);
    let Some((choice, bytes)) = input.split_first() else { return };
    let format = match choice % 8 {
        0 => Format::Auto,
        1 => Format::Plain,
        2 => Format::Cri,
        3 => Format::Docker,
        4 => Format::Json,
        5 => Format::Logfmt,
        6 => Format::Csv { columns: vec!["a".into(), String::new(), "time".into()], delimiter: b',' },
        _ => Format::Syslog,
    };
    let multiline = match choice / 8 % 4 {
        0 => None,
        1 => Some(Multiline::Preset(Preset::Java)),
        2 => Some(Multiline::Preset(Preset::Python)),
        _ => Regex::new(r"^\S").ok().map(Multiline::Start),
    };
    let encoding =
        [Encoding::Utf8, Encoding::Utf16Le, Encoding::Utf16Be, Encoding::Latin1][usize::from(choice / 32 % 4)];
    let cutter = Cutter::new(format.clone(), multiline, encoding, 64);
    assert!(cutter.whole_lines(bytes) <= bytes.len());
    for end in [End::Open, End::Closed] {
        let stretch = cutter.cut(bytes, end);
        assert!(stretch.used <= bytes.len() && (end == End::Open || stretch.used == bytes.len()));
        assert!(stretch.entries.iter().all(|entry| entry.start < entry.end && entry.end <= stretch.used));
        let writer = Writer::new(format.clone(), "/var/log/pods/a_b_c/d/0.log", &[], &[]);
        let (mut entries, mut records) = (&*stretch.entries, 0);
        while !entries.is_empty() {
            let mut body = Vec::new();
            let written = writer.write(entries, 1, &mut body);
            assert!(written.entries > 0);
            let found = inspect(Signal::Logs, &body).expect("what is written is protobuf");
            records += found.records + found.rejected.total();
            entries = &entries[written.entries..];
        }
        assert_eq!(records, stretch.entries.len() as u64);
    }
});
