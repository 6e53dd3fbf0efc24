//! What stands between intake and everything that is written: masking (P10), and what production leaves out. Sans-IO.
//!
//! - [`Guard`]: what every request passes before metrics are made of it and before it is written anywhere
//! - `visit`: the one visitor over every text and all bytes of a request; `look`, `parts`: its first look, which nearly always ends it
//! - `judge`: what the rules say of one text or one key
//! - `interest`, `known`: why clean texts cost little
//! - `detect`: values found by their form
//! - [`Exceptions`]: what production leaves out may pass for a time, where somebody signed it
//! - [`Options`], [`Rule`]: what is masked, and how; [`TokenKey`]: keyed tokens in place of values

mod class;
mod detect;
mod exception;
mod interest;
mod judge;
mod known;
mod look;
#[cfg(feature = "mutants")]
mod mutants;
mod parts;
mod pattern;
mod rules;
#[cfg(test)]
mod tests;
mod token;
mod unit;
mod visit;

use model::otlp::schema::{self, Message};
use model::{Refusal, RefusalCounts, Signal, Stamp};

pub use class::Class;
pub use exception::{Change, Exception, Exceptions, Fault, MAX_EXCEPTION, PublicKey, Relaxed, sign};
pub use pattern::{KeyPattern, expression};
pub use rules::{Action, GuardError, MAX_RULES, Options, Rule, What, payload_rule, usual_rules};
pub use token::{LEAST_KEY_BYTES, TokenKey};

use judge::Judge;
use visit::Visitor;

/// What the guard lets pass of a request.
#[derive(Debug)]
pub struct Passed {
    /// The request, rewritten where a rule says so.
    pub request: Vec<u8>,
    /// Whether a rule rewrote it: what was told of its bytes before holds no more.
    pub rewritten: bool,
    /// Records that a rule took out of it, by reason. Their producer is not told: they count as received and filtered.
    pub dropped: RefusalCounts,
}

/// Why the guard lets nothing of a request pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The kind of it.
    pub reason: Refusal,
    /// What is wrong, for the producer.
    pub why: String,
}

/// What a rule masked in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The rule's name.
    pub rule: String,
    /// Where in the text it was, in bytes.
    pub range: std::ops::Range<usize>,
}

/// The stage that every request passes before metrics are made of it and before it is written anywhere.
#[derive(Debug)]
pub struct Guard {
    visitor: Visitor,
    version: String,
    exceptions: Option<Exceptions>,
}

impl Default for Guard {
    /// One with the usual rules.
    fn default() -> Self {
        Self::checked(Options::usual())
    }
}

impl Guard {
    /// One with these rules.
    ///
    /// # Errors
    /// [`GuardError`] when they cannot be applied: then nothing may be taken in.
    pub fn new(options: Options) -> Result<Self, GuardError> {
        options.check()?;
        Ok(Self::checked(options))
    }

    fn checked(options: Options) -> Self {
        let version = options.version();
        Self { visitor: Visitor::new(Judge::new(options)), version, exceptions: None }
    }

    /// Sets who may sign exceptions from what production leaves out; without, there are none.
    #[must_use]
    pub fn with_exceptions(mut self, exceptions: Exceptions) -> Self {
        self.exceptions = Some(exceptions);
        self
    }

    /// The exceptions, where there may be some.
    pub fn exceptions(&self) -> Option<&Exceptions> {
        self.exceptions.as_ref()
    }

    /// Looks at the file of an exception, `None` where there is none, at this time: from now on what it says holds. Tells what changed since the
    /// last look.
    pub fn look_for_exception(&mut self, file: Option<&[u8]>, stamp: &Stamp) -> Option<Change> {
        let exceptions = self.exceptions.as_mut()?;
        let change = exceptions.look(file, stamp);
        let relaxed = exceptions.holding().map(|holding| holding.what).unwrap_or_default();
        self.visitor.relax(relaxed);
        change
    }

    /// Lets an OTLP export request pass, rewritten and without the records that rules take out. The request was looked at by the door:
    /// its nesting is bounded.
    ///
    /// # Errors
    /// [`Denied`] when a rule cannot be applied to it: then nothing of it may be written.
    pub fn admit(&mut self, signal: Signal, request: Vec<u8>) -> Result<Passed, Denied> {
        match self.visitor.admit(root(signal), &request) {
            Ok(None) => Ok(Passed { request, rewritten: false, dropped: RefusalCounts::default() }),
            Ok(Some((request, dropped))) => Ok(Passed { request, rewritten: true, dropped }),
            Err(error) => Err(Denied { reason: Refusal::Malformed, why: error.to_string() }),
        }
    }

    /// What the rules make of a text by itself, such as a line of a file: the text, and what was masked in it. Actions that drop give an
    /// empty text.
    pub fn mask(&mut self, text: &[u8]) -> (Vec<u8>, Vec<Masked>) {
        let judge = self.visitor.judge_mut();
        let hits = judge.look(text, judge.everywhere()).to_vec();
        let (mut out, mut place, mut drops) = (Vec::with_capacity(text.len()), 0, false);
        for hit in &hits {
            drops |= matches!(judge.action(hit.rule), Action::DropField | Action::DropRecord);
            out.extend_from_slice(text.get(place..hit.range.start).unwrap_or_default());
            judge.replace(hit.rule, text.get(hit.range.clone()).unwrap_or_default(), &mut out);
            place = hit.range.end;
        }
        out.extend_from_slice(text.get(place..).unwrap_or_default());
        let name = |rule| judge.options().rules.get(rule).map(|rule: &Rule| rule.name.clone()).unwrap_or_default();
        let masked = hits.into_iter().map(|hit| Masked { rule: name(hit.rule), range: hit.range }).collect();
        (if drops { Vec::new() } else { out }, masked)
    }

    /// How often each rule masked something, by its name, in the order of the rules.
    pub fn counts(&self) -> impl Iterator<Item = (&str, u64)> {
        let judge = self.visitor.judge();
        judge.options().rules.iter().map(|rule| rule.name.as_str()).zip(judge.counts().iter().copied())
    }

    /// The rules.
    pub fn options(&self) -> &Options {
        self.visitor.judge().options()
    }

    /// The version of the rules: the same rules have the same one on every device.
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// The table of a signal's requests.
fn root(signal: Signal) -> &'static Message {
    match signal {
        Signal::Traces => &schema::TRACES_DATA,
        Signal::Logs => &schema::LOGS_DATA,
        Signal::Metrics => &schema::METRICS_DATA,
    }
}
