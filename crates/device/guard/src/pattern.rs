//! Which keys a rule is for.

use regex_lite::{Regex, RegexBuilder};

/// The most memory that an expression of an operator may take when it is compiled.
const EXPRESSION_BYTES: usize = 64 << 10;

/// Keys of attributes, by a glob (`*`, `?`) or an expression.
#[derive(Debug, Clone)]
pub enum KeyPattern {
    /// The whole key, with `*` for any characters and `?` for one.
    Glob(String),
    /// Any part of the key.
    Expression(Regex),
}

impl KeyPattern {
    /// Whether it is for a key.
    pub(crate) fn fits(&self, key: &[u8]) -> bool {
        match self {
            KeyPattern::Glob(glob) => fits_glob(glob.as_bytes(), key),
            KeyPattern::Expression(expression) => std::str::from_utf8(key).is_ok_and(|key| expression.is_match(key)),
        }
    }

    /// What it is made of, for the version of the rules.
    pub(crate) fn text(&self) -> &str {
        match self {
            KeyPattern::Glob(glob) => glob,
            KeyPattern::Expression(expression) => expression.as_str(),
        }
    }
}

impl std::fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeyPattern::Glob(glob) => f.write_str(glob),
            KeyPattern::Expression(expression) => write!(f, "/{}/", expression.as_str()),
        }
    }
}

/// An expression of an operator: its automaton takes time that grows with the text and with nothing else, and a bounded memory.
///
/// # Errors
/// What is wrong with it.
pub fn expression(text: &str) -> Result<Regex, regex_lite::Error> {
    RegexBuilder::new(text).size_limit(EXPRESSION_BYTES).build()
}

fn fits_glob(glob: &[u8], key: &[u8]) -> bool {
    let (mut at_glob, mut at_key) = (0, 0);
    // Where the last `*` stands, and what of the key it has taken.
    let mut star: Option<(usize, usize)> = None;
    while at_key < key.len() {
        match glob.get(at_glob) {
            Some(b'*') => {
                star = Some((at_glob, at_key));
                at_glob += 1;
            }
            Some(byte) if *byte == b'?' || key.get(at_key).is_some_and(|key| key.eq_ignore_ascii_case(byte)) => {
                at_glob += 1;
                at_key += 1;
            }
            _ => match &mut star {
                Some((place, taken)) => {
                    *taken += 1;
                    (at_glob, at_key) = (*place + 1, *taken);
                }
                None => return false,
            },
        }
    }
    glob.get(at_glob..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: globs and keys. Guarantees: they fit as people expect, without case.
    #[test]
    fn globs_fit() {
        for (glob, key, fits) in [
            ("password", "Password", true),
            ("password", "db.password", false),
            ("*password*", "db.password.old", true),
            ("http.request.header.*", "http.request.header.cookie", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*c", "xxaxxbxxbxc", true),
            ("*a*b*c", "xxaxxbxxbx", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(KeyPattern::Glob(glob.into()).fits(key.as_bytes()), fits, "{glob} {key}");
        }
        let pattern = KeyPattern::Expression(expression("^user\\.[a-z]+$").unwrap());
        assert!(pattern.fits(b"user.name") && !pattern.fits(b"user.1") && !pattern.fits(b"\xff"));
        assert!(expression("a{1000}{1000}").is_err());
    }
}
