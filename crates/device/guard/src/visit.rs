//! The one visitor over every text and all bytes of a request, by the tables of OTLP: once to see whether anything is masked (`look`), and
//! a second time to write what is.

use model::Refusal;
use model::RefusalCounts;
use model::otlp::schema::{self, Kind, Message, Rule, any_value, key_value};
use model::proto::{ProtoError, Reader, Value, put_bytes, put_message};

use crate::exception::Relaxed;
use crate::judge::{Judge, KeyVerdict};
use crate::look::{Look, card_in_double, card_in_integer};
#[cfg(feature = "mutants")]
use crate::mutants::Mutant;
use crate::rules::Action;
use crate::unit::{INFO, field_of, is_number_id, is_record, is_unit, put_scalar, records};

/// Walks requests.
#[derive(Debug)]
pub(crate) struct Visitor {
    look: Look,
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
        Self {
            look: Look::new(judge),
            dropped: RefusalCounts::default(),
            #[cfg(feature = "mutants")]
            mutant: Mutant::from_environment(),
        }
    }

    /// Lets what production leaves out pass, or no more.
    pub(crate) fn relax(&mut self, relaxed: Relaxed) {
        self.look.relax(relaxed);
    }

    pub(crate) fn judge(&self) -> &Judge {
        self.look.judge()
    }

    pub(crate) fn judge_mut(&mut self) -> &mut Judge {
        self.look.judge_mut()
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
        if self.look.is_clean(root, request) {
            return Ok(None);
        }
        self.dropped = RefusalCounts::default();
        let mut out = Vec::with_capacity(request.len());
        self.write(root, request, &mut out)?;
        Ok(Some((out, self.dropped)))
    }
}

/// The writing.
impl Visitor {
    fn is_below_info(&self, schema: &'static Message, value: Value<'_>) -> bool {
        self.judge().drops_debug()
            && matches!(value, Value::Varint(1..INFO))
            && std::ptr::eq(schema, &schema::LOG_RECORD)
    }

    /// Appends a message without what is masked.
    fn write(&mut self, schema: &'static Message, bytes: &[u8], out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        let mut reader = Reader::new(bytes);
        let everywhere = self.judge().everywhere();
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
                    let clean = !is_number_id(inside) || self.judge_mut().is_clean(inside, everywhere);
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
        if is_record(schema) && self.look.is_clean(schema, bytes) {
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
        if self.judge_mut().is_clean(text, rules) {
            put_bytes(out, number, text);
            return Fate::Stays;
        }
        let hits = self.judge_mut().look(text, rules).to_vec();
        let mut fate = Fate::Stays;
        let mut masked = Vec::with_capacity(text.len());
        let mut place = 0;
        for hit in &hits {
            self.judge_mut().count(hit.rule, 1);
            match self.judge().action(hit.rule) {
                Action::DropRecord => return Fate::RecordGoes(Refusal::Masked),
                Action::DropField => fate = Fate::FieldGoes,
                _ => {}
            }
            masked.extend_from_slice(text.get(place..hit.range.start).unwrap_or_default());
            self.judge().replace(hit.rule, text.get(hit.range.clone()).unwrap_or_default(), &mut masked);
            place = hit.range.end;
        }
        masked.extend_from_slice(text.get(place..).unwrap_or_default());
        put_bytes(out, number, &masked);
        fate
    }

    /// Appends a `KeyValue` as a field.
    fn write_pair(&mut self, number: u32, pair: &[u8], out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        if self.look.is_clean_pair(pair) {
            put_bytes(out, number, pair);
            return Ok(Fate::Stays);
        }
        let mut verdict = self.judge_mut().key(b"");
        let mut reader = Reader::new(pair);
        while let Some((number, value)) = reader.next_field()? {
            if let (key_value::KEY, Value::Bytes(key)) = (number, value) {
                verdict = self.judge_mut().key(key);
            }
        }
        let mut fate = Ok(Fate::Stays);
        put_message(out, number, |out| fate = self.write_pair_fields(pair, verdict, out));
        fate
    }

    fn write_pair_fields(&mut self, pair: &[u8], verdict: KeyVerdict, out: &mut Vec<u8>) -> Result<Fate, ProtoError> {
        let mut reader = Reader::new(pair);
        let everywhere = self.judge().everywhere();
        while let Some((number, value)) = reader.next_field()? {
            let fate = match (number, value) {
                (key_value::KEY, Value::Bytes(key)) => self.write_text(number, key, everywhere, out),
                (key_value::VALUE, Value::Bytes(value)) if verdict.allowed => {
                    put_bytes(out, number, value);
                    Fate::Stays
                }
                (key_value::VALUE, Value::Bytes(value)) => {
                    let whole = if self.look.may_stay(value, verdict) { None } else { verdict.whole };
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
        self.judge_mut().count(rule, 1);
        match self.judge().action(rule) {
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
        self.judge().replace(rule, &last, &mut masked);
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
                    self.write_number(number, value, card_in_integer(self.judge(), bits, rules), out)
                }
                (any_value::DOUBLE, Value::Fixed64(bits)) => {
                    self.write_number(number, value, card_in_double(self.judge(), bits, rules), out)
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
        self.judge_mut().count(rule, 1);
        match self.judge().action(rule) {
            Action::DropRecord => Fate::RecordGoes(Refusal::Masked),
            Action::DropField => Fate::FieldGoes,
            _ => {
                let mut masked = Vec::new();
                self.judge().replace(rule, digits.as_bytes(), &mut masked);
                put_bytes(out, any_value::STRING, &masked);
                Fate::Stays
            }
        }
    }
}
