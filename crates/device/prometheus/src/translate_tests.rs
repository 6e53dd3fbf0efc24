//! Where the translation goes its own way, or says no.

use model::proto::{put_bytes, put_fixed64, put_message, put_uint, zigzag};

use crate::{Counts, Message, Options, TranslateError, Translator};

const SECOND: u64 = 1_000_000_000;

fn attribute(out: &mut Vec<u8>, number: u32, key: &str, text: &str) {
    put_message(out, number, |out| {
        put_bytes(out, 1, key.as_bytes());
        put_message(out, 2, |out| put_bytes(out, 1, text.as_bytes()));
    });
}

/// A request of one metric under a resource, whose data stands under this number and is written by `data`.
fn request(name: &str, number: u32, data: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| {
        put_message(out, 1, |out| {
            attribute(out, 1, "service.name", "pump");
            attribute(out, 1, "host.name", "gw");
        });
        put_message(out, 2, |out| {
            put_message(out, 2, |out| {
                put_bytes(out, 1, name.as_bytes());
                put_message(out, number, data);
            });
        });
    });
    out
}

fn point(out: &mut Vec<u8>, seconds: u64, rest: impl FnOnce(&mut Vec<u8>)) {
    put_message(out, 1, |out| {
        put_fixed64(out, 3, seconds * SECOND);
        rest(out);
    });
}

fn translated(request: &[u8]) -> (Counts, Vec<u8>) {
    let (mut translator, mut out) = (Translator::new(Options::default()), Vec::new());
    let counts = translator.read(request).unwrap().clone();
    translator.write(Message::V2, &mut out).unwrap();
    (counts, out)
}

/// Scenario: sums and histograms with delta temporality or none, points without a value, an attribute of whose name nothing is left,
/// a scale below -4, buckets beyond 32 bits. Guarantees: each point is rejected with words that name the metric and say what to do; none
/// takes others with it (P1).
#[test]
fn what_prometheus_has_no_place_for_is_counted() {
    let value = |out: &mut Vec<u8>| put_fixed64(out, 4, 1f64.to_bits());
    let refused = |request: &[u8], rejected: u64, points: u64, words: &str| {
        let (counts, _) = translated(request);
        assert_eq!((counts.rejected, counts.points), (rejected, points), "{}", counts.why);
        assert!(counts.why.contains("'m'") && counts.why.contains(words), "{}", counts.why);
    };
    for data in [7, 9, 10] {
        for (temporality, words) in [(1, "delta"), (0, "no temporality")] {
            let request = request("m", data, |out| {
                point(out, 1, value);
                point(out, 2, value);
                put_uint(out, 2, temporality);
            });
            refused(&request, 2, 0, words);
        }
    }
    let request_of = |data, second: &dyn Fn(&mut Vec<u8>)| {
        request("m", data, |out| {
            point(out, 1, value);
            point(out, 2, second);
            put_uint(out, 2, 2);
        })
    };
    refused(&request_of(5, &|_| ()), 1, 1, "without a value");
    let underscores = |out: &mut Vec<u8>| {
        value(out);
        attribute(out, 7, "--", "x");
    };
    refused(&request_of(5, &underscores), 1, 1, "attribute");
    refused(&request_of(10, &|out| put_uint(out, 6, zigzag(-5))), 1, 1, "scale");
    let far = |out: &mut Vec<u8>| {
        put_message(out, 8, |out| {
            put_uint(out, 1, zigzag(i64::from(i32::MAX)));
            put_uint(out, 2, 5);
        });
    };
    refused(&request_of(10, &far), 1, 1, "buckets");
    let (counts, _) = translated(&request("-", 5, |out| point(out, 1, value)));
    assert_eq!((counts.rejected, counts.samples), (1, 0), "{}", counts.why);
}

/// Scenario: one resource with a point of 1970 and one of 2200, a million seconds apart in all. Guarantees: `target_info` comes at
/// most 65 times (P9), first and last included.
#[test]
fn target_info_has_a_bound() {
    let request = request("m", 5, |out| {
        for seconds in [0, 7_258_118_400] {
            point(out, seconds, |out| put_fixed64(out, 4, 1f64.to_bits()));
        }
    });
    let (counts, _) = translated(&request);
    assert!((60..=67).contains(&counts.samples), "{}", counts.samples);
}

/// Scenario: a gauge with an exemplar; an exponential histogram with a zero threshold of its own, and one that has no value any more.
/// Guarantees: both go on as they are, though Prometheus' own endpoint leaves them out; the end of a native series is told by its sum.
#[test]
fn exemplars_of_gauges_and_zero_thresholds_are_kept() {
    let gauge = request("m", 5, |out| {
        point(out, 1, |out| {
            put_fixed64(out, 4, 1f64.to_bits());
            put_message(out, 5, |out| {
                put_fixed64(out, 3, 2f64.to_bits());
                put_bytes(out, 5, &[7; 16]);
            });
            put_message(out, 5, |out| put_bytes(out, 5, &[7; 16]));
        });
    });
    let (counts, message) = translated(&gauge);
    assert_eq!((counts.exemplars, counts.exemplars_left_out), (1, 1));
    let id = "07".repeat(16);
    assert!(message.windows(id.len()).any(|window| window == id.as_bytes()));
    let histogram = request("m", 10, |out| {
        point(out, 1, |out| put_fixed64(out, 14, 0.25f64.to_bits()));
        point(out, 2, |out| put_uint(out, 10, 1));
        put_uint(out, 2, 2);
    });
    let (counts, message) = translated(&histogram);
    assert_eq!((counts.points, counts.histograms), (2, 2));
    let holds = |number: u32, bits: u64| {
        let mut field = Vec::new();
        put_fixed64(&mut field, number, bits);
        message.windows(field.len()).any(|window| window == field)
    };
    assert!(holds(5, 0.25f64.to_bits()) && holds(3, 0x7ff0_0000_0000_0002));
}

/// Scenario: the same series at five times, the newest first, one of them twice. Guarantees: one series, each sample once, oldest first.
#[test]
fn samples_of_a_series_come_oldest_first() {
    let request = request("m", 5, |out| {
        for seconds in [5, 4, 4, 2, 3, 1] {
            point(out, seconds, |out| put_fixed64(out, 4, 1f64.to_bits()));
        }
    });
    let (counts, message) = translated(&request);
    // With `target_info` at 1 and 5 seconds.
    assert_eq!((counts.points, counts.samples), (6, 7));
    let time = |seconds: u64| {
        let mut field = Vec::new();
        put_uint(&mut field, 2, seconds * 1000);
        message.windows(field.len()).position(|window| window == field).unwrap()
    };
    assert!([1, 2, 3, 4, 5].map(time).is_sorted());
}

/// Scenario: one point of 3,000 attributes and 3,000 buckets, nine million labels in all; one of 100 and 400.
/// Guarantees: translation stops where its memory or the message ends, and says so, in both versions (P9).
#[test]
fn labels_times_buckets_have_a_bound() {
    let histogram = |out: &mut Vec<u8>, attributes: u64, buckets: u64| {
        point(out, 1, |out| {
            (0..attributes).for_each(|at| attribute(out, 9, &format!("name{at}"), "a value of some length"));
            for at in 0..buckets {
                put_fixed64(out, 6, 1);
                put_fixed64(out, 7, (at as f64).to_bits());
            }
        });
    };
    let request_of = |points: u64, attributes: u64, buckets: u64| {
        request("m", 9, |out| {
            (0..points).for_each(|_| histogram(out, attributes, buckets));
            put_uint(out, 2, 2);
        })
    };
    let mut translator = Translator::new(Options::default());
    assert_eq!(translator.read(&request_of(1, 3000, 3000)), Err(TranslateError::TooLarge));
    let mut out = Vec::new();
    assert_eq!(translator.read(&request_of(1, 100, 400)).map(|counts| counts.samples), Ok(403));
    assert_eq!(translator.write(Message::V2, &mut out), Ok(()));
    assert_eq!(translator.write(Message::V1, &mut out), Err(TranslateError::TooLarge));
}
