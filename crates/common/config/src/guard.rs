//! What is masked before anything is written.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use yaml::Spanned;

use crate::units::Span;

/// What is masked in every record before metrics are made of it and before it is written or sent anywhere (docs/masking.md).
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Whether the usual rules hold behind `rules`: credentials, card numbers, and texts under keys that look secret are redacted. A rule of
    /// `rules` for the same class, or of the same name, takes the place of the usual one.
    #[serde(default = "yes")]
    pub defaults: bool,
    /// The rules, at most 48. Where two would mask the same, the one that stands before the other does.
    #[serde(default)]
    pub rules: Vec<MaskRule>,
    /// Keys of attributes whose values are not looked at: globs with `*` and `?`.
    #[serde(default)]
    pub allowed_keys: Vec<String>,
    /// Keys for `action: token`. One makes tokens; tokens of the others are known as what they are, so that a key can be replaced: give every
    /// device the new one beside the old one, then name the new one as `active_token_key`.
    #[serde(default)]
    pub token_keys: Vec<TokenKey>,
    /// The id of the key that makes tokens; absent: the first one does.
    pub active_token_key: Option<String>,
    /// Whether this is a device in production: log records of DEBUG and TRACE are taken out, and raw payloads in hexadecimal or base64 are
    /// redacted.
    #[serde(default)]
    pub production: bool,
    /// Who may sign exceptions from what production leaves out; absent: there are none.
    pub exception: Option<MaskException>,
    /// Settings as the Collector's `redaction` processor has them, where they mean the same here.
    pub redaction: Option<Redaction>,
}

/// Exceptions from what production leaves out: a file that says for which device, what, from when and until when, signed by somebody who may.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaskException {
    /// Where the file is, when there is one; it is looked for every 5 s.
    pub file: PathBuf,
    /// Ed25519 keys in base64 whose signatures count, at most 4, as `lightship exception sign` tells them or `openssl pkey -pubout` writes them.
    pub public_keys: Vec<String>,
    /// The longest time from a beginning to its end that is believed.
    #[serde(default = "day")]
    pub longest: Span,
}

fn day() -> Span {
    Span(Duration::from_secs(24 * 3600))
}

/// A rule. It masks values of its `class` or what its `pattern` matches, in every text of every signal, or under `keys` only; with `keys`
/// alone it masks whatever stands under them.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MaskRule {
    /// Its name in counters and in `[REDACTED:name]`: 1 to 32 small letters, digits and `_`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub name: Spanned<String>,
    /// Values of this class.
    pub class: Option<MaskClass>,
    /// What this regular expression matches; without look-around and back references.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub pattern: Option<Spanned<String>>,
    /// Keys of attributes: a glob with `*` and `?`, without case.
    pub keys: Option<String>,
    /// Keys of attributes: a regular expression that matches a part of them.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub key_pattern: Option<Spanned<String>>,
    /// What becomes of a value.
    #[serde(default)]
    pub action: MaskAction,
    /// With `action: redact`: the word that takes its place; absent: `[REDACTED:name]`.
    pub replacement: Option<String>,
    /// With `action: keep`: characters that stay at its beginning.
    #[serde(default)]
    pub first: u8,
    /// With `action: keep`: characters that stay at its end.
    #[serde(default)]
    pub last: u8,
}

/// Values that are told by their form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MaskClass {
    /// Numbers of payment cards, and tracks of their stripes.
    Pan,
    /// JSON web tokens.
    Jwt,
    /// What follows `Bearer`, `Basic` and the like.
    Authorization,
    /// Keys of cloud providers and well-known services.
    CloudKey,
    /// PEM blocks.
    Pem,
    /// What is assigned to a name that looks secret: `password=...`.
    Assignment,
    /// User and password of a URL.
    UrlUserInfo,
    /// International bank account numbers.
    Iban,
    /// E-mail addresses.
    Email,
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 addresses.
    Ipv6,
    /// MAC addresses.
    Mac,
    /// Phone numbers in international form.
    Phone,
    /// Values in the query of a URL.
    UrlQuery,
    /// Literals of SQL statements; for rules with keys.
    Sql,
    /// Raw payloads: 64 and more characters of hexadecimal or base64.
    Dump,
}

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MaskAction {
    /// A word takes its place.
    #[default]
    Redact,
    /// Its first and last characters stay.
    Keep,
    /// A keyed token takes its place: the same value gives the same one wherever the key is the same. Needs `token_keys`.
    Token,
    /// The attribute goes, or the field becomes empty.
    DropField,
    /// The record goes, counted as filtered.
    DropRecord,
}

/// A key for tokens: its id, and one of the places where it is. At least 32 bytes; a line's end behind them does not count.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// Its name in tokens: 1 to 16 letters and digits.
    pub id: String,
    /// A file.
    pub file: Option<PathBuf>,
    /// A credential that systemd hands to the service (`LoadCredentialEncrypted=`), by its name.
    pub credential: Option<String>,
    /// An environment variable.
    pub env: Option<String>,
}

/// Settings of the Collector's `redaction` processor.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Redaction {
    /// Must be true: attributes that nobody named stay.
    pub allow_all_keys: bool,
    /// Regular expressions of keys: whatever stands under them becomes `****`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub blocked_key_patterns: Vec<Spanned<String>>,
    /// Regular expressions: what they match becomes `****`.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub blocked_values: Vec<Spanned<String>>,
    /// Keys whose values are not looked at.
    #[serde(default)]
    pub ignored_keys: Vec<String>,
}

fn yes() -> bool {
    true
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            defaults: true,
            rules: Vec::new(),
            allowed_keys: Vec::new(),
            token_keys: Vec::new(),
            active_token_key: None,
            production: false,
            exception: None,
            redaction: None,
        }
    }
}

/// The most rules of an operator: with those of the program they are a word of bits.
const MAX_RULES: usize = 48;
/// The most keys that may sign exceptions.
const MAX_PUBLIC_KEYS: usize = 4;
/// The longest word that takes a value's place.
const MAX_REPLACEMENT: usize = 64;
/// The most memory of an expression that is compiled.
const EXPRESSION_BYTES: usize = 64 << 10;

/// Checks what the types alone do not say, as (place, what).
pub(crate) fn check(guard: &Guard) -> Result<(), (String, String)> {
    let blocked = guard.redaction.as_ref().map_or(0, |all| all.blocked_key_patterns.len() + all.blocked_values.len());
    if guard.rules.len() + blocked > MAX_RULES {
        return Err((String::new(), format!("guard.rules: at most {MAX_RULES}, with those of guard.redaction")));
    }
    for (index, rule) in guard.rules.iter().enumerate() {
        let at = rule.name.place.to_string();
        check_rule(rule).map_err(|(other, what)| (other.unwrap_or(at), format!("guard.rules[{index}]{what}")))?;
        if guard.rules.iter().take(index).any(|other| other.name.value == rule.name.value) {
            let name = &rule.name.value;
            return Err((
                rule.name.place.to_string(),
                format!("guard.rules[{index}].name: two rules are named {name}"),
            ));
        }
        if rule.action == MaskAction::Token && guard.token_keys.is_empty() {
            let what = "action: a token needs a key; give guard.token_keys one, or choose another action";
            return Err((rule.name.place.to_string(), format!("guard.rules[{index}].{what}")));
        }
    }
    for (index, key) in guard.token_keys.iter().enumerate() {
        let places = [key.file.is_some(), key.credential.is_some(), key.env.is_some()];
        if places.into_iter().filter(|one| *one).count() != 1 {
            return Err((String::new(), format!("guard.token_keys[{index}]: needs one of file, credential and env")));
        }
        if guard.token_keys.iter().take(index).any(|other| other.id == key.id) {
            return Err((String::new(), format!("guard.token_keys[{index}].id: two keys are named {}", key.id)));
        }
    }
    if let Some(active) = &guard.active_token_key
        && !guard.token_keys.iter().any(|key| key.id == *active)
    {
        return Err((String::new(), format!("guard.active_token_key: no key of guard.token_keys is named {active}")));
    }
    if let Some(exception) = &guard.exception {
        if !guard.production {
            let what = "guard.exception: there is nothing to be excepted from where guard.production is not true";
            return Err((String::new(), what.to_owned()));
        }
        if !(1..=MAX_PUBLIC_KEYS).contains(&exception.public_keys.len()) {
            return Err((String::new(), format!("guard.exception.public_keys: needs 1 to {MAX_PUBLIC_KEYS} keys")));
        }
    }
    let Some(redaction) = &guard.redaction else { return Ok(()) };
    if !redaction.allow_all_keys {
        let what = "guard.redaction.allow_all_keys: must be true; name keys to be dropped in guard.rules instead";
        return Err((String::new(), what.to_owned()));
    }
    let mut expressions = redaction.blocked_key_patterns.iter().chain(&redaction.blocked_values);
    expressions.try_for_each(|one| expression(one, "guard.redaction"))
}

/// Where a mistake stands, where it has a place of its own, and what it is.
type Mistake = (Option<String>, String);

fn check_rule(rule: &MaskRule) -> Result<(), Mistake> {
    let fail = |what: &str| Err((None, what.to_owned()));
    let name = &rule.name.value;
    let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    if !(1..=32).contains(&name.len()) || !name.bytes().all(is_name) {
        return fail(".name: use 1 to 32 small letters, digits and '_'");
    }
    if rule.class.is_some() && rule.pattern.is_some() {
        return fail(": has both class and pattern; make two rules of it");
    }
    if rule.keys.is_some() && rule.key_pattern.is_some() {
        return fail(": has both keys and key_pattern; one of them says enough");
    }
    let has_keys = rule.keys.is_some() || rule.key_pattern.is_some();
    if rule.class.is_none() && rule.pattern.is_none() && !has_keys {
        return fail(": needs a class, a pattern or keys");
    }
    if rule.class == Some(MaskClass::Sql) && !has_keys {
        return fail(
            ".class: sql needs keys, such as 'db.query.text': every text with a number looks like a statement",
        );
    }
    if rule.replacement.is_some() && rule.action != MaskAction::Redact {
        return fail(".replacement: belongs to action: redact");
    }
    if rule.replacement.as_ref().is_some_and(|word| word.len() > MAX_REPLACEMENT || word.chars().any(char::is_control))
    {
        return fail(".replacement: at most 64 bytes, and no control characters");
    }
    if (rule.first, rule.last) != (0, 0) && rule.action != MaskAction::Keep {
        return fail(": first and last belong to action: keep");
    }
    for (key, one) in [("pattern", &rule.pattern), ("key_pattern", &rule.key_pattern)] {
        if let Some(one) = one {
            expression(one, &format!(".{key}")).map_err(|(at, what)| (Some(at), what))?;
        }
    }
    Ok(())
}

fn expression(one: &Spanned<String>, key: &str) -> Result<(), (String, String)> {
    match regex_lite::RegexBuilder::new(&one.value).size_limit(EXPRESSION_BYTES).build() {
        Ok(built) if built.is_match("") => {
            Err((one.place.to_string(), format!("{key}: '{}' matches nothing as well as something", one.value)))
        }
        Ok(_) => Ok(()),
        Err(error) => Err((one.place.to_string(), format!("{key}: '{}': {error}", one.value))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(guard: &str) -> Result<Guard, String> {
        crate::tests::with_section(guard).map(|config| config.guard).map_err(|error| error.to_string())
    }

    /// Scenario: no section, an empty one, one with everything. Guarantees: the usual rules hold unless somebody says otherwise; values
    /// arrive (P10).
    #[test]
    fn masking_is_on_unless_somebody_says_otherwise() {
        assert!(read("").unwrap().defaults && read("guard: {}").unwrap().defaults);
        let guard = read(
            "guard:\n  defaults: false\n  production: true\n  allowed_keys: ['http.route']\n\
             \x20 token_keys: [{ id: k1, credential: mask-key }, { id: k0, file: /etc/key }]\n  rules:\n\
             \x20   - { name: mail, class: email, action: token }\n\
             \x20   - { name: card, class: pan, action: keep, first: 6, last: 4 }\n\
             \x20   - { name: order, pattern: 'ORD-[0-9]+', keys: 'order.*', replacement: '<order>' }\n\
             \x20 redaction: { allow_all_keys: true, blocked_values: ['x+'], ignored_keys: [a] }\n",
        )
        .unwrap();
        assert!(!guard.defaults && guard.production && guard.token_keys.len() == 2);
        assert_eq!(guard.rules[0].class, Some(MaskClass::Email));
        assert_eq!((guard.rules[1].first, guard.rules[1].last), (6, 4));
    }

    /// Scenario: rules that say too little, too much or what cannot be. Guarantees: each is refused with its place and what to do.
    #[test]
    fn bad_rules_are_refused_with_their_place() {
        for (rule, expected) in [
            ("name: A", ":7:15: guard.rules[0].name: use 1 to 32"),
            ("name: a", "guard.rules[0]: needs a class, a pattern or keys"),
            ("name: a, class: pan, pattern: x", "has both class and pattern"),
            ("name: a, keys: x, key_pattern: y", "has both keys and key_pattern"),
            ("name: a, class: sql", "sql needs keys"),
            ("name: a, class: card", "unknown variant"),
            ("name: a, pattern: '('", ":7:27: guard.rules[0].pattern: '(': "),
            ("name: a, pattern: 'x*'", "matches nothing as well"),
            ("name: a, pattern: '(a{1000}){1000}'", "guard.rules[0].pattern: "),
            ("name: a, class: pan, first: 2", "belong to action: keep"),
            ("name: a, class: pan, action: token", "guard.rules[0].action: a token needs a key"),
            ("name: a, class: pan, action: keep, replacement: x", "belongs to action: redact"),
            ("name: a, class: pan }\n    - { name: a, class: jwt", "two rules are named a"),
        ] {
            let error = read(&format!("guard:\n  rules:\n    - {{ {rule} }}")).unwrap_err();
            assert!(error.contains(expected), "{rule}: {error}");
        }
        for (guard, expected) in [
            ("token_keys: [{ id: a }]", "needs one of file, credential and env"),
            ("token_keys: [{ id: a, file: x, env: Y }]", "needs one of file, credential and env"),
            ("redaction: { allow_all_keys: false }", "must be true"),
            ("exception: { file: /e, public_keys: [A] }", "nothing to be excepted from"),
            ("production: true, exception: { file: /e, public_keys: [] }", "needs 1 to 4 keys"),
            ("token_keys: [{ id: a, env: A }, { id: a, env: B }]", "guard.token_keys[1].id: two keys are named a"),
            (
                "token_keys: [{ id: a, env: A }], active_token_key: b",
                "guard.active_token_key: no key of guard.token_keys",
            ),
            ("redaction: { allow_all_keys: true, blocked_values: ['('] }", "guard.redaction: '(': "),
        ] {
            let error = read(&format!("guard: {{ {guard} }}")).unwrap_err();
            assert!(error.contains(expected), "{guard}: {error}");
        }
    }
}
