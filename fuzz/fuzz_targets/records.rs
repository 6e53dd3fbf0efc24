//! Any bytes as an OTLP request, as the recorder's stream and as an exported file: every record in every form, nothing
//! panics, no form breaks its line, and a filter reads every field.
#![no_main]

use filter::{Engine, Field, Record};
use libfuzzer_sys::fuzz_target;
use model::Signal;
use query::output::{Format, Style, line};
use query::{Found, Scan};

fuzz_target!(|input: &[u8]| {
    let any = filter::parse("", 0).expect("the empty query");
    let mut engine = Engine::<Found>::new(&any);
    for signal in Signal::ALL {
        let mut out = String::new();
        query::json::request(&mut out, signal, input);
        assert!(!out.contains('\n'));
        let mut stream = Vec::new();
        query::write_entry(&mut stream, 0, recorder::Content::Request(signal), input);
        let mut found = Vec::new();
        let mut scan = Scan::new(&any, |record| found.push(record));
        scan.recorder("gw", &mut &stream[..]).expect("a whole entry");
        let _scanned = scan.finish();
        query::waterfall::write(&mut String::new(), &found, false);
        for record in found {
            for format in [Format::Table, Format::Ndjson, Format::Logfmt, Format::OtlpJson] {
                let mut out = String::new();
                line(&mut out, &record, &[], Style { format, colour: false });
                assert_eq!(out.matches('\n').count(), 1);
            }
            for name in ["service", "level", "dur", "trace", "span", "parent", "kind", "value", "body", "name", "a.b"] {
                let _value = record.field(&Field::named(name));
            }
            engine.push(record);
        }
    }
    let mut stream = input;
    while let Ok(Some(_)) = query::read_entry(&mut stream) {}
    for signal in Signal::ALL {
        let mut file = input;
        while let Ok(Some(_)) = query::export::read_request(&mut file, signal) {}
    }
});
