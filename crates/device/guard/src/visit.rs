//! The one visitor over every text and all bytes of a request, by the tables of OTLP: once to see whether anything is masked, which
//! nearly always ends there, and a second time to write what is.

use model::Refusal;
use model::RefusalCounts;
use model::otlp::schema::{self, Kind, Message, Rule, any_value, key_value};
use model::otlp::{ScalarValue, scalar_pair};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_message};

use crate::detect::is_card_number;
use crate::judge::{Judge, KeyVerdict};
use crate::known::{Known, places};
#[cfg(feature = "mutants")]
use crate::mutants::Mutant;
use crate::rules::Action;
use crate::unit::{Look, field_of, is_number_id, is_record, is_unit, put_scalar, records};

/// Bits of the tables of attributes and of other texts.
const PAIR_BITS: u32 = 9;
const TEXT_BITS: u32 = 7;
/// One in so many is remembered.
const REMEMBER: u32 = 8;
/// `severity_number` of INFO: below it are DEBUG and TRACE (logs.proto, `SeverityNumber`).
const INFO: u64 = 9;
/// A card number has so many digits at least.
const LEAST_CARD: u64 = 1_000_000_000_000;
/// The largest integer that is held against it: what has 17 digits and more is an id, a count or a time, which passes the check of a
/// longer card number by chance.
const MOST_CARD: u64 = 9_999_999_999_999_999;

/// Walks requests.
#[derive(Debug)]
pub(crate) struct Visitor {
    judge: Judge,
    /// Attributes of which no rule masks anything.
    clean: Known<()>,
    /// Texts that stand under no key of which none does.
    clean_texts: Known<()>,
    /// How many were found clean.
    looked: u32,
    /// Records that were taken out of the request that is written.
    dropped: RefusalCounts,
    #[cfg(feature = "mutants")]
    mutant: Mutant,
}

/// What became of a part that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It stands there.
    Stays,
    /// The field that it stands in goes.
    FieldGoes,
    /// The record that it stands in goes, for this reason.
    RecordGoes(Refusal),
}

impl Visitor {
    pub(crate) fn new(judge: Judge) -> Self {
        let small = judge.options().small;
        Self {
            judge,
            clean: Known::new(places(PAIR_BITS, small)),
            clean_texts: Known::new(places(TEXT_BITS, small)),
            looked: 0,
            dropped: RefusalCounts::default(),
            #[cfg(feature = "mutants")]
            mutant: Mutant::from_environment(),
        }
    }

    pub(crate) fn judge(&self) -> &Judge {
        &self.judge
    }

    pub(crate) fn judge_mut(&mut self) -> &mut Judge {
        &mut self.judge
    }

    /// A request without what rules mask, and the records that went; `None` where nothing changes.
    ///
    /// # Errors
    /// [`ProtoError`] where it is not protobuf.
    pub(crate) fn admit(
        &mut self,
        root: &'static Message,
        request: &[u8],
    ) -> Result<Option<(Vec<u8>, RefusalCounts)>, ProtoError> {
        if self.is_clean(root, request) {
            return Ok(None);
        }
        self.dropped = RefusalCounts::default();
        let mut out = Vec::with_capacity(request.len());
        self.write(root, request, &mut out)?;
        Ok(Some((out, self.dropped)))
    }
}

/// The look.
impl Visitor {
    /// Whether nothing of a message is masked, and all of it can be read.
    fn is_clean(&mut self, schema: &'static Message, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        let production = self.judge.options().production;
        loop {
            // Fields as nearly all are, told by their first two bytes; numbers are only passed over.
            if let [key, second, after @ ..] = rest
                && *key >= 8
            {
                match (key & 0x87, *second) {
                    (2, length @ ..0x80) if let Some((inside, behind)) = after.split_at_checked(length.into()) => {
                        rest = behind;
                        if !self.is_clean_part(schema, u32::from(key >> 3), inside) {
                            return false;
                        }
                        continue;
                    }
                    (1, _) if let Some(behind) = after.get(7..) => {
                        rest = behind;
                        continue;
                    }
                    (0, ..0x80) if !production => {
                        rest = after;
                        continue;
                    }
                    _ => {}
                }
            }
            if rest.is_empty() {
                return true;
            }
            let mut reader = Reader::new(rest);
            let Ok(Some((number, value))) = reader.next_field() else { return false };
            rest = rest.get(reader.offset()..).unwrap_or_default();
            let inside = match value {
                _ if reader.passed_group() => return false,
                Value::Bytes(inside) => inside,
                _ if number == 2 && self.is_below_info(schema, value) => return false,
                _ => continue,
            };
            if !self.is_clean_part(schema, number, inside) {
                return false;
            }
        }
    }

    /// Whether nothing is masked of a field that holds bytes.
    #[inline]
    fn is_clean_part(&mut self, schema: &'static Message, number: u32, inside: &[u8]) -> bool {
        let Some(field) = field_of(schema, number) else { return false };
        #[cfg(feature = "mutants")]
        if self.mutant.skips(schema, field) {
            return true;
        }
        match field.kind {
            Kind::Attributes => self.is_clean_pair(inside),
            Kind::String => self.is_clean_field(inside),
            Kind::Message(child) => self.is_clean(child, inside),
            Kind::AnyValue => self.is_clean_value(inside, self.judge.everywhere()),
            Kind::Id16 | Kind::Id8 => !is_number_id(inside) || self.judge.is_clean(inside, self.judge.everywhere()),
            // Packed numbers.
            _ => field.rule == Rule::Repeated,
        }
    }

    fn is_below_info(&self, schema: &'static Message, value: Value<'_>) -> bool {
        let production = self.judge.options().production;
        production && matches!(value, Value::Varint(1..INFO)) && std::ptr::eq(schema, &schema::LOG_RECORD)
    }

    /// Whether nothing is masked of a text that stands in a field of its own.
    #[inline]
    fn is_clean_field(&mut self, text: &[u8]) -> bool {
        if text.is_empty() || self.clean_texts.get(text).is_some() {
            return true;
        }
        let clean = self.judge.is_clean(text, self.judge.everywhere());
        if clean && self.is_remembered() {
            self.clean_texts.set(text, ());
        }
        clean
    }

    /// Whether what was found clean is remembered: one in so many, so that what never comes again does not displace what does.
    fn is_remembered(&mut self) -> bool {
        self.looked = self.looked.wrapping_add(1);
        self.looked.is_multiple_of(REMEMBER)
    }

    #[inline]
    fn is_clean_pair(&mut self, pair: &[u8]) -> bool {
        if self.clean.get(pair).is_some() {
            return true;
        }
        let clean = self.is_clean_new_pair(pair);
        if clean && self.is_remembered() {
            self.clean.set(pair, ());
        }
        clean
    }

    fn is_clean_new_pair(&mut self, pair: &[u8]) -> bool {
        if let Some((key, value)) = scalar_pair(pair) {
            if let (ScalarValue::Text(text), true) = (value, self.judge.is_plain_key(key)) {
                return self.judge.is_clean(text, self.judge.everywhere());
            }
            let verdict = self.judge.key(key);
            return !verdict.is_masked && (verdict.allowed || self.is_clean_scalar(value, verdict));
        }
        // Where a key stands twice, each is looked at, and a value under all that the last one says.
        let mut verdict = self.judge.key(b"");
        let mut reader = Look::new(pair);
        while let Some((number, value)) = reader.next() {
            match (number, value) {
                (key_value::KEY, Value::Bytes(key)) => verdict = self.judge.key(key),
                (key_value::VALUE, Value::Bytes(_)) | (_, Value::Varint(_)) => {}
                _ => return false,
            }
            if verdict.is_masked {
                return false;
            }
        }
        let mut reader = Look::new(pair);
        while let Some((number, value)) = reader.next() {
            if let (key_value::VALUE, Value::Bytes(value)) = (number, value)
                && !verdict.allowed
                && !(self.may_stay(value, verdict) && self.is_clean_value(value, verdict.rules))
            {
                return false;
            }
        }
        reader.is_whole()
    }

    fn is_clean_scalar(&mut self, value: ScalarValue<'_>, verdict: KeyVerdict) -> bool {
        match (value, verdict.whole) {
            (ScalarValue::Text(text), Some(rule)) => text.is_empty() || self.judge.is_replaced(rule.into(), text),
            (_, Some(_)) if !verdict.texts_only => false,
            (ScalarValue::Text(text), None) => self.judge.is_clean(text, verdict.rules),
            (ScalarValue::Int(value), _) => self.card_in_integer(value, verdict.rules).is_none(),
            (ScalarValue::Double(bits), _) => self.card_in_double(bits, verdict.rules).is_none(),
            (ScalarValue::Bool(_), _) => true,
        }
    }

    /// Whether the rule for all under a key lets a value stay.
    fn may_stay(&self, value: &[u8], verdict: KeyVerdict) -> bool {
        let Some(rule) = verdict.whole else { return true };
        let mut reader = Look::new(value);
        while let Some((number, value)) = reader.next() {
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
        reader.is_whole()
    }

    /// Whether nothing of an `AnyValue` is masked by these rules. Its nesting is bounded by the door.
    fn is_clean_value(&mut self, value: &[u8], rules: u64) -> bool {
        let mut reader = Look::new(value);
        while let Some((number, value)) = reader.next() {
            let clean = match (number, value) {
                (any_value::STRING | any_value::BYTES, Value::Bytes(text)) => self.judge.is_clean(text, rules),
                (any_value::ARRAY | any_value::KVLIST, Value::Bytes(list)) => {
                    let mut entries = Look::new(list);
                    let mut clean = true;
                    while let (true, Some((number_inside, value))) = (clean, entries.next()) {
                        clean = match (number_inside, value) {
                            (1, Value::Bytes(entry)) if number == any_value::ARRAY => self.is_clean_value(entry, rules),
                            (1, Value::Bytes(entry)) => self.is_clean_pair(entry),
                            (_, Value::Bytes(_)) => false,
                            _ => true,
                        };
                    }
                    clean && entries.is_whole()
                }
                (any_value::INT, Value::Varint(value)) => self.card_in_integer(value, rules).is_none(),
                (any_value::DOUBLE, Value::Fixed64(bits)) => self.card_in_double(bits, rules).is_none(),
                (_, Value::Bytes(_)) => false,
                _ => true,
            };
            if !clean {
                return false;
            }
        }
        reader.is_whole()
    }

    /// The rule that masks an integer, which is the number of a card.
    fn card_in_integer(&self, value: u64, rules: u64) -> Option<(usize, String)> {
        if !(LEAST_CARD..=MOST_CARD).contains(&value) {
            return None;
        }
        let rule = self.judge.card_rule(rules)?;
        let digits = value.to_string();
        is_card_number(digits.as_bytes()).then_some((rule, digits))
    }

    fn card_in_double(&self, bits: u64, rules: u64) -> Option<(usize, String)> {
        let value = f64::from_bits(bits);
        // Above it not every integer can be told.
        let exact = value >= LEAST_CARD as f64 && value <= 9_007_199_254_740_992.0 && value.fract() == 0.0;
        if exact { self.card_in_integer(value as u64, rules) } else { None }
    }
}

/// The writing.
impl Visitor {
    /// Appends a message without what is masked.
    fn write(&mut self, schema: &'static Message, bytes: &[u8], out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        let mut reader = Reader::new(bytes);
        let everywhere = self.judge.everywhere();
        while let Some((number, value)) = reader.next_field()? {
            let Value::Bytes(inside) = value else {
                if number == 2 && self.is_below_info(schema, value) {
                    return Ok(Fate::RecordGoes(Refusal::BelowInfo));
                }
                put_scalar(out, number, value);
                continue;
            };
            // Bytes that the tables do not know go: nobody can say what is in them.
            let Some(field) = field_of(schema, number) else { continue };
            #[cfg(feature = "mutants")]
            if self.mutant.skips(schema, field) {
                put_bytes(out, number, inside);
                continue;
            }
            let start = out.len();
            let fate = match field.kind {
                Kind::Attributes => self.write_pair(number, inside, out)?,
                Kind::String => self.write_text(number, inside, everywhere, out),
                Kind::Message(child) if is_unit(child) => {
                    self.write_unit(child, number, inside, out)?;
                    Fate::Stays
                }
                Kind::Message(child) => {
                    let mut fate = Ok(Fate::Stays);
                    put_message(out, number, |out| fate = self.write(child, inside, out));
                    fate?
                }
                Kind::AnyValue => self.write_value(number, inside, everywhere, None, out)?,
                Kind::Id16 | Kind::Id8 => {
                    put_bytes(out, number, inside);
                    // An id has its form: there is nothing else to write in its place.
                    let clean = !is_number_id(inside) || self.judge.is_clean(inside, everywhere);
                    if clean { Fate::Stays } else { Fate::RecordGoes(Refusal::Masked) }
                }
                _ => {
                    if field.rule == Rule::Repeated {
                        put_bytes(out, number, inside);
                    }
                    Fate::Stays
                }
            };
            match fate {
                Fate::Stays => {}
                Fate::FieldGoes => out.truncate(start),
                Fate::RecordGoes(_) => return Ok(fate),
            }
        }
        Ok(Fate::Stays)
    }

    /// Appends a record, or what stands around records, as a field; a copy of it where nothing is masked, and nothing where it goes.
    fn write_unit(
        &mut self,
        schema: &'static Message,
        number: u32,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ProtoError> {
        if is_record(schema) && self.is_clean(schema, bytes) {
            put_bytes(out, number, bytes);
            return Ok(());
        }
        let (start, before) = (out.len(), self.dropped);
        let mut fate = Ok(Fate::Stays);
        put_message(out, number, |out| fate = self.write(schema, bytes, out));
        if let Fate::RecordGoes(reason) = fate? {
            out.truncate(start);
            // All of them go with what stands around them, those that went before included.
            self.dropped = before;
            self.dropped.add(reason, records(schema, bytes)?);
        }
        Ok(())
    }

    /// Appends a text as a field.
    fn write_text(&mut self, number: u32, text: &[u8], rules: u64, out: &mut Vec<u8>) -> Fate {
        if self.judge.is_clean(text, rules) {
            put_bytes(out, number, text);
            return Fate::Stays;
        }
        let hits = self.judge.look(text, rules).to_vec();
        let mut fate = Fate::Stays;
        let mut masked = Vec::with_capacity(text.len());
        let mut place = 0;
        for hit in &hits {
            self.judge.count(hit.rule, 1);
            match self.judge.action(hit.rule) {
                Action::DropRecord => return Fate::RecordGoes(Refusal::Masked),
                Action::DropField => fate = Fate::FieldGoes,
                _ => {}
            }
            masked.extend_from_slice(text.get(place..hit.range.start).unwrap_or_default());
            self.judge.replace(hit.rule, text.get(hit.range.clone()).unwrap_or_default(), &mut masked);
            place = hit.range.end;
        }
        masked.extend_from_slice(text.get(place..).unwrap_or_default());
        put_bytes(out, number, &masked);
        fate
    }

    /// Appends a `KeyValue` as a field.
    fn write_pair(&mut self, number: u32, pair: &[u8], out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        if self.is_clean_pair(pair) {
            put_bytes(out, number, pair);
            return Ok(Fate::Stays);
        }
        let mut verdict = self.judge.key(b"");
        let mut reader = Reader::new(pair);
        while let Some((number, value)) = reader.next_field()? {
            if let (key_value::KEY, Value::Bytes(key)) = (number, value) {
                verdict = self.judge.key(key);
            }
        }
        let mut fate = Ok(Fate::Stays);
        put_message(out, number, |out| fate = self.write_pair_fields(pair, verdict, out));
        fate
    }

    fn write_pair_fields(&mut self, pair: &[u8], verdict: KeyVerdict, out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        let mut reader = Reader::new(pair);
        let everywhere = self.judge.everywhere();
        while let Some((number, value)) = reader.next_field()? {
            let fate = match (number, value) {
                (key_value::KEY, Value::Bytes(key)) => self.write_text(number, key, everywhere, out),
                (key_value::VALUE, Value::Bytes(value)) if verdict.allowed => {
                    put_bytes(out, number, value);
                    Fate::Stays
                }
                (key_value::VALUE, Value::Bytes(value)) => {
                    let whole = if self.may_stay(value, verdict) { None } else { verdict.whole };
                    self.write_value(number, value, verdict.rules, whole, out)?
                }
                (_, Value::Bytes(_)) => Fate::Stays,
                (_, value) => {
                    put_scalar(out, number, value);
                    Fate::Stays
                }
            };
            if fate != Fate::Stays {
                return Ok(fate);
            }
        }
        Ok(Fate::Stays)
    }

    /// Appends an `AnyValue` as a field; `whole` is the rule that masks all of it.
    fn write_value(
        &mut self,
        number: u32,
        value: &[u8],
        rules: u64,
        whole: Option<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Fate, ProtoError> {
        let mut fate = Ok(Fate::Stays);
        put_message(out, number, |out| {
            fate = match whole {
                Some(rule) => self.write_whole(value, rule.into(), out),
                None => self.write_value_fields(value, rules, out),
            };
        });
        fate
    }

    /// Appends what takes the place of a whole value, whatever it is.
    fn write_whole(&mut self, value: &[u8], rule: usize, out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        self.judge.count(rule, 1);
        match self.judge.action(rule) {
            Action::DropRecord => return Ok(Fate::RecordGoes(Refusal::Masked)),
            Action::DropField => return Ok(Fate::FieldGoes),
            _ => {}
        }
        let mut last = Vec::new();
        let mut reader = Reader::new(value);
        while let Some((number, value)) = reader.next_field()? {
            last = match (number, value) {
                (any_value::STRING, Value::Bytes(text)) => text.to_vec(),
                (any_value::INT, Value::Varint(value)) => (value as i64).to_string().into_bytes(),
                (any_value::DOUBLE, Value::Fixed64(bits)) => f64::from_bits(bits).to_string().into_bytes(),
                (any_value::BOOL, Value::Varint(value)) => (value != 0).to_string().into_bytes(),
                // Of bytes and lists nothing is shown: neither their first nor their last characters say what they are.
                _ => Vec::new(),
            };
        }
        let mut masked = Vec::new();
        self.judge.replace(rule, &last, &mut masked);
        put_bytes(out, any_value::STRING, &masked);
        Ok(Fate::Stays)
    }

    fn write_value_fields(&mut self, value: &[u8], rules: u64, out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        let mut reader = Reader::new(value);
        while let Some((number, value)) = reader.next_field()? {
            let fate = match (number, value) {
                (any_value::STRING | any_value::BYTES, Value::Bytes(text)) => self.write_text(number, text, rules, out),
                (any_value::ARRAY | any_value::KVLIST, Value::Bytes(list)) => {
                    let mut fate = Ok(Fate::Stays);
                    put_message(out, number, |out| fate = self.write_list(number, list, rules, out));
                    fate?
                }
                (any_value::INT, Value::Varint(bits)) => {
                    self.write_number(number, value, self.card_in_integer(bits, rules), out)
                }
                (any_value::DOUBLE, Value::Fixed64(bits)) => {
                    self.write_number(number, value, self.card_in_double(bits, rules), out)
                }
                (_, Value::Bytes(_)) => Fate::Stays,
                (_, value) => {
                    put_scalar(out, number, value);
                    Fate::Stays
                }
            };
            if fate != Fate::Stays {
                return Ok(fate);
            }
        }
        Ok(Fate::Stays)
    }

    fn write_list(&mut self, kind: u32, list: &[u8], rules: u64, out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        let mut entries = Reader::new(list);
        while let Some((number, value)) = entries.next_field()? {
            let start = out.len();
            let fate = match value {
                Value::Bytes(entry) if number == 1 && kind == any_value::ARRAY => {
                    self.write_value(number, entry, rules, None, out)?
                }
                Value::Bytes(entry) if number == 1 => self.write_pair(number, entry, out)?,
                _ => Fate::Stays,
            };
            match fate {
                Fate::Stays => {}
                Fate::FieldGoes => out.truncate(start),
                Fate::RecordGoes(_) => return Ok(fate),
            }
        }
        Ok(Fate::Stays)
    }

    fn write_number(
        &mut self,
        number: u32,
        value: Value<'_>,
        card: Option<(usize, String)>,
        out: &mut Vec<u8>,
    ) -> Fate {
        let Some((rule, digits)) = card else {
            put_scalar(out, number, value);
            return Fate::Stays;
        };
        self.judge.count(rule, 1);
        match self.judge.action(rule) {
            Action::DropRecord => Fate::RecordGoes(Refusal::Masked),
            Action::DropField => Fate::FieldGoes,
            _ => {
                let mut masked = Vec::new();
                self.judge.replace(rule, digits.as_bytes(), &mut masked);
                put_bytes(out, any_value::STRING, &masked);
                Fate::Stays
            }
        }
    }
}
