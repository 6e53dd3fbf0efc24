//! Texts and requests that nobody wrote.

use model::Signal;
use model::otlp::inspect;

use super::fields::{Planted, plant};
use crate::{Class, Guard, Options, Rule, What, root};

/// Numbers by chance, the same each time.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    /// A piece of one text, changed.
    pub(super) fn text(&mut self, out: &mut Vec<u8>) {
        const PARTS: [&[u8]; 24] = [
            b"4111111111111111",
            b"4111 1111 1111 1111",
            b"%34%31",
            b"eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
            b"Bearer abc123def",
            b"Basic dXNlcjpwYXNz",
            b"password=",
            b"\"token\": \"",
            b"://a:b@c",
            b"-----BEGIN X-----",
            b"AKIAIOSFODNN7EXAMPLE",
            b"NDExMTExMTExMTExMTExMQ==",
            b"34 31 31 31 31 31 31 31 31 31 31 31 31 31",
            b"4\x001\x001\x001\x001\x001\x001\x001\x00",
            b"GB82WEST12345698765432",
            b"a@b.org",
            b"::1 fe80::1%eth0",
            b"10.0.0.1",
            b"+49 30 901820",
            b"?a=1&b=2",
            b"'it''s",
            b"\xff\xfe",
            b"0x",
            b"^",
        ];
        for _ in 0..=self.below(5) {
            out.extend_from_slice(PARTS[self.below(PARTS.len())]);
            if self.below(3) == 0 && !out.is_empty() {
                let place = self.below(out.len());
                out[place] = self.below(256) as u8;
            }
            if self.below(4) == 0 {
                let length = self.below(out.len() + 1);
                out.truncate(length);
            }
        }
    }
}

fn all_classes() -> Guard {
    let rule = |class: Class| Rule {
        name: class.name().into(),
        what: What::Class(class),
        keys: None,
        action: crate::Action::Redact(None),
    };
    Guard::new(Options { rules: Class::ALL.into_iter().map(rule).collect(), ..Options::default() }).unwrap()
}

/// Scenario: 60,000 texts made of pieces of values of every class, changed and cut by chance, before a card number that stands by itself.
/// Guarantees: nothing panics, ranges are in order and inside of the text, and the card number never passes (P10).
#[test]
fn no_text_makes_it_panic() {
    let (mut chance, mut every, mut usual) = (Chance::new(1), all_classes(), Guard::default());
    for _ in 0..60_000 {
        let mut text = Vec::new();
        chance.text(&mut text);
        let (_, hits) = every.mask(&text);
        assert!(hits.windows(2).all(|two| two[0].range.end <= two[1].range.start), "{hits:?}");
        assert!(hits.iter().all(|hit| hit.range.start < hit.range.end && hit.range.end <= text.len()), "{hits:?}");
        text.extend_from_slice(b" 4111111111111111 ");
        let (masked, _) = usual.mask(&text);
        assert!(!masked.ends_with(b" 4111111111111111 "), "{:?}", String::from_utf8_lossy(&text));
    }
}

/// Scenario: requests with a card number in each place, each with bytes changed by chance. Guarantees: nothing panics; what the door lets
/// pass unmended the guard can read, and what it writes can be read again.
#[test]
fn no_request_makes_it_panic() {
    let (mut chance, mut guard) = (Chance::new(2), Guard::default());
    let mut read = 0;
    for signal in Signal::ALL {
        let mut planted = Vec::new();
        plant(root(signal), b"x 4111111111111111", &mut planted);
        for Planted { request, .. } in planted {
            for _ in 0..60 {
                let mut changed = request.clone();
                for _ in 0..=chance.below(3) {
                    let place = chance.below(changed.len());
                    changed[place] = chance.below(256) as u8;
                }
                let is_clean = inspect(signal, &changed).is_ok();
                match guard.admit(signal, changed) {
                    Ok(passed) => {
                        assert!(!is_clean || inspect(signal, &passed.request).is_ok());
                        read += 1;
                    }
                    Err(denied) => assert!(!is_clean, "{denied:?}"),
                }
            }
        }
    }
    assert!(read > 1_000, "{read}");
}

/// Scenario: a card number in groups, with each separator that people write, behind texts of every length up to 12. Guarantees: the
/// prefilter lets the detector see each (P10).
#[test]
fn groups_with_every_separator_are_masked() {
    let mut guard = Guard::default();
    for separator in [" ", "-", ".", "_", "/"] {
        for groups in
            [["4111", "1111", "1111", "1111"].as_slice(), &["3782", "822463", "10005"], &["41111111", "11111111"]]
        {
            for before in 0..12 {
                let text = format!("{}{}", "- ".repeat(before), groups.join(separator));
                let (masked, hits) = guard.mask(text.as_bytes());
                assert!(hits.len() == 1 && masked.ends_with(b"[REDACTED:pan]"), "{text}: {hits:?}");
            }
        }
    }
}
