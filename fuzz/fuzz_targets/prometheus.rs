//! Any request that passed the door, as remote write: every point is in the message or counted, both versions can be read back, series
//! have their labels sorted and their samples oldest first, and the same request gives the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::Signal;
use model::otlp::{Pieces, inspect};
use model::proto::{Reader, Value, read_varint};
use prometheus::{Message, Options, TranslateError, Translation, Translator};

/// The texts, messages or bytes of a field.
fn field(message: &[u8], wanted: u32) -> Vec<&[u8]> {
    let (mut reader, mut found) = (Reader::new(message), Vec::new());
    while let Some((number, value)) = reader.next_field().expect("what was written is readable") {
        if let (true, Value::Bytes(bytes)) = (number == wanted, value) {
            found.push(bytes);
        }
    }
    found
}

fn number(message: &[u8], wanted: u32) -> u64 {
    let (mut reader, mut found) = (Reader::new(message), 0);
    while let Some((number, value)) = reader.next_field().expect("what was written is readable") {
        if let (true, Value::Varint(value)) = (number == wanted, value) {
            found = value;
        }
    }
    found
}

fn check(symbols: &[&[u8]], series: &[u8]) -> usize {
    let labels = field(series, 1);
    let mut refs = Vec::new();
    for mut packed in labels {
        while let Ok((symbol, used)) = read_varint(packed) {
            refs.push(symbol as usize);
            packed = &packed[used..];
        }
    }
    let names: Vec<&[u8]> = refs.chunks(2).map(|pair| symbols[pair[0]]).collect();
    assert!(names.is_sorted_by(|one, other| one < other), "labels are sorted, each once");
    assert!(refs.chunks(2).all(|pair| !symbols[pair[1]].is_empty()), "no label is empty");
    assert!(names.contains(&&b"__name__"[..]));
    let (samples, histograms) = (field(series, 2), field(series, 3));
    assert!(samples.is_empty() != histograms.is_empty());
    assert!(samples.iter().map(|sample| number(sample, 2).cast_signed()).is_sorted());
    assert!(histograms.iter().map(|one| number(one, 15).cast_signed()).is_sorted());
    samples.len() + histograms.len()
}

fuzz_target!(|input: &[u8]| {
    let Ok(found) = inspect(Signal::Metrics, input) else { return };
    if found.records == 0 {
        return;
    }
    for piece in Pieces::new(Signal::Metrics, input, 1) {
        let points = inspect(Signal::Metrics, &piece).expect("a piece is readable").records;
        for translation in [
            Translation::UnderscoreEscapingWithSuffixes,
            Translation::UnderscoreEscapingWithoutSuffixes,
            Translation::NoUtf8EscapingWithSuffixes,
            Translation::NoTranslation,
        ] {
            let promote_resource_attributes = vec!["host.name".into(), "".into()];
            let mut translator = Translator::new(Options { translation, promote_resource_attributes });
            let counts = match translator.read(&piece) {
                Ok(counts) => counts.clone(),
                Err(error) => {
                    assert_eq!(error, TranslateError::TooLarge);
                    continue;
                }
            };
            assert_eq!(counts.points + counts.rejected, points as u64);
            assert_eq!(counts.rejected == 0, counts.why.is_empty());
            let (mut new, mut old) = (Vec::new(), Vec::new());
            if translator.write(Message::V2, &mut new).is_err() || translator.write(Message::V1, &mut old).is_err() {
                continue;
            }
            let symbols = field(&new, 4);
            let samples: usize = field(&new, 5).iter().map(|series| check(&symbols, series)).sum();
            assert_eq!(samples as u64, counts.samples + counts.histograms);
            assert_eq!(field(&old, 1).len(), field(&new, 5).len());
            let mut again = Vec::new();
            assert_eq!(translator.read(&piece), Ok(&counts));
            translator.write(Message::V2, &mut again).expect("it was written before");
            assert!(again == new, "what is sent again has the same bytes");
        }
    }
});
