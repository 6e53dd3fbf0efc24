//! The guard, from its configuration.

use std::path::Path;

use config::{Config, MaskAction, MaskClass, MaskRule};
use guard::{
    Action, Class, Exceptions, Guard, KeyPattern, Options, PublicKey, Rule, TokenKey, What, expression, payload_rule,
    usual_rules,
};

use crate::error::{StartError, start_error};

/// Where systemd puts credentials of a service.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";
/// The most bytes of a key's file.
const MAX_KEY: u64 = 4096;
/// What takes the place of values in the Collector's `redaction`.
const STARS: &str = "****";
/// A recorder of at most so many bytes is that of a small device.
const SMALL_RECORDER: u64 = 1 << 20;

/// The guard of a configuration.
///
/// # Errors
/// When a key cannot be read, or a rule cannot be applied: nothing is taken in then.
pub fn guard(config: &Config) -> Result<Guard, StartError> {
    let wanted = &config.guard;
    let mut rules = Vec::with_capacity(16);
    for rule in &wanted.rules {
        rules.push(self::rule(rule)?);
    }
    if let Some(redaction) = &wanted.redaction {
        let stars = |name: String, what, keys| Rule { name, what, keys, action: Action::Redact(Some(STARS.into())) };
        for (index, keys) in redaction.blocked_key_patterns.iter().enumerate() {
            let keys = KeyPattern::Expression(compiled(&keys.value)?);
            rules.push(stars(format!("blocked_key_{index}"), What::All, Some(keys)));
        }
        for (index, values) in redaction.blocked_values.iter().enumerate() {
            rules.push(stars(format!("blocked_value_{index}"), What::Pattern(compiled(&values.value)?), None));
        }
    }
    if wanted.production {
        rules.push(payload_rule());
    }
    if wanted.defaults {
        let is_there = |usual: &Rule| {
            rules.iter().any(|rule| {
                let same = matches!((&rule.what, &usual.what), (What::Class(one), What::Class(other)) if one == other);
                rule.name == usual.name || same && rule.keys.is_none()
            })
        };
        let usual: Vec<Rule> = usual_rules().into_iter().filter(|usual| !is_there(usual)).collect();
        rules.extend(usual);
    }
    let ignored = wanted.redaction.iter().flat_map(|redaction| &redaction.ignored_keys);
    let allowed_keys = wanted.allowed_keys.iter().chain(ignored).map(|glob| KeyPattern::Glob(glob.clone())).collect();
    // The guard makes tokens with the first one.
    let is_active = |key: &&config::TokenKey| wanted.active_token_key.as_ref().is_some_and(|active| key.id == *active);
    let (active, others): (Vec<_>, Vec<_>) = wanted.token_keys.iter().partition(is_active);
    let token_keys = active.into_iter().chain(others).map(token_key).collect::<Result<_, _>>()?;
    let small = config.recorder.memory.0 <= SMALL_RECORDER;
    let options = Options { rules, allowed_keys, token_keys, production: wanted.production, small };
    let guard = Guard::new(options).map_err(|error| start_error(format!("guard: {error}")))?;
    let Some(exception) = &wanted.exception else { return Ok(guard) };
    let key = |(index, key): (usize, &String)| {
        PublicKey::read(key)
            .ok_or_else(|| start_error(format!("guard.exception.public_keys[{index}]: no Ed25519 key in base64")))
    };
    let keys = exception.public_keys.iter().enumerate().map(key).collect::<Result<_, _>>()?;
    Ok(guard.with_exceptions(Exceptions::new(&config.device.id, keys, exception.longest.0.as_secs())))
}

/// The file of an exception; `None` where there is none. One that cannot be read, or is too large, is no exception.
pub fn exception_file(path: &Path) -> Option<Vec<u8>> {
    match read(path) {
        Ok(file) => Some(file),
        Err(_) => path.try_exists().unwrap_or(true).then(Vec::new),
    }
}

fn rule(written: &MaskRule) -> Result<Rule, StartError> {
    let what = match (written.class, &written.pattern) {
        (Some(class), _) => What::Class(self::class(class)),
        (None, Some(pattern)) => What::Pattern(compiled(&pattern.value)?),
        (None, None) => What::All,
    };
    let keys = match (&written.keys, &written.key_pattern) {
        (Some(glob), _) => Some(KeyPattern::Glob(glob.clone())),
        (None, Some(pattern)) => Some(KeyPattern::Expression(compiled(&pattern.value)?)),
        (None, None) => None,
    };
    let action = match written.action {
        MaskAction::Redact => Action::Redact(written.replacement.clone()),
        MaskAction::Keep => Action::Keep { first: written.first.into(), last: written.last.into() },
        MaskAction::Token => Action::Token,
        MaskAction::DropField => Action::DropField,
        MaskAction::DropRecord => Action::DropRecord,
    };
    Ok(Rule { name: written.name.value.clone(), what, keys, action })
}

/// The guard's class of one that is configured.
fn class(class: MaskClass) -> Class {
    match class {
        MaskClass::Pan => Class::Pan,
        MaskClass::Jwt => Class::Jwt,
        MaskClass::Authorization => Class::Authorization,
        MaskClass::CloudKey => Class::CloudKey,
        MaskClass::Pem => Class::Pem,
        MaskClass::Assignment => Class::Assignment,
        MaskClass::UrlUserInfo => Class::UrlUserInfo,
        MaskClass::Iban => Class::Iban,
        MaskClass::Email => Class::Email,
        MaskClass::Ipv4 => Class::Ipv4,
        MaskClass::Ipv6 => Class::Ipv6,
        MaskClass::Mac => Class::Mac,
        MaskClass::Phone => Class::Phone,
        MaskClass::UrlQuery => Class::UrlQuery,
        MaskClass::Sql => Class::Sql,
        MaskClass::Dump => Class::Dump,
    }
}

fn compiled(text: &str) -> Result<sampling::Regex, StartError> {
    expression(text).map_err(|error| start_error(format!("guard: '{text}': {error}")))
}

/// Reads a key. What is wrong with it is told without a byte of it.
fn token_key(written: &config::TokenKey) -> Result<TokenKey, StartError> {
    let fail = |why: String| start_error(format!("guard.token_keys {}: {why}", written.id));
    let bytes = match (&written.file, &written.credential, &written.env) {
        (Some(path), ..) => read(path).map_err(fail)?,
        (_, Some(name), _) => {
            let directory = std::env::var_os(CREDENTIALS).ok_or_else(|| {
                fail(format!(
                    "systemd hands over no credentials ({CREDENTIALS} is not set); add LoadCredentialEncrypted={name} to the unit"
                ))
            })?;
            read(&Path::new(&directory).join(name)).map_err(fail)?
        }
        (_, _, Some(name)) => std::env::var_os(name)
            .ok_or_else(|| fail(format!("the environment variable {name} is not set")))?
            .into_encoded_bytes(),
        (None, None, None) => return Err(fail("it has no place".to_owned())),
    };
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |place| place + 1);
    TokenKey::new(&written.id, bytes.get(..end).unwrap_or_default()).map_err(fail)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    use std::io::Read;
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fail)?.take(MAX_KEY + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX_KEY {
        return Err(format!("{}: larger than {MAX_KEY} bytes", path.display()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(section: &str) -> Result<Guard, String> {
        let text = format!(
            "version: 0\ndevice: {{ id: d }}\ndata_dir: /d\n\
             destinations: [{{ name: hub, type: hub, url: 'http://localhost:1' }}]\n{section}\n"
        );
        guard(&config::parse(&text).unwrap()).map_err(|error| error.to_string())
    }

    fn masked(section: &str, text: &str) -> String {
        String::from_utf8(made(section).unwrap().mask(text.as_bytes()).0).unwrap()
    }

    /// Scenario: sections with and without the usual rules, with rules in their place, with the Collector's names, in production.
    /// Guarantees: what is written holds, and every class of the guard can be configured by its name (P10).
    #[test]
    fn rules_become_what_is_written() {
        let text = "4111111111111111 by bob@example.org";
        assert_eq!(masked("", text), "[REDACTED:pan] by bob@example.org");
        assert_eq!(masked("guard: { defaults: false }", text), text);
        let section = "guard:\n  rules:\n    - { name: card, class: pan, action: keep, last: 4 }\n    - { name: mail, class: email }";
        assert_eq!(masked(section, text), "************1111 by [REDACTED:mail]");
        let section = "guard: { redaction: { allow_all_keys: true, blocked_values: ['b[a-z]b'] } }";
        assert_eq!(masked(section, text), "[REDACTED:pan] by ****@example.org");
        let dump = "0123456789abcdef".repeat(5);
        assert_eq!(masked("guard: { production: true }", &dump), "[REDACTED:payload]");
        assert_eq!(masked("", &dump), dump);
        for class in Class::ALL {
            let name = class.name();
            let made = made(&format!("guard: {{ rules: [{{ name: one, class: {name}, keys: 'a*' }}] }}")).unwrap();
            assert!(matches!(made.options().rules[0].what, What::Class(other) if other == class), "{name}");
        }
    }

    /// Scenario: a rule that makes tokens with a key from a file and from a credential, with a short key, and with one that is not there.
    /// Guarantees: both places give the same token; without a key nothing starts, and nothing of a key is shown (P10).
    #[test]
    fn no_token_without_a_key() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef0123456789abcdef\n").unwrap();
        let section = |place: &str| {
            format!(
                "guard:\n  token_keys: [{{ id: k1, {place} }}]\n  rules: [{{ name: mail, class: email, action: token }}]"
            )
        };
        let from_file = section(&format!("file: {}", file.path().display()));
        let token = masked(&from_file, "bob@example.org");
        assert!(token.starts_with("tok_v1_k1_"), "{token}");
        assert_eq!(masked(&from_file, "Bob@example.org"), token);
        std::fs::write(file.path(), "0123456789abcdef").unwrap();
        let short = made(&from_file).unwrap_err();
        assert!(short.contains("needs at least 32") && !short.contains("0123"), "{short}");
        assert!(made(&section("file: /none/at/all")).unwrap_err().contains("/none/at/all: "));
        assert!(made(&section("credential: mask")).unwrap_err().contains("LoadCredentialEncrypted=mask"));
        assert!(made(&section("env: LIGHTSHIP_NO_SUCH_KEY")).unwrap_err().contains("is not set"));
    }
}
