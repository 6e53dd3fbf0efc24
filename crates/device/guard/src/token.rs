//! Tokens in place of values: the same value gives the same token wherever the same key is, and nobody without the key can say which
//! value it was, or try them all.

use ring::hmac;

/// What every token begins with.
const PREFIX: &str = "tok_v1_";
/// Bytes of the HMAC that a token carries.
const TRUNCATED: usize = 16;
/// RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The least bytes of a key.
pub const LEAST_KEY_BYTES: usize = 32;

/// A key that tokens are made with. It shows nothing of itself.
#[derive(Clone)]
pub struct TokenKey {
    id: String,
    key: hmac::Key,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl TokenKey {
    /// A key with its id: 1 to 16 letters and digits, and at least [`LEAST_KEY_BYTES`].
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn new(id: &str, bytes: &[u8]) -> Result<Self, String> {
        if !(1..=16).contains(&id.len()) || !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(format!("the key's id '{id}' is not 1 to 16 letters and digits"));
        }
        if bytes.len() < LEAST_KEY_BYTES {
            return Err(format!("the key has {} bytes, and needs at least {LEAST_KEY_BYTES}", bytes.len()));
        }
        Ok(Self { id: id.to_owned(), key: hmac::Key::new(hmac::HMAC_SHA256, bytes) })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Appends the token of a value of a class or rule: tokens of different ones are never the same.
    pub(crate) fn write(&self, domain: &str, value: &[u8], out: &mut Vec<u8>) {
        let mut context = hmac::Context::with_key(&self.key);
        // Each part with its length: no two pairs of them read the same.
        for part in [b"lightship token 1", domain.as_bytes(), value] {
            context.update(&(part.len() as u64).to_le_bytes());
            context.update(part);
        }
        out.extend_from_slice(PREFIX.as_bytes());
        out.extend_from_slice(self.id.as_bytes());
        out.push(b'_');
        base32(context.sign().as_ref().get(..TRUNCATED).unwrap_or_default(), out);
    }

    /// Whether a text is a token of this key: it is not made a token of again.
    pub(crate) fn made(&self, text: &[u8]) -> bool {
        let rest = text.strip_prefix(PREFIX.as_bytes()).and_then(|rest| rest.strip_prefix(self.id.as_bytes()));
        rest.and_then(|rest| rest.strip_prefix(b"_"))
            .is_some_and(|rest| rest.len() == TRUNCATED * 8 / 5 + 1 && rest.iter().all(|byte| BASE32.contains(byte)))
    }
}

fn base32(bytes: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            out.push(BASE32[(bits >> count & 31) as usize]);
        }
    }
    if count > 0 {
        out.push(BASE32[(bits << (5 - count) & 31) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: &TokenKey, domain: &str, value: &str) -> String {
        let mut out = Vec::new();
        key.write(domain, value.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Scenario: values of several classes under several keys. Guarantees: the same gives the same, anything else something else; a token
    /// is told from texts that only begin like one; what base32 says is what RFC 4648 says (P10).
    #[test]
    fn tokens_are_the_same_for_the_same() {
        let key = TokenKey::new("k1", &[7; 32]).unwrap();
        let other = TokenKey::new("k2", &[8; 32]).unwrap();
        let first = token(&key, "pan", "4111111111111111");
        assert_eq!(first, token(&TokenKey::new("k1", &[7; 32]).unwrap(), "pan", "4111111111111111"));
        assert!(first.starts_with("tok_v1_k1_") && first.len() == 36, "{first}");
        for another in [
            token(&key, "email", "4111111111111111"),
            token(&key, "pan", "5555555555554444"),
            token(&key, "pan4", "111111111111111"),
            token(&other, "pan", "4111111111111111"),
        ] {
            assert_ne!(first, another);
        }
        assert!(key.made(first.as_bytes()) && !other.made(first.as_bytes()));
        assert!(!key.made(b"tok_v1_k1_4111111111111111") && !key.made(b""));
        let mut out = Vec::new();
        base32(b"foobar", &mut out);
        assert_eq!(out, b"MZXW6YTBOI");
        assert!(TokenKey::new("k 1", &[7; 32]).is_err() && TokenKey::new("k1", &[7; 31]).is_err());
        assert!(!format!("{key:?}").contains('7'));
    }
}
