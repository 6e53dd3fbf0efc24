//! What the rules say of one text or one key.

use std::borrow::Cow;
use std::ops::Range;

use crate::class::Class;
use crate::detect::{self, encoded};
use crate::exception::Relaxed;
use crate::interest::Interest;
use crate::known::{Known, places};
use crate::rules::{Action, Options, Rule, What};
use crate::token::TokenKey;

/// How deep texts are unwrapped: base64 in a percent-encoded query, say.
const UNWRAP: u32 = 2;

/// A range of a text that a rule masks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) range: Range<usize>,
    pub(crate) rule: usize,
}

/// What the rules say of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeyVerdict {
    /// Nothing under it is looked at.
    pub(crate) allowed: bool,
    /// The rule that masks whatever stands under it.
    pub(crate) whole: Option<u8>,
    /// Whether that one is for texts, bytes and lists only.
    pub(crate) texts_only: bool,
    /// The rules that look at what stands under it, a bit each.
    pub(crate) rules: u64,
    /// Whether the key's own text is masked by a rule.
    pub(crate) is_masked: bool,
    /// Whether no rule says anything of its own of the key.
    pub(crate) is_plain: bool,
}

/// Bits of the table of keys.
const KEY_BITS: u32 = 7;

/// The rules, ready to be asked.
#[derive(Debug)]
pub(crate) struct Judge {
    options: Options,
    /// Rules without keys: they look at every text, a bit each.
    everywhere: u64,
    /// What of production does not hold for now, and its rule where that one does not.
    relaxed: Relaxed,
    suspended: u64,
    /// Rules for classes that one look at a text tells of ([`Interest::may_hold_usual`]).
    usual: u64,
    /// Rules that look at what was decoded, too: those that tell values by their form alone.
    by_form: u64,
    /// Rules for classes whose values have a capital letter in base64.
    capital: u64,
    /// Rules that look for card numbers.
    cards: u64,
    /// Those of them that are for every text.
    usual_cards: u64,
    keys: Known<KeyVerdict>,
    /// Of the text that was asked about last.
    hits: Vec<Hit>,
    /// How often each rule masked something.
    counts: Vec<u64>,
}

impl Judge {
    /// Of rules that were checked.
    pub(crate) fn new(options: Options) -> Self {
        let looks = |rule: &Rule| rule.keys.is_none() && matches!(rule.what, What::Class(_) | What::Pattern(_));
        let everywhere = bits(&options.rules, looks);
        let by_form = bits(&options.rules, |rule| match rule.what {
            What::Class(class) => !matches!(class, Class::Sql | Class::Dump | Class::Phone | Class::Assignment),
            What::Pattern(_) => true,
            What::All | What::SecretKeys => false,
        });
        let capital = bits(&options.rules, |rule| matches!(rule.what, What::Class(class) if class.has_capital()));
        let is_usual = |class| Class::DEFAULT.contains(&class) || class == Class::Email;
        let usual = bits(&options.rules, |rule| matches!(rule.what, What::Class(class) if is_usual(class)));
        let cards = bits(&options.rules, |rule| matches!(rule.what, What::Class(Class::Pan)));
        let usual_cards = cards & everywhere;
        let counts = vec![0; options.rules.len()];
        let keys = Known::new(places(KEY_BITS, options.small));
        Self {
            options,
            everywhere,
            relaxed: Relaxed::default(),
            suspended: 0,
            usual,
            by_form,
            capital,
            cards,
            usual_cards,
            keys,
            hits: Vec::with_capacity(16),
            counts,
        }
    }

    /// What it was made of.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether log records below INFO are taken out.
    pub(crate) fn drops_debug(&self) -> bool {
        self.options.production && !self.relaxed.debug
    }

    /// Lets what production leaves out pass, or no more. Whether anything changed: then what was known of texts holds no more.
    pub(crate) fn relax(&mut self, relaxed: Relaxed) -> bool {
        if relaxed == self.relaxed {
            return false;
        }
        self.relaxed = relaxed;
        self.everywhere |= self.suspended;
        self.suspended = if relaxed.payloads { self.options.payload_rule() & self.everywhere } else { 0 };
        self.everywhere &= !self.suspended;
        self.keys.forget();
        true
    }

    /// How often each rule masked something, in the order of the rules.
    pub(crate) fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Counts what a rule masked.
    pub(crate) fn count(&mut self, rule: usize, times: u64) {
        if let Some(count) = self.counts.get_mut(rule) {
            *count += times;
        }
    }

    /// The rules for texts that stand under no key.
    pub(crate) fn everywhere(&self) -> u64 {
        self.everywhere
    }

    /// What a rule does.
    pub(crate) fn action(&self, rule: usize) -> &Action {
        self.options.rules.get(rule).map_or(&Action::Redact(None), |rule| &rule.action)
    }

    /// What the rules say of a key.
    #[inline(always)]
    pub(crate) fn key(&mut self, key: &[u8]) -> KeyVerdict {
        match self.keys.get(key) {
            Some(verdict) => *verdict,
            None => self.new_key(key),
        }
    }

    #[cold]
    fn new_key(&mut self, key: &[u8]) -> KeyVerdict {
        let rules = &self.options.rules;
        let fits = |rule: &Rule| rule.keys.as_ref().is_none_or(|keys| keys.fits(key));
        let whole = rules.iter().position(|rule| match rule.what {
            What::All => fits(rule),
            What::SecretKeys => fits(rule) && detect::is_secret_name(key),
            What::Class(_) | What::Pattern(_) => false,
        });
        let looks = |rule: &Rule| matches!(rule.what, What::Class(_) | What::Pattern(_)) && fits(rule);
        let mut verdict = KeyVerdict {
            allowed: self.options.allowed_keys.iter().any(|keys| keys.fits(key)),
            whole: whole.map(|rule| rule as u8),
            texts_only: whole
                .and_then(|rule| rules.get(rule))
                .is_some_and(|rule| matches!(rule.what, What::SecretKeys)),
            // The id of a span may be all digits.
            rules: bits(rules, looks)
                & !self.suspended
                & if detect::is_name_of_id(key) { !self.usual_cards } else { u64::MAX },
            is_masked: !self.look(key, self.everywhere).is_empty(),
            is_plain: false,
        };
        verdict.is_plain = verdict == KeyVerdict { rules: self.everywhere, ..KeyVerdict::default() };
        self.keys.set(key, verdict);
        verdict
    }

    /// Whether no rule of these masks any of a text.
    #[inline(always)]
    pub(crate) fn is_clean(&mut self, text: &[u8], rules: u64) -> bool {
        if text.is_empty() {
            return true;
        }
        let interest = Interest::of(text);
        rules & !self.usual == 0 && !interest.may_hold_usual(text) || self.look_into(text, interest, rules).is_empty()
    }

    /// What rules mask of a text: ranges in order, none of which touches another.
    pub(crate) fn look(&mut self, text: &[u8], rules: u64) -> &[Hit] {
        self.look_into(text, Interest::of(text), rules)
    }

    #[inline(never)]
    fn look_into(&mut self, text: &[u8], interest: Interest, rules: u64) -> &[Hit] {
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.collect(text, interest, rules, UNWRAP, &mut hits);
        if hits.len() > 1 {
            hits.sort_by_key(|hit| (hit.range.start, hit.rule));
            hits.dedup_by(|next, last| {
                let touches = next.range.start < last.range.end;
                if touches {
                    last.range.end = last.range.end.max(next.range.end);
                    last.rule = last.rule.min(next.rule);
                }
                touches
            });
        }
        // What a value became stays as it is.
        hits.retain(|hit| !text.get(hit.range.clone()).is_some_and(|value| self.is_replaced(hit.rule, value)));
        self.hits = hits;
        &self.hits
    }

    fn collect(&self, text: &[u8], interest: Interest, rules: u64, unwrap: u32, hits: &mut Vec<Hit>) {
        let runs = interest.runs(text);
        let mut left = rules;
        while left != 0 {
            let index = left.trailing_zeros() as usize;
            left &= left - 1;
            let mut found = |range| hits.push(Hit { range, rule: index });
            match self.options.rules.get(index).map(|rule| &rule.what) {
                Some(What::Class(class)) if interest.may_hold(*class, text, &runs) => {
                    detect::each(*class, text, &runs, &mut found);
                }
                Some(What::Pattern(expression)) => {
                    let text = as_text(text);
                    expression.find_iter(&text).filter(|found| !found.is_empty()).for_each(|one| found(one.range()));
                }
                _ => {}
            }
        }
        let Some(unwrap) = unwrap.checked_sub(1) else { return };
        if interest.has_percent() {
            encoded::from_percent(text).iter().for_each(|it| self.collect_decoded(it, rules, unwrap, hits));
        }
        if interest.has_nul() {
            encoded::from_utf16(text).for_each(|it| self.collect_decoded(&it, rules, unwrap, hits));
        }
        // Inside of other encodings only what is told by its form alone.
        let rules = rules & self.by_form;
        if !runs.is_empty() {
            let by_capital = rules & !self.capital == 0;
            encoded::each_run(text, &runs, &mut |range| {
                let run = text.get(range.clone()).unwrap_or_default();
                let may_be_base64 = !by_capital || interest.has_capital() && encoded::may_be_base64(run);
                let from_base64 = if may_be_base64 { encoded::decode_base64(run) } else { None };
                for decoded in [encoded::decode_hex(run), from_base64].into_iter().flatten() {
                    self.collect_whole(&decoded, range.clone(), rules, unwrap, hits);
                }
            });
        }
        if interest.has_pairs(text) {
            encoded::each_row(text, 13, &mut |range| {
                if let Some(decoded) = text.get(range.clone()).and_then(encoded::decode_row) {
                    self.collect_whole(&decoded, range, rules, unwrap, hits);
                }
            });
        }
    }

    /// What rules mask of a text that was decoded, at its places in the text.
    fn collect_decoded(&self, decoded: &encoded::Decoded, rules: u64, unwrap: u32, hits: &mut Vec<Hit>) {
        let mut inside = Vec::new();
        self.collect(&decoded.bytes, Interest::of(&decoded.bytes), rules, unwrap, &mut inside);
        for Hit { range, rule } in inside {
            if let Some(range) = decoded.place(&range) {
                hits.push(Hit { range, rule });
            }
        }
    }

    /// Masks a whole range, where any of what it says is masked.
    fn collect_whole(&self, decoded: &[u8], range: Range<usize>, rules: u64, unwrap: u32, hits: &mut Vec<Hit>) {
        let mut inside = Vec::new();
        self.collect(decoded, Interest::of(decoded), rules, unwrap, &mut inside);
        if let Some(rule) = inside.iter().map(|hit| hit.rule).min() {
            hits.push(Hit { range, rule });
        }
    }

    /// The rule that looks for card numbers, of these.
    pub(crate) fn card_rule(&self, rules: u64) -> Option<usize> {
        let index = (rules & self.cards).trailing_zeros() as usize;
        (index < self.options.rules.len()).then_some(index)
    }

    /// Appends what takes the place of a value.
    pub(crate) fn replace(&self, rule: usize, value: &[u8], out: &mut Vec<u8>) {
        let Some(Rule { name, what, action, .. }) = self.options.rules.get(rule) else { return };
        if self.is_replaced(rule, value) {
            out.extend_from_slice(value);
            return;
        }
        match action {
            Action::Redact(Some(word)) => out.extend_from_slice(word.as_bytes()),
            Action::Redact(None) => out.extend_from_slice(format!("[REDACTED:{name}]").as_bytes()),
            Action::Keep { first, last } => keep(value, *first, *last, out),
            Action::Token => match self.options.token_keys.first() {
                Some(key) => token(key, name, what, value, out),
                // It was checked that there is one; a value is never written for want of it.
                None => out.extend_from_slice(b"[REDACTED]"),
            },
            Action::DropField | Action::DropRecord => {}
        }
    }

    /// Whether a value is already what the rule makes of one.
    pub(crate) fn is_replaced(&self, rule: usize, value: &[u8]) -> bool {
        let Some(Rule { name, action, .. }) = self.options.rules.get(rule) else { return false };
        match action {
            Action::Redact(Some(word)) => value == word.as_bytes(),
            Action::Redact(None) => {
                value.strip_prefix(b"[REDACTED:").and_then(|rest| rest.strip_suffix(b"]")) == Some(name.as_bytes())
            }
            Action::Token => self.options.token_keys.iter().any(|key| key.made(value)),
            Action::Keep { .. } | Action::DropField | Action::DropRecord => false,
        }
    }
}

/// Bytes as a text whose places are theirs: what is not ASCII is a question mark where they are no UTF-8.
fn as_text(bytes: &[u8]) -> Cow<'_, str> {
    let shown = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '?' };
    std::str::from_utf8(bytes).map_or_else(|_| bytes.iter().map(shown).collect(), Cow::Borrowed)
}

/// A bit for each rule that fits.
fn bits(rules: &[Rule], fits: impl Fn(&Rule) -> bool) -> u64 {
    rules.iter().enumerate().filter(|(_, rule)| fits(rule)).fold(0, |bits, (index, _)| bits | 1 << index)
}

/// The first and last characters of a value.
fn keep(value: &[u8], first: usize, last: usize, out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(value);
    let count = text.chars().count();
    // Of a short value nothing stays: what stays would say all of it.
    let (first, last) = if first + last < count { (first, last) } else { (0, 0) };
    for (place, character) in text.chars().enumerate() {
        let shown = if place < first || place >= count - last { character } else { '*' };
        out.extend_from_slice(shown.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// A token of a value in the form that all of its spellings share.
fn token(key: &TokenKey, name: &str, what: &What, value: &[u8], out: &mut Vec<u8>) {
    match what {
        What::Class(class @ Class::Pan) => {
            let digits: Vec<u8> =
                value.iter().copied().take_while(|byte| !b"=^D".contains(byte)).filter(u8::is_ascii_digit).collect();
            key.write(class.name(), &digits, out);
        }
        What::Class(class @ (Class::Email | Class::Ipv6 | Class::Mac)) => {
            key.write(class.name(), &value.to_ascii_lowercase(), out);
        }
        What::Class(class @ (Class::Iban | Class::Phone)) => {
            let plain: Vec<u8> =
                value.iter().filter(|byte| byte.is_ascii_alphanumeric()).map(u8::to_ascii_uppercase).collect();
            key.write(class.name(), &plain, out);
        }
        What::Class(class) => key.write(class.name(), value, out),
        What::All | What::SecretKeys | What::Pattern(_) => key.write(name, value, out),
    }
}
