//! What the guard does in haste, held against what it would do without: no table, no memory, no look before the look.

use model::Signal;
use model::otlp::schema::{self, Kind, Message, Rule as Times, any_value, key_value};
use model::proto::{ProtoError, Reader, Value};

use super::fields::plant;
use super::odd::Chance;
use crate::detect::Runs;
use crate::interest::Interest;
use crate::judge::{Judge, KeyVerdict};
use crate::look::{Look, card_in_double, card_in_integer};
use crate::unit::{INFO, field_of, is_number_id};
use crate::{Action, Class, KeyPattern, Options, Rule, What, expression, root, usual_rules};

/// What a text is made of, byte by byte.
struct Plain<'a>(&'a [u8]);

impl Plain<'_> {
    fn has(&self, fits: impl Fn(u8) -> bool) -> bool {
        self.0.iter().any(|byte| fits(*byte))
    }

    fn long_number(&self) -> bool {
        let of_numbers = |eight: &[u8]| eight.iter().all(|byte| (0x20..0x40).contains(byte));
        let underscored =
            |eight: &[u8]| eight.iter().all(|byte| matches!(byte, 0x10..=0x1f | 0x30..=0x3f | 0x50..=0x5f));
        self.0.windows(8).enumerate().any(|(place, eight)| place % 4 == 0 && of_numbers(eight))
            || self.has(|byte| byte == b'_')
                && self.0.windows(8).enumerate().any(|(place, eight)| place % 4 == 0 && underscored(eight))
    }

    fn scheme(&self) -> bool {
        let ends = [b"arer ", b"asic ", b"iate ", b"oken "];
        self.0.windows(5).any(|five| ends.iter().any(|end| five.eq_ignore_ascii_case(*end)))
    }

    fn token(&self) -> bool {
        let of_words = |eight: &[u8]| eight.iter().all(|byte| byte & 0x40 != 0 || byte & 0x30 == 0x30);
        let of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+/".contains(byte);
        self.0.len() >= 16
            && self.has(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            && self.0.windows(8).enumerate().any(|(place, eight)| place % 8 == 0 && of_words(eight))
            && self.0.windows(13).any(|run| run.iter().all(of_token))
    }

    /// Whether the bytes at a multiple of 24 are of a row of pairs.
    fn row(&self) -> bool {
        let of_row = |eight: &[u8]| {
            (0..3).any(|first| {
                let separators: Vec<u8> = eight.iter().skip(first).step_by(3).copied().collect();
                b" :,-".contains(&separators[0]) && separators.iter().all(|byte| *byte == separators[0])
            })
        };
        self.0.len() >= 38 && self.0.windows(8).enumerate().any(|(place, eight)| place % 24 == 0 && of_row(eight))
    }

    fn may_hold_usual(&self) -> bool {
        let (digit, upper, space) = (
            self.has(|byte| byte.is_ascii_digit()),
            self.has(|byte| byte.is_ascii_uppercase()),
            self.has(|byte| byte == b' '),
        );
        if self.has(|byte| b"@%=:\0".contains(&byte)) {
            return true;
        }
        self.0.len() >= 12
            && (digit || upper || space)
            && (digit && (self.long_number() || self.row())
                || self.token()
                || space && (upper && self.has(|byte| byte == b'-') || self.scheme()))
    }
}

/// Scenario: 300,000 texts of what prefilters look for, at every offset and of every length up to 47. Guarantees: a prefilter that takes
/// eight bytes at once says what one says that takes them one by one (P10).
#[test]
fn prefilters_say_what_bytes_say() {
    const PIECES: [&[u8]; 23] = [
        b"bearer ",
        b"asic ",
        b"TOKEN ",
        b"iate",
        b"arer\x00",
        b"1",
        b"1234",
        b"56 78-90",
        b"A",
        b"zz",
        b"-",
        b" ",
        b"@",
        b"%",
        b"=",
        b":",
        b"\0",
        b"\xff",
        b"eyJhbGciOiJ",
        b"/?._",
        b"1234_",
        b"6f 6d ",
        b"_",
    ];
    let mut chance = Chance::new(7);
    let (mut held, mut tokens) = (0, 0);
    for _ in 0..300_000 {
        let mut text = Vec::new();
        let length = chance.below(48);
        while text.len() < length {
            // Mostly what stops nothing.
            let piece = if chance.below(2) == 0 { b"z".as_slice() } else { PIECES[chance.below(PIECES.len())] };
            text.extend_from_slice(piece);
        }
        text.truncate(length);
        let (interest, plain) = (Interest::of(&text), Plain(&text));
        assert_eq!(interest.may_hold_usual(&text), plain.may_hold_usual(), "{:?}", text.escape_ascii().to_string());
        assert_eq!(interest.has_token(&text), plain.token(), "{:?}", text.escape_ascii().to_string());
        let authorization = text.len() >= 12 && plain.has(|byte| byte == b' ') && plain.scheme();
        assert_eq!(interest.may_hold(Class::Authorization, &text, &Runs::default()), authorization);
        held += u32::from(plain.may_hold_usual());
        tokens += u32::from(plain.token());
    }
    assert!((100_000..290_000).contains(&held) && tokens > 3_000, "{held} {tokens}");
}

/// Whether nothing of a message is masked: by every rule, for every text, in a walk that takes no shorter way.
fn is_clean(judge: &mut Judge, message: &'static Message, bytes: &[u8]) -> Result<bool, ProtoError> {
    let (mut reader, mut clean) = (Reader::new(bytes), true);
    let everywhere = judge.everywhere();
    while let Some((number, value)) = reader.next_field()? {
        clean &= match (value, field_of(message, number).map(|field| (field.kind, field.rule))) {
            (Value::Varint(value), _) => {
                let is_severity = std::ptr::eq(message, &schema::LOG_RECORD) && number == 2;
                !(is_severity && judge.options().production && (1..INFO).contains(&value))
            }
            (Value::Fixed32(_) | Value::Fixed64(_), _) => true,
            (Value::Bytes(inside), Some((kind, rule))) => match kind {
                Kind::String => judge.look(inside, everywhere).is_empty(),
                Kind::Id16 | Kind::Id8 => !is_number_id(inside) || judge.look(inside, everywhere).is_empty(),
                Kind::Message(child) => is_clean(judge, child, inside)?,
                Kind::Attributes => is_clean_pair(judge, inside)?,
                Kind::AnyValue => is_clean_value(judge, inside, everywhere)?,
                _ => rule == Times::Repeated,
            },
            (Value::Bytes(_), None) => false,
        };
    }
    Ok(clean && !reader.passed_group())
}

fn is_clean_pair(judge: &mut Judge, pair: &[u8]) -> Result<bool, ProtoError> {
    let (mut verdict, mut clean) = (judge.key(b""), true);
    let (mut reader, everywhere) = (Reader::new(pair), judge.everywhere());
    while let Some((number, value)) = reader.next_field()? {
        match (number, value) {
            (key_value::KEY, Value::Bytes(key)) => {
                verdict = judge.key(key);
                clean &= judge.look(key, everywhere).is_empty();
            }
            (key_value::VALUE, Value::Bytes(_)) | (_, Value::Varint(_)) => {}
            _ => clean = false,
        }
    }
    clean &= !reader.passed_group();
    let mut reader = Reader::new(pair);
    while let Some((number, value)) = reader.next_field()? {
        if let (key_value::VALUE, Value::Bytes(value)) = (number, value)
            && !verdict.allowed
        {
            clean &= stays(judge, value, verdict)? && is_clean_value(judge, value, verdict.rules)?;
        }
    }
    Ok(clean)
}

fn stays(judge: &Judge, value: &[u8], verdict: KeyVerdict) -> Result<bool, ProtoError> {
    let Some(rule) = verdict.whole else { return Ok(true) };
    let (mut reader, mut stays) = (Reader::new(value), true);
    while let Some((number, value)) = reader.next_field()? {
        stays &= match (number, value) {
            (any_value::STRING, Value::Bytes(text)) => text.is_empty() || judge.is_replaced(rule.into(), text),
            (any_value::BOOL | any_value::INT | any_value::DOUBLE, _) => verdict.texts_only,
            (_, Value::Bytes(inside)) => inside.is_empty(),
            _ => true,
        };
    }
    Ok(stays)
}

fn is_clean_value(judge: &mut Judge, value: &[u8], rules: u64) -> Result<bool, ProtoError> {
    let (mut reader, mut clean) = (Reader::new(value), true);
    while let Some((number, value)) = reader.next_field()? {
        clean &= match (number, value) {
            (any_value::STRING | any_value::BYTES, Value::Bytes(text)) => judge.look(text, rules).is_empty(),
            (any_value::ARRAY | any_value::KVLIST, Value::Bytes(list)) => {
                let (mut entries, mut clean) = (Reader::new(list), true);
                while let Some((inner, value)) = entries.next_field()? {
                    clean &= match (inner, value) {
                        (1, Value::Bytes(entry)) if number == any_value::ARRAY => is_clean_value(judge, entry, rules)?,
                        (1, Value::Bytes(entry)) => is_clean_pair(judge, entry)?,
                        (_, value) => !matches!(value, Value::Bytes(_)),
                    };
                }
                clean && !entries.passed_group()
            }
            (any_value::INT, Value::Varint(value)) => card_in_integer(judge, value, rules).is_none(),
            (any_value::DOUBLE, Value::Fixed64(bits)) => card_in_double(judge, bits, rules).is_none(),
            (_, value) => !matches!(value, Value::Bytes(_)),
        };
    }
    Ok(clean && !reader.passed_group())
}

fn with_keys() -> Options {
    let rule = |name: &str, what, keys: Option<&str>| Rule {
        name: name.into(),
        what,
        keys: keys.map(|glob| KeyPattern::Glob(glob.into())),
        action: Action::Redact(None),
    };
    let mut rules = vec![
        rule("all", What::All, Some("*.key")),
        rule("mail", What::Class(Class::Email), Some("a*")),
        rule("order", What::Pattern(expression("ORD-[0-9]+").unwrap()), None),
    ];
    rules.extend(usual_rules());
    Options { rules, allowed_keys: vec![KeyPattern::Glob("inner".into())], ..Options::default() }
}

/// Scenario: requests with pieces of values in each place of the schema, clean ones and changed ones, again and again through a guard that
/// remembers; with the usual rules, in production on a small device, with rules for keys and patterns. Guarantees: what it lets pass
/// untouched is what a walk without tables and memory finds clean, and nothing else (P10).
#[test]
fn the_look_finds_what_a_plain_walk_finds() {
    let small = Options { production: true, small: true, ..Options::usual() };
    let mut chance = Chance::new(5);
    let (mut clean, mut masked) = (0, 0);
    for options in [Options::usual(), small, with_keys()] {
        let (mut look, mut judge) = (Look::new(Judge::new(options.clone())), Judge::new(options));
        for signal in Signal::ALL {
            for round in 0..40 {
                let mut text = Vec::new();
                match round % 4 {
                    0 => chance.text(&mut text),
                    1 => text.extend_from_slice(format!("user-{:06}", chance.below(3)).as_bytes()),
                    2 => text
                        .extend_from_slice(&b"/api/v1/cargo/17 was weighed by a crane of the port, twice"[..round + 8]),
                    _ => text.extend_from_slice("/".repeat(chance.below(200)).as_bytes()),
                }
                let mut planted = Vec::new();
                plant(root(signal), &text, &mut planted);
                for mut request in planted.into_iter().map(|planted| planted.request) {
                    if chance.below(3) == 0 {
                        let place = chance.below(request.len());
                        request[place] = chance.below(256) as u8;
                    }
                    // Its nesting is bounded where the door let it pass.
                    if model::otlp::inspect(signal, &request).is_err() {
                        continue;
                    }
                    let expected = is_clean(&mut judge, root(signal), &request).unwrap_or(false);
                    for _ in 0..3 {
                        let found = look.is_clean(root(signal), &request);
                        assert_eq!(found, expected, "{}", request.escape_ascii());
                    }
                    *(if expected { &mut clean } else { &mut masked }) += 1;
                }
            }
        }
    }
    assert!(clean > 5_000 && masked > 1_500, "{clean} {masked}");
}
