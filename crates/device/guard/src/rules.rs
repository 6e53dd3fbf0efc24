//! Rules: what is masked, and how.

use regex_lite::Regex;
use ring::digest;

use crate::class::Class;
use crate::pattern::KeyPattern;
use crate::token::TokenKey;

/// The most rules, those that hold by themselves included.
pub const MAX_RULES: usize = 64;

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name in counters, log lines and `[REDACTED:name]`.
    pub name: String,
    /// What it masks.
    pub what: What,
    /// The keys of attributes that it is for; `None` for every text of every field, in and out of attributes.
    pub keys: Option<KeyPattern>,
    /// How.
    pub action: Action,
}

/// What a rule masks.
#[derive(Debug, Clone)]
pub enum What {
    /// Everything under the keys of the rule.
    All,
    /// Everything but numbers and truth values under keys that look secret.
    SecretKeys,
    /// Values of a class.
    Class(Class),
    /// What an expression matches.
    Pattern(Regex),
}

/// What becomes of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A word takes its place: this one, or `[REDACTED:name]`.
    Redact(Option<String>),
    /// So many of its first and last characters stay; `*` takes the place of each other one.
    Keep {
        /// Characters that stay at its beginning.
        first: usize,
        /// Characters that stay at its end.
        last: usize,
    },
    /// A keyed token takes its place.
    Token,
    /// The attribute goes, or the field becomes empty.
    DropField,
    /// The record goes.
    DropRecord,
}

/// What a guard does.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The rules, those before others first.
    pub rules: Vec<Rule>,
    /// Keys of attributes under which nothing is looked at.
    pub allowed_keys: Vec<KeyPattern>,
    /// Keys for tokens: the first makes them, all are known as what they are.
    pub token_keys: Vec<TokenKey>,
    /// Whether log records of DEBUG and below are taken out.
    pub production: bool,
    /// Whether a quarter of the usual is remembered as clean, 26 KiB instead of 80: for devices with little memory.
    pub small: bool,
}

/// Why there is no guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// A rule makes tokens, and there is no key.
    #[error("rule {0} makes tokens, but there is no key: give guard.token_keys one, or choose another action")]
    NoKey(String),
    /// More than [`MAX_RULES`] rules.
    #[error("{0} rules; at most {MAX_RULES} together with those that hold by themselves")]
    TooManyRules(usize),
    /// Two rules have the same name.
    #[error("two rules are named {0}")]
    SameName(String),
    /// A rule for everything needs keys.
    #[error("rule {0} says neither which keys, nor what it looks for")]
    Everything(String),
}

impl Options {
    /// What is done where nothing is configured: credentials, card numbers and what stands under secret-looking keys are redacted.
    pub fn usual() -> Self {
        Self { rules: usual_rules(), ..Self::default() }
    }

    /// Checks what the types alone do not say.
    pub(crate) fn check(&self) -> Result<(), GuardError> {
        if self.rules.len() > MAX_RULES {
            return Err(GuardError::TooManyRules(self.rules.len()));
        }
        for (index, rule) in self.rules.iter().enumerate() {
            if self.rules.iter().take(index).any(|other| other.name == rule.name) {
                return Err(GuardError::SameName(rule.name.clone()));
            }
            if rule.action == Action::Token && self.token_keys.is_empty() {
                return Err(GuardError::NoKey(rule.name.clone()));
            }
            if matches!(rule.what, What::All) && rule.keys.is_none() {
                return Err(GuardError::Everything(rule.name.clone()));
            }
        }
        Ok(())
    }

    /// The rule of production, a bit: [`payload_rule`].
    pub(crate) fn payload_rule(&self) -> u64 {
        let is_it = |rule: &Rule| rule.name == PAYLOAD && matches!(rule.what, What::Class(Class::Dump));
        let place = self.rules.iter().position(|rule| self.production && is_it(rule));
        place.map_or(0, |place| 1 << place)
    }

    /// The rules in twelve hexadecimal digits: the same rules have the same version on every device.
    pub(crate) fn version(&self) -> String {
        let mut text = String::from("lightship mask 1\n");
        for rule in &self.rules {
            let what = match &rule.what {
                What::All => "all",
                What::SecretKeys => "secret keys",
                What::Class(class) => class.name(),
                What::Pattern(expression) => expression.as_str(),
            };
            let keys = rule.keys.as_ref().map(KeyPattern::text);
            text.push_str(&format!("{:?} {what:?} {keys:?} {:?}\n", rule.name, rule.action));
        }
        let allowed: Vec<&str> = self.allowed_keys.iter().map(KeyPattern::text).collect();
        let ids: Vec<&str> = self.token_keys.iter().map(TokenKey::id).collect();
        text.push_str(&format!("{allowed:?} {ids:?} {}", self.production));
        let digest = digest::digest(&digest::SHA256, text.as_bytes());
        digest.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What production adds: raw payloads are redacted.
pub fn payload_rule() -> Rule {
    Rule { name: PAYLOAD.to_owned(), what: What::Class(Class::Dump), keys: None, action: Action::Redact(None) }
}

/// The name of the rule of production.
const PAYLOAD: &str = "payload";

/// The rules that hold by themselves.
pub fn usual_rules() -> Vec<Rule> {
    let redact = |name: &str, what| Rule { name: name.to_owned(), what, keys: None, action: Action::Redact(None) };
    let classes = Class::DEFAULT.into_iter().map(|class| redact(class.name(), What::Class(class)));
    std::iter::once(redact("secret_key", What::SecretKeys)).chain(classes).collect()
}
