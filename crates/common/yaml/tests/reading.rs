//! What people write, what attackers write, and the places of mistakes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test program")]

use std::collections::BTreeMap;

use serde::Deserialize;
use yaml::{Spanned, from_str};

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sample {
    name: String,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    share: f64,
    #[serde(default)]
    on: bool,
    #[serde(default)]
    list: Vec<String>,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    inner: BTreeMap<String, i64>,
}

#[derive(Debug, Deserialize, PartialEq, Default)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Plain,
    Of(u8),
    With {
        depth: u8,
    },
}

fn sample(text: &str) -> Result<Sample, String> {
    from_str(text).map_err(|error| error.to_string())
}

/// Scenario: scalars in every style, texts that look like numbers, quoted numbers, nothing where a list may be, kinds. Guarantees: each is read
/// as its type asks.
#[test]
fn values_are_read_as_their_types_ask() {
    let text = "name: 1.10\nport: '4317'\nshare: .5\non: yes\nlist:\nkind: { with: { depth: 3 } }\ninner: { a: 0x10, b: -2 }\n";
    let read = sample(text).unwrap();
    assert_eq!((read.name.as_str(), read.port, read.share, read.on), ("1.10", Some(4317), 0.5, true));
    assert_eq!((read.list.len(), read.kind), (0, Kind::With { depth: 3 }));
    assert_eq!(read.inner, BTreeMap::from([("a".into(), 16), ("b".into(), -2)]));
    let text = "name: |\n  two\n  lines\nlist: [a, \"b\\tc\", 'd''e', 007, null]\nkind: { of: 7 }\nport: ~\n";
    let read = sample(&text.replace(", null", "")).unwrap();
    assert_eq!(read.name, "two\nlines\n");
    assert_eq!(
        (read.list, read.kind, read.port),
        (["a", "b\tc", "d'e", "007"].map(str::to_owned).to_vec(), Kind::Of(7), None)
    );
    assert!(sample(text).unwrap_err().contains("null"));
    let any: serde::de::IgnoredAny = from_str("{ a: [1, { b: c }], d: 1e3 }").unwrap();
    assert_eq!(any, serde::de::IgnoredAny);
}

/// Scenario: anchors, aliases, and what a mapping takes from others. Guarantees: an alias is what it names, a mapping's own keys win.
#[test]
fn aliases_and_merged_keys() {
    let text =
        "base: &base { a: 1, b: 2 }\nother: &other { b: 3, c: 4 }\nall: { <<: [*base, *other], a: 9 }\nsame: *base\n";
    let read: BTreeMap<String, BTreeMap<String, i64>> = from_str(text).unwrap();
    assert_eq!(read["all"], BTreeMap::from([("a".into(), 9), ("b".into(), 2), ("c".into(), 4)]));
    assert_eq!(read["same"], read["base"]);
}

/// Scenario: mistakes of each kind. Guarantees: each is told with the place of the value, or of the key where the key is the mistake.
#[test]
fn mistakes_have_places() {
    for (text, expected) in [
        ("name: a\nport: high\n", "line 2, column 7: invalid type: string \"high\", expected u16"),
        ("name: a\nport: 70000\n", "line 2, column 7: invalid value: integer `70000`, expected u16"),
        ("name: a\ncolour: red\n", "line 2, column 1: unknown field `colour`"),
        ("name: a\nname: b\n", "line 2, column 1: duplicate key `name`"),
        ("port: 1\n", "missing field `name`"),
        ("name:\n", "expected a string"),
        ("name: [a]\n", "line 1, column 7: invalid type: sequence, expected a string"),
        ("name: a\nkind: odd\n", "line 2, column 7: unknown variant `odd`"),
        ("name: a\nkind: { of: 1, with: 2 }\n", "line 2, column 7: one key says which kind this is"),
        ("name: !ours a\n", "the tag !ours is not known here"),
        ("name: a\n---\nname: b\n", "a second document"),
        ("name: *none\n", "line 1"),
        ("[a]: b\n", "a key is a text here"),
        ("name: \"a\n", "line "),
        ("- a\n", "invalid type: sequence, expected struct Sample"),
    ] {
        let found = sample(text).unwrap_err();
        assert!(found.contains(expected), "{text:?}: {found}");
    }
    let error = from_str::<Sample>("port: 1\n").unwrap_err();
    assert!(error.is_missing());
    let spanned: Vec<Spanned<String>> = from_str("- a\n-   b\n").unwrap();
    let places = spanned.iter().map(|one| (one.value.as_str(), one.place.line(), one.place.column()));
    assert_eq!(places.collect::<Vec<_>>(), [("a", 1, 3), ("b", 2, 5)]);
}

/// Scenario: a document that aliases make a billion values of, one that is nested 100,000 deep, an alias inside of what it names, and an empty
/// one. Guarantees: each ends soon with a word, and nothing is read without a bound.
#[test]
fn what_would_never_end_is_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 9].join(", ");
        laughs += &format!("a{level}: &a{level} [{row}]\n");
    }
    let error = from_str::<serde::de::IgnoredAny>(&laughs).unwrap_err().to_string();
    assert!(error.contains("more than 250000 values"), "{error}");
    let deep = "[".repeat(100_000);
    assert!(from_str::<serde::de::IgnoredAny>(&deep).is_err());
    assert!(from_str::<serde::de::IgnoredAny>("a: &a [*a]\n").is_err());
    assert_eq!(from_str::<Option<u8>>("").unwrap(), None);
    assert_eq!(from_str::<Option<u8>>("# nothing\n").unwrap(), None);
}
