//! The file of an exception. Its last line is the signature of all lines before it, byte for byte:
//!
//! ```text
//! lightship exception 1
//! device: vessel-17
//! what: debug, payloads
//! from: 2026-11-30T10:00:00Z
//! until: 2026-11-30T12:00:00Z
//! why: ticket 4711
//! signature: BASE64
//! ```

use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};

use super::{Fault, Relaxed};
use crate::detect::encoded::decode_base64;

/// The largest file that is read, in bytes.
pub const MAX_EXCEPTION: usize = 4096;
/// The first line: what is signed is an exception, and of which version.
const HEAD: &str = "lightship exception 1";
/// What stands before the signature.
const SIGNATURE: &str = "\nsignature: ";
/// What an Ed25519 key has before its 32 bytes in the form of `openssl pkey -pubout` (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An exception that somebody signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The id of the device that it is for.
    pub device: String,
    /// What does not hold meanwhile.
    pub what: Relaxed,
    /// When it begins, in seconds since the Unix epoch.
    pub from_s: u64,
    /// When it ends.
    pub until_s: u64,
    /// What it is for, in the words of whoever signed it.
    pub why: String,
    signature: [u8; 64],
}

/// A key whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// One in base64: 32 bytes, or what `openssl pkey -pubout` writes between its lines.
    pub fn read(text: &str) -> Option<Self> {
        let bytes = decode_base64(text.trim().as_bytes())?;
        let key = bytes.strip_prefix(&SPKI).unwrap_or(&bytes);
        key.try_into().ok().map(Self)
    }
}

impl Exception {
    /// Reads a file that one of the keys signed.
    ///
    /// # Errors
    /// [`Fault::Malformed`], and [`Fault::Signature`] where none did.
    pub(super) fn read(file: &[u8], keys: &[PublicKey]) -> Result<Self, Fault> {
        let malformed = |why: &str| Fault::Malformed(format!("{why}; make it with lightship exception sign"));
        if file.len() > MAX_EXCEPTION {
            return Err(malformed("it is larger than 4 KiB"));
        }
        let text = std::str::from_utf8(file).map_err(|_| malformed("it is no text"))?;
        let (signed, signature) = text.rsplit_once(SIGNATURE).ok_or_else(|| malformed("it has no signature"))?;
        let signature = decode_base64(signature.trim_end().as_bytes());
        let signature: [u8; 64] = signature
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| malformed("its signature is no 64 bytes in base64"))?;
        let is_by =
            |key: &PublicKey| UnparsedPublicKey::new(&ED25519, key.0).verify(signed.as_bytes(), &signature).is_ok();
        if !keys.iter().any(is_by) {
            return Err(Fault::Signature);
        }
        let mut lines = signed.lines();
        if lines.next() != Some(HEAD) {
            return Err(malformed("its first line is not \"lightship exception 1\""));
        }
        let mut exception = Self {
            device: String::new(),
            what: Relaxed::default(),
            from_s: 0,
            until_s: 0,
            why: String::new(),
            signature,
        };
        for line in lines {
            let (name, value) = line.split_once(": ").ok_or_else(|| malformed("a line is no name with a value"))?;
            let time = || {
                filter::rfc3339_ns(value)
                    .map(|ns| ns / 1_000_000_000)
                    .ok_or_else(|| malformed("a time is not like 2026-11-30T10:00:00Z"))
            };
            match name {
                "device" => exception.device = value.to_owned(),
                "what" => {
                    exception.what = what(value).ok_or_else(|| malformed("what: is neither debug nor payloads"))?;
                }
                "from" => exception.from_s = time()?,
                "until" => exception.until_s = time()?,
                "why" => exception.why = value.to_owned(),
                // What a later version means by it may be a condition.
                _ => return Err(malformed("it has a line that this version does not know")),
            }
        }
        let is_whole = !exception.device.is_empty() && exception.what != Relaxed::default();
        if !is_whole || exception.from_s == 0 || exception.until_s <= exception.from_s {
            return Err(malformed("it needs a device, what, from, and a later until"));
        }
        Ok(exception)
    }

    /// Tells one exception from others.
    pub(super) fn signature(&self) -> [u8; 64] {
        self.signature
    }

    /// How long it holds from a time on.
    pub(super) fn left_ns(&self, wall_ns: u64) -> u64 {
        self.until_s.saturating_mul(1_000_000_000).saturating_sub(wall_ns)
    }
}

fn what(text: &str) -> Option<Relaxed> {
    text.split(", ").try_fold(Relaxed::default(), |what, one| match one {
        "debug" => Some(Relaxed { debug: true, ..what }),
        "payloads" => Some(Relaxed { payloads: true, ..what }),
        _ => None,
    })
}

/// The file of an exception for a device, signed with an Ed25519 key in PEM (`openssl genpkey -algorithm ed25519`), and the public key in base64.
/// Times are as RFC 3339 has them.
///
/// # Errors
/// What is wrong with the key, or with what is to be signed.
pub fn sign(
    pem: &str,
    device: &str,
    relaxed: Relaxed,
    from: &str,
    until: &str,
    why: &str,
) -> Result<(String, String), String> {
    use ring::signature::KeyPair;
    let between = |text: &str| {
        let inside: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        decode_base64(inside.as_bytes())
    };
    let bytes = between(pem).ok_or("the key is no PEM; make one with openssl genpkey -algorithm ed25519")?;
    let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&bytes)
        .map_err(|error| format!("the key is no Ed25519 key in PKCS #8 ({error})"))?;
    if [device, from, until, why].iter().any(|value| value.contains(['\n', '\r'])) {
        return Err("a value has more than one line".to_owned());
    }
    let mut text = format!("{HEAD}\ndevice: {device}\nwhat: {relaxed}\nfrom: {from}\nuntil: {until}");
    if !why.is_empty() {
        text.push_str("\nwhy: ");
        text.push_str(why);
    }
    let signature = encode_base64(key.sign(text.as_bytes()).as_ref());
    text.push_str(SIGNATURE);
    text.push_str(&signature);
    text.push('\n');
    let public: [u8; 32] = key.public_key().as_ref().try_into().map_err(|_| "the key has no 32 bytes")?;
    Exception::read(text.as_bytes(), &[PublicKey(public)]).map_err(|fault| fault.to_string())?;
    Ok((text, encode_base64(&public)))
}

fn encode_base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let character = ALPHABET[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= three.len() { char::from(character) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A key as `openssl genpkey` writes it, of 32 times this byte.
    pub(in crate::exception) fn key(seed: u8) -> String {
        let mut bytes =
            vec![0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
        bytes.extend_from_slice(&[seed; 32]);
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", encode_base64(&bytes))
    }

    /// Scenario: a file as it is signed, with each of its bytes changed, with the key of somebody else, without its signature, with a line more.
    /// Guarantees: only what was signed is read, as it was meant; everything else is refused with its reason.
    #[test]
    fn only_what_was_signed_is_read() {
        let all = Relaxed { debug: true, payloads: true };
        let (text, public) =
            sign(&key(7), "vessel-17", all, "2026-11-30T10:00:00Z", "2026-11-30T12:00:00Z", "ticket 4711").unwrap();
        let keys = [PublicKey::read(&public).unwrap()];
        let read = Exception::read(text.as_bytes(), &keys).unwrap();
        assert_eq!((read.device.as_str(), read.what, read.why.as_str()), ("vessel-17", all, "ticket 4711"));
        assert_eq!((read.from_s, read.until_s), (1_796_032_800, 1_796_040_000));
        for place in 0..text.len() - 1 {
            let mut other = text.clone().into_bytes();
            other[place] ^= 1;
            assert!(Exception::read(&other, &keys).is_err(), "{place}");
        }
        let (_, somebody) = sign(&key(8), "d", all, "2026-11-30T10:00:00Z", "2026-11-30T12:00:00Z", "").unwrap();
        let others = [PublicKey::read(&somebody).unwrap()];
        assert_eq!(Exception::read(text.as_bytes(), &others), Err(Fault::Signature));
        assert_eq!(Exception::read(text.as_bytes(), &[]), Err(Fault::Signature));
        for other in [
            String::new(),
            text.replace("signature", "sign"),
            text.replace("signature: ", "signature: A"),
            "x".repeat(5000),
        ] {
            assert!(matches!(Exception::read(other.as_bytes(), &keys), Err(Fault::Malformed(_))), "{other}");
        }
        assert_eq!(Exception::read(text.replace("why", "for").as_bytes(), &keys), Err(Fault::Signature));
        let spki = encode_base64(&[SPKI.as_slice(), &keys[0].0].concat());
        assert_eq!(PublicKey::read(&spki).unwrap(), keys[0]);
        assert_eq!(PublicKey::read("AAAA"), None);
    }

    /// Scenario: times in the wrong order, two lines in a value, a key of another kind. Guarantees: nothing is signed that would not be read.
    #[test]
    fn nothing_is_signed_that_would_not_be_read() {
        let debug = Relaxed { debug: true, payloads: false };
        let (early, late) = ("2026-11-30T10:00:00Z", "2026-11-30T12:00:00Z");
        for (key, device, what, from, until, expected) in [
            (key(7), "d", debug, late, early, "a later until"),
            (key(7), "d", debug, "now", late, "a time is not like"),
            (key(7), "d", Relaxed::default(), early, late, "neither debug nor payloads"),
            (key(7), "", debug, early, late, "needs a device"),
            (key(7), "d\nwhat: payloads", debug, early, late, "more than one line"),
            ("key".to_owned(), "d", debug, early, late, "no Ed25519 key"),
        ] {
            let error = sign(&key, device, what, from, until, "").unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
