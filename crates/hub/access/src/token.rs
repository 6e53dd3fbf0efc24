//! A token as it is shown once, and what is kept of it: a digest. A token has 256 random bits, so that a plain SHA-256 cannot be
//! searched for it; a slow digest is for passwords that people choose.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Bytes that are random in a token.
pub(crate) const RANDOM_LEN: usize = 32;
/// Tokens begin with this, so that scanners for secrets find them.
const PREFIX: &str = "lightship_";

/// SHA-256 of a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub(crate) [u8; 32]);

impl Digest {
    /// That of a secret as it came.
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// From its 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("not a SHA-256 of 64 hexadecimal digits"))
    }
}

/// A secret that was just made: shown once, kept nowhere.
pub struct Token(String);

impl Token {
    /// The token of 32 random bytes.
    pub fn new(random: &[u8; RANDOM_LEN]) -> Self {
        let mut text = String::from(PREFIX);
        for byte in random {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text)
    }

    /// Its text, for whoever is to have it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Scenario: a token is made, and its digest goes through a file. Guarantees: the token does not stand in what is kept, the digest
    /// comes back as it was, and what is no digest is refused (P10).
    #[test]
    fn only_a_digest_is_kept() {
        let token = Token::new(&[0xab; RANDOM_LEN]);
        assert_eq!(token.text().len(), PREFIX.len() + 64);
        let kept = serde_json::to_string(&token.digest()).unwrap();
        assert!(!kept.contains("abab"));
        assert_eq!(serde_json::from_str::<Digest>(&kept).unwrap(), token.digest());
        for wrong in ["\"\"", "\"zz\"", &format!("\"{}\"", "g".repeat(64)), &format!("\"+{}\"", "0".repeat(63))] {
            assert!(serde_json::from_str::<Digest>(wrong).is_err(), "{wrong}");
        }
    }
}
