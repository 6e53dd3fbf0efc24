//! Remote write as it is sent and taken: what the sink writes of OTLP, read here, gives the same message again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use model::Signal;
use model::otlp::inspect;
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use prometheus::{Message, Options, Translation, Translator};
use scrape::{Metadata, WrittenError, WrittenForm, read_written};

fn read(body: &[u8], form: WrittenForm, metadata: &mut Metadata) -> scrape::Written {
    let written = read_written(body, form, metadata, |_| true).unwrap();
    if !written.request.is_empty() {
        assert!(inspect(Signal::Metrics, &written.request).unwrap().is_clean());
    }
    written
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// A series of 1.0.
fn v1(labels: &[(&str, &str)], rest: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        for (name, value) in labels {
            put_message(out, 1, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_bytes(out, 2, value.as_bytes());
            });
        }
        rest(out);
    });
    out
}

fn sample(out: &mut Vec<u8>, bits: u64, millis: u64) {
    put_message(out, 2, |out| {
        put_fixed64(out, 1, bits);
        put_uint(out, 2, millis);
    });
}

/// Scenario: series of 1.0 whose type comes in a message of its own, a stale marker, an exemplar apart from its sample, one without any, a series
/// without a name, a sample twice. Guarantees: what is taken and what is not is counted (P1); a type that was told is used.
#[test]
fn messages_of_1_0_are_read() {
    let mut metadata = Metadata::default();
    let mut family = Vec::new();
    put_message(&mut family, 3, |out| {
        put_uint(out, 1, 1);
        put_bytes(out, 2, b"calls_total");
    });
    assert_eq!(read(&family, WrittenForm::V1, &mut metadata), scrape::Written::default());
    let labels = [("__name__", "calls_total"), ("instance", "i"), ("job", "j"), ("path", "/")];
    let exemplar = |out: &mut Vec<u8>| {
        put_message(out, 3, |out| {
            put_message(out, 1, |out| {
                put_bytes(out, 1, b"trace_id");
                put_bytes(out, 2, b"0af7651916cd43dd8448eb211c80319c");
            });
            put_fixed64(out, 2, 3.0_f64.to_bits());
            put_uint(out, 3, 1_700_000_000_000);
        });
    };
    let body = [
        v1(&labels, |out| {
            sample(out, 7.0_f64.to_bits(), 1_700_000_000_000);
            sample(out, 8.0_f64.to_bits(), 1_700_000_001_000);
            sample(out, 8.0_f64.to_bits(), 1_700_000_001_000);
            sample(out, 0x7ff0_0000_0000_0002, 1_700_000_002_000);
        }),
        v1(&labels, exemplar),
        v1(&[("__name__", "other")], exemplar),
        v1(&[("path", "x")], |out| sample(out, 0, 1)),
    ]
    .concat();
    let written = read(&body, WrittenForm::V1, &mut metadata);
    assert_eq!(
        (written.samples, written.exemplars, written.refused, written.lone_exemplars),
        (3, 1, 2, 1),
        "{}",
        written.why
    );
    assert!(has(&written.request, b"counter") && has(&written.request, b"service.instance.id"));
    assert!(has(&written.request, &[0x0a, 0xf7, 0x65, 0x19]), "the exemplar has its trace");
    assert!(has(&written.request, &[0x40, 1]), "the flag of a point without a value");
}

/// Scenario: OTLP of every kind is written as 1.0 and 2.0, read, and written again. Guarantees: the second message has the same samples,
/// native histograms with their start times and exemplars as the first.
#[test]
fn what_is_written_is_read_back() {
    let mut metrics = Vec::new();
    let mut metric = |name: &str, data: &dyn Fn(&mut Vec<u8>)| {
        put_message(&mut metrics, 2, |out| {
            put_bytes(out, 1, name.as_bytes());
            data(out);
        });
    };
    let start = 1_700_000_000_000_000_000_u64;
    metric("gauge", &|out| {
        put_message(out, 5, |out| {
            put_message(out, 1, |out| {
                put_fixed64(out, 3, start);
                put_fixed64(out, 4, 1.5_f64.to_bits());
            });
        });
    });
    metric("calls", &|out| {
        put_message(out, 7, |out| {
            put_message(out, 1, |out| {
                put_fixed64(out, 2, start);
                put_fixed64(out, 3, start + 1_000_000_000);
                put_fixed64(out, 4, 5.0_f64.to_bits());
            });
            put_uint(out, 2, 2);
            put_uint(out, 3, 1);
        });
    });
    metric("native", &|out| {
        put_message(out, 10, |out| {
            put_message(out, 1, |out| {
                put_fixed64(out, 2, start);
                put_fixed64(out, 3, start + 1_000_000_000);
                put_fixed64(out, 4, 6);
                put_fixed64(out, 5, 9.0_f64.to_bits());
                put_uint(out, 6, 4);
                put_fixed64(out, 7, 1);
                put_message(out, 8, |out| {
                    put_uint(out, 1, 2);
                    put_message(out, 2, |out| out.extend([2, 0, 3]));
                });
            });
            put_uint(out, 2, 2);
        });
    });
    let mut otlp = Vec::new();
    put_message(&mut otlp, 1, |out| put_bytes(out, 2, &metrics));
    for (message, form) in [(Message::V1, WrittenForm::V1), (Message::V2, WrittenForm::V2)] {
        let write = |request: &[u8]| {
            let mut translator = Translator::new(Options {
                translation: Translation::NoTranslation,
                promote_resource_attributes: Vec::new(),
            });
            let mut out = Vec::new();
            translator.read(request).unwrap();
            translator.write(message, &mut out).unwrap();
            out
        };
        let first = write(&otlp);
        let written = read(&first, form, &mut Metadata::default());
        assert_eq!((written.samples, written.histograms, written.refused), (2, 1, 0), "{form:?} {}", written.why);
        let second = write(&written.request);
        assert_eq!(read(&second, form, &mut Metadata::default()), written, "{form:?}");
    }
}

/// Scenario: messages that are cut, symbols that are not there, and no room. Guarantees: nothing of them is taken, and each is told.
#[test]
fn what_is_no_message_is_told() {
    let body = v1(&[("__name__", "a")], |out| sample(out, 0, 1));
    let cut = read_written(&body[..body.len() - 1], WrittenForm::V1, &mut Metadata::default(), |_| true);
    assert!(matches!(cut, Err(WrittenError::Malformed(_))));
    let mut v2 = Vec::new();
    put_bytes(&mut v2, 4, b"");
    put_message(&mut v2, 5, |out| {
        put_bytes(out, 1, &[1, 2]);
        sample(out, 0, 1);
    });
    let strange = read_written(&v2, WrittenForm::V2, &mut Metadata::default(), |_| true);
    assert!(matches!(strange, Err(WrittenError::Malformed(why)) if why.contains("symbol")));
    let full = read_written(&body, WrittenForm::V1, &mut Metadata::default(), |_| false);
    assert_eq!(full, Err(WrittenError::NoRoom));
}
