//! The look at a request: whether anything in it is masked. Nearly always it ends here.

use model::otlp::schema::{Message, any_value, key_value};
use model::otlp::{ScalarValue, scalar_pair};
use model::proto::{Reader, Value};

use crate::detect::is_card_number;
use crate::exception::Relaxed;
use crate::judge::{Judge, KeyVerdict};
use crate::known::{Known, places};
use crate::parts::{Part, Parts, Table};
use crate::unit::{Fields, INFO, is_number_id};

/// Bits of the tables of attributes and of other texts.
const PAIR_BITS: u32 = 9;
const TEXT_BITS: u32 = 7;
/// A card number has so many digits at least.
const LEAST_CARD: u64 = 1_000_000_000_000;
/// The largest integer that is held against it: what has 17 digits and more is an id, a count or a time, which passes the check of a
/// longer card number by chance.
const MOST_CARD: u64 = 9_999_999_999_999_999;

/// Looks at requests, with what it remembers of those before.
#[derive(Debug)]
pub(crate) struct Look {
    parts: Parts,
    clean: Clean,
}

/// What is clean.
#[derive(Debug)]
struct Clean {
    judge: Judge,
    /// Attributes of which no rule masks anything.
    pairs: Known<()>,
    /// Texts that stand under no key of which none does.
    texts: Known<()>,
}

impl Look {
    /// By these rules.
    pub(crate) fn new(judge: Judge) -> Self {
        let options = judge.options();
        let (small, parts) = (options.small, Parts::new(options.production));
        let clean =
            Clean { judge, pairs: Known::new(places(PAIR_BITS, small)), texts: Known::new(places(TEXT_BITS, small)) };
        Self { parts, clean }
    }

    /// The rules.
    pub(crate) fn judge(&self) -> &Judge {
        &self.clean.judge
    }

    /// The rules.
    pub(crate) fn judge_mut(&mut self) -> &mut Judge {
        &mut self.clean.judge
    }

    /// Lets what production leaves out pass, or no more.
    pub(crate) fn relax(&mut self, relaxed: Relaxed) {
        if self.clean.judge.relax(relaxed) {
            self.parts = Parts::new(self.clean.judge.drops_debug());
            self.clean.pairs.forget();
            self.clean.texts.forget();
        }
    }

    /// Whether nothing of a message is masked, and all of it can be read.
    pub(crate) fn is_clean(&mut self, schema: &'static Message, bytes: &[u8]) -> bool {
        self.parts.of(schema).is_some_and(|table| self.clean.message(&self.parts, table, bytes))
    }

    /// Whether nothing of a `KeyValue` is masked.
    pub(crate) fn is_clean_pair(&mut self, pair: &[u8]) -> bool {
        self.clean.pair(pair)
    }

    /// Whether the rule for all under a key lets a value stay.
    pub(crate) fn may_stay(&self, value: &[u8], verdict: KeyVerdict) -> bool {
        self.clean.may_stay(value, verdict)
    }
}

impl Clean {
    /// Whether nothing of a message is masked, and all of it can be read.
    fn message(&mut self, parts: &Parts, table: &Table, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let [key, second, after @ ..] = rest {
            // Fields as nearly all are, told by their first bytes; numbers are only passed over.
            let behind = match table.part(*key) {
                Part::Varint if *second < 0x80 => Some(after),
                Part::Fixed64 => after.get(7..),
                Part::Pair => match self.pairs_of(*key, rest) {
                    Some(behind) if behind.len() == rest.len() => None,
                    Some(behind) => Some(behind),
                    None => return false,
                },
                Part::Id if let Some((inside, behind)) = short(*second, after) => {
                    if !self.id(inside) {
                        return false;
                    }
                    Some(behind)
                }
                Part::Text if let Some((inside, behind)) = short(*second, after) => {
                    if !self.text(inside) {
                        return false;
                    }
                    Some(behind)
                }
                Part::Value if let Some((inside, behind)) = short(*second, after) => {
                    if !self.body(inside) {
                        return false;
                    }
                    Some(behind)
                }
                Part::Message if let Some((inside, behind)) = long(*second, after) => {
                    if !self.child(parts, table, *key >> 3, inside) {
                        return false;
                    }
                    Some(behind)
                }
                _ => None,
            };
            if let Some(behind) = behind {
                rest = behind;
                continue;
            }
            // The flags of spans and links: four bytes behind a key of two.
            if let (0x85, 1..0x80, Some(behind)) = (*key, *second, after.get(4..)) {
                rest = behind;
                continue;
            }
            let Some(behind) = self.any_field(parts, table, rest) else { return false };
            rest = behind;
        }
        rest.is_empty()
    }

    /// What stands behind the short `KeyValue`s that fields with the same first byte hold, where nothing of them is masked.
    #[inline(never)]
    fn pairs_of<'b>(&mut self, key: u8, mut rest: &'b [u8]) -> Option<&'b [u8]> {
        while let [first, second, after @ ..] = rest
            && *first == key
            && let Some((inside, behind)) = short(*second, after)
        {
            if !self.pair(inside) {
                return None;
            }
            rest = behind;
        }
        Some(rest)
    }

    /// What stands behind the first field, where nothing of it is masked and it can be read.
    #[cold]
    fn any_field<'b>(&mut self, parts: &Parts, table: &Table, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let mut reader = Reader::new(bytes);
        let (number, value) = reader.next_field().ok()??;
        let clean = !reader.passed_group()
            && match value {
                Value::Bytes(inside) => self.part(parts, table, number, inside),
                Value::Varint(value) => table.part_of_varint(number) != Part::Severity || !(1..INFO).contains(&value),
                Value::Fixed64(_) | Value::Fixed32(_) => true,
            };
        if clean { bytes.get(reader.offset()..) } else { None }
    }

    /// Whether nothing is masked of a field that holds bytes.
    fn part(&mut self, parts: &Parts, table: &Table, number: u32, inside: &[u8]) -> bool {
        match table.part_of_bytes(number) {
            Part::Pair => self.pair(inside),
            Part::Id => self.id(inside),
            Part::Text => self.text(inside),
            Part::Value => self.body(inside),
            Part::Message => self.child(parts, table, number as u8, inside),
            Part::Packed => true,
            Part::Other | Part::Varint | Part::Fixed64 | Part::Severity => false,
        }
    }

    /// Whether no rule of these masks any of a text.
    #[inline(never)]
    fn is_clean_text(&mut self, text: &[u8], rules: u64) -> bool {
        self.judge.is_clean(text, rules)
    }

    #[inline(always)]
    fn id(&mut self, id: &[u8]) -> bool {
        !is_number_id(id) || self.is_clean_text(id, self.judge.everywhere())
    }

    /// Whether nothing is masked of the message in a field.
    #[inline]
    fn child(&mut self, parts: &Parts, table: &Table, number: u8, inside: &[u8]) -> bool {
        parts.child(table, number).is_some_and(|table| self.message(parts, table, inside))
    }

    /// Whether nothing is masked of a text that stands in a field of its own.
    #[inline(always)]
    fn text(&mut self, text: &[u8]) -> bool {
        text.is_empty() || self.texts.get(text).is_some() || self.new_text(text)
    }

    #[inline(never)]
    fn new_text(&mut self, text: &[u8]) -> bool {
        let clean = self.is_clean_text(text, self.judge.everywhere());
        if clean {
            self.texts.set_again(text, ());
        }
        clean
    }

    #[inline(always)]
    fn pair(&mut self, pair: &[u8]) -> bool {
        self.pairs.get(pair).is_some() || self.new_pair(pair)
    }

    #[inline(never)]
    fn new_pair(&mut self, pair: &[u8]) -> bool {
        let clean = match scalar_pair(pair) {
            Some((key, value)) => {
                let verdict = self.judge.key(key);
                match value {
                    ScalarValue::Text(text) if verdict.is_plain => self.judge.is_clean(text, self.judge.everywhere()),
                    _ => !verdict.is_masked && (verdict.allowed || self.scalar(value, verdict)),
                }
            }
            None => self.any_pair(pair),
        };
        if clean {
            self.pairs.set_again(pair, ());
        }
        clean
    }

    /// Whether nothing is masked of a pair that is more than a key with a scalar.
    fn any_pair(&mut self, pair: &[u8]) -> bool {
        // Where a key stands twice, each is looked at, and a value under all that the last one says.
        let mut verdict = self.judge.key(b"");
        let mut fields = Fields::new(pair);
        while let Some((number, value)) = fields.next() {
            match (number, value) {
                (key_value::KEY, Value::Bytes(key)) => verdict = self.judge.key(key),
                (key_value::VALUE, Value::Bytes(_)) | (_, Value::Varint(_)) => {}
                _ => return false,
            }
            if verdict.is_masked {
                return false;
            }
        }
        let mut fields = Fields::new(pair);
        while let Some((number, value)) = fields.next() {
            if let (key_value::VALUE, Value::Bytes(value)) = (number, value)
                && !verdict.allowed
                && !(self.may_stay(value, verdict) && self.value(value, verdict.rules))
            {
                return false;
            }
        }
        fields.is_whole()
    }

    fn scalar(&mut self, value: ScalarValue<'_>, verdict: KeyVerdict) -> bool {
        match (value, verdict.whole) {
            (ScalarValue::Text(text), Some(rule)) => text.is_empty() || self.judge.is_replaced(rule.into(), text),
            (_, Some(_)) if !verdict.texts_only => false,
            (ScalarValue::Text(text), None) => self.is_clean_text(text, verdict.rules),
            (ScalarValue::Int(value), _) => card_in_integer(&self.judge, value, verdict.rules).is_none(),
            (ScalarValue::Double(bits), _) => card_in_double(&self.judge, bits, verdict.rules).is_none(),
            (ScalarValue::Bool(_), _) => true,
        }
    }

    fn may_stay(&self, value: &[u8], verdict: KeyVerdict) -> bool {
        let Some(rule) = verdict.whole else { return true };
        let mut fields = Fields::new(value);
        while let Some((number, value)) = fields.next() {
            let stays = match (number, value) {
                (any_value::STRING, Value::Bytes(text)) => text.is_empty() || self.judge.is_replaced(rule.into(), text),
                (any_value::BOOL | any_value::INT | any_value::DOUBLE, _) => verdict.texts_only,
                (_, Value::Bytes(inside)) => inside.is_empty(),
                _ => true,
            };
            if !stays {
                return false;
            }
        }
        fields.is_whole()
    }

    /// Whether nothing is masked of an `AnyValue` that stands under no key. Most are a text.
    fn body(&mut self, value: &[u8]) -> bool {
        const TEXT: u8 = (any_value::STRING << 3) as u8 | 2;
        match value {
            [TEXT, length @ ..0x80, text @ ..] if text.len() == usize::from(*length) => {
                self.is_clean_text(text, self.judge.everywhere())
            }
            _ => self.value(value, self.judge.everywhere()),
        }
    }

    /// Whether nothing of an `AnyValue` is masked by these rules. Its nesting is bounded by the door.
    fn value(&mut self, value: &[u8], rules: u64) -> bool {
        let mut fields = Fields::new(value);
        while let Some((number, value)) = fields.next() {
            let clean = match (number, value) {
                (any_value::STRING | any_value::BYTES, Value::Bytes(text)) => self.is_clean_text(text, rules),
                (any_value::ARRAY | any_value::KVLIST, Value::Bytes(list)) => {
                    let mut entries = Fields::new(list);
                    let mut clean = true;
                    while let (true, Some((number_inside, value))) = (clean, entries.next()) {
                        clean = match (number_inside, value) {
                            (1, Value::Bytes(entry)) if number == any_value::ARRAY => self.value(entry, rules),
                            (1, Value::Bytes(entry)) => self.pair(entry),
                            (_, Value::Bytes(_)) => false,
                            _ => true,
                        };
                    }
                    clean && entries.is_whole()
                }
                (any_value::INT, Value::Varint(value)) => card_in_integer(&self.judge, value, rules).is_none(),
                (any_value::DOUBLE, Value::Fixed64(bits)) => card_in_double(&self.judge, bits, rules).is_none(),
                (_, Value::Bytes(_)) => false,
                _ => true,
            };
            if !clean {
                return false;
            }
        }
        fields.is_whole()
    }
}

/// Bytes that are shorter than 128, and what stands behind them: the second byte of their field, and what follows it.
#[inline(always)]
fn short(second: u8, after: &[u8]) -> Option<(&[u8], &[u8])> {
    if second < 0x80 { after.split_at_checked(usize::from(second)) } else { None }
}

/// The same of bytes that are shorter than 16 KiB, as records are.
#[inline(always)]
fn long(second: u8, after: &[u8]) -> Option<(&[u8], &[u8])> {
    match after {
        [high @ ..0x80, after @ ..] if second >= 0x80 => {
            after.split_at_checked(usize::from(second & 0x7f) | usize::from(*high) << 7)
        }
        _ => short(second, after),
    }
}

/// The rule that masks an integer, which is the number of a card.
#[inline]
pub(crate) fn card_in_integer(judge: &Judge, value: u64, rules: u64) -> Option<(usize, String)> {
    if (LEAST_CARD..=MOST_CARD).contains(&value) { card_in_digits(judge, value, rules) } else { None }
}

#[cold]
fn card_in_digits(judge: &Judge, value: u64, rules: u64) -> Option<(usize, String)> {
    let rule = judge.card_rule(rules)?;
    let digits = value.to_string();
    is_card_number(digits.as_bytes()).then_some((rule, digits))
}

/// The rule that masks a double, which is the number of a card.
pub(crate) fn card_in_double(judge: &Judge, bits: u64, rules: u64) -> Option<(usize, String)> {
    let value = f64::from_bits(bits);
    // Above it not every integer can be told.
    let exact = value >= LEAST_CARD as f64 && value <= 9_007_199_254_740_992.0 && value.fract() == 0.0;
    if exact { card_in_integer(judge, value as u64, rules) } else { None }
}
