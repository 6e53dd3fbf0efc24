//! Consistent probability (OpenTelemetry "TraceState: probability sampling", Development): thresholds and randomness of 56
//! bits, and the older hash of the `tail_sampling` processor.

use model::TraceId;

/// 2^56: one more than the largest randomness, and the threshold that lets nothing through.
pub const NEVER: u64 = 1 << 56;
/// The threshold that lets everything through.
pub const ALWAYS: u64 = 0;

/// The salt of the processor where the configuration has none.
pub const DEFAULT_SALT: &str = "default-hash-seed";

/// The threshold of a probability: what has at least so much randomness is kept.
pub fn threshold(probability: f64) -> u64 {
    if probability >= 1.0 {
        return ALWAYS;
    }
    let scaled = (probability * NEVER as f64).round() as u64;
    NEVER - scaled.min(NEVER)
}

/// The probability of a threshold.
pub fn probability(threshold: u64) -> f64 {
    (NEVER - threshold.min(NEVER)) as f64 / NEVER as f64
}

/// The randomness of a trace without an explicit one: the last 7 bytes of its id.
pub fn randomness(trace: &TraceId) -> u64 {
    trace.0[9..].iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The largest FNV-1a hash that a share of traces (0 to 1) has. In 128 bits, so that a full share is the full range.
pub(crate) fn hash_bound(share: f64) -> u64 {
    // 53 bits of the share times 2^64 - 1, as the processor computes it: exactly, cut below the point.
    if share >= 1.0 {
        return u64::MAX;
    }
    if share <= 0.0 {
        return 0;
    }
    let bits = share.to_bits();
    let exponent = (bits >> 52) as i32 - 1075;
    let mantissa = u128::from((bits & ((1 << 52) - 1)) | 1 << 52);
    // Big floats of Go have 64 bits of precision here: the product is rounded to 64 significant bits, to even.
    let product = mantissa * u128::from(u64::MAX);
    let excess = (128 - product.leading_zeros()).saturating_sub(64);
    let mut kept = product >> excess;
    let rest = product & ((1 << excess) - 1);
    let half = (1u128 << excess) >> 1;
    if excess > 0 && (rest > half || (rest == half && kept & 1 == 1)) {
        kept += 1;
    }
    let shift = excess as i32 + exponent;
    let whole = match u32::try_from(-shift) {
        Ok(right) if right < 128 => kept >> right,
        Ok(_) => 0,
        Err(_) => kept << shift.unsigned_abs(),
    };
    u64::try_from(whole).unwrap_or(u64::MAX)
}

/// FNV-1a with 64 bits of the salt, then the trace id.
pub(crate) fn hash(salt: &[u8], trace: &TraceId) -> u64 {
    salt.iter()
        .chain(&trace.0)
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What a `tracestate` says of sampling, in its `ot` member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OtState {
    /// `rv`: explicit randomness, 56 bits.
    pub randomness: Option<u64>,
    /// `th`: the threshold that was applied so far.
    pub threshold: Option<u64>,
}

/// The members of a `tracestate` (W3C Trace Context section 3.3): keys and values without the blanks around them.
pub(crate) fn members(state: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    state.split(|byte| *byte == b',').filter_map(|member| {
        let member = member.trim_ascii();
        let middle = member.iter().position(|byte| *byte == b'=')?;
        Some((&member[..middle], &member[middle + 1..]))
    })
}

fn hex(text: &[u8]) -> Option<u64> {
    let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let text = text.iter().all(lower).then(|| std::str::from_utf8(text).ok())??;
    u64::from_str_radix(text, 16).ok()
}

impl OtState {
    /// Reads it. What is not as the specification has it is taken as not there.
    pub fn read(state: &[u8]) -> Self {
        let mut read = Self::default();
        let Some((_, value)) = members(state).find(|(key, _)| *key == b"ot") else { return read };
        for field in value.split(|byte| *byte == b';') {
            match field.split_at_checked(3) {
                Some((b"rv:", digits)) if digits.len() == 14 => read.randomness = hex(digits),
                // Trailing zeros are left out: put them back.
                Some((b"th:", digits)) if (1..=14).contains(&digits.len()) => {
                    read.threshold = hex(digits).map(|value| value << (4 * (14 - digits.len())));
                }
                _ => {}
            }
        }
        read
    }
}

/// The `tracestate` with its `th` raised to a threshold. `None` where it stays as it is: it has a stricter one already, or
/// it would grow beyond what the specification allows.
pub fn with_threshold(state: &[u8], threshold: u64) -> Option<Vec<u8>> {
    let old = OtState::read(state).threshold;
    if threshold >= NEVER || old.is_some_and(|old| old >= threshold) {
        return None;
    }
    let mut ot = b"ot=th:".to_vec();
    let digits = format!("{threshold:014x}");
    let digits = digits.trim_end_matches('0');
    ot.extend_from_slice(if digits.is_empty() { b"0" } else { digits.as_bytes() });
    for (_, value) in members(state).filter(|(key, _)| *key == b"ot") {
        for field in value.split(|byte| *byte == b';').filter(|field| !field.starts_with(b"th:") && !field.is_empty()) {
            ot.push(b';');
            ot.extend_from_slice(field);
        }
    }
    // A changed member moves to the front (W3C Trace Context section 3.5).
    for (key, value) in members(state).filter(|(key, _)| *key != b"ot").take(31) {
        ot.push(b',');
        ot.extend_from_slice(key);
        ot.push(b'=');
        ot.extend_from_slice(value);
    }
    (ot.len() <= state.len().max(512)).then_some(ot)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: the specification's examples. Guarantees: 25 % is `th:c`, 1 % about `th:fd70a4`, everything `th:0`.
    #[test]
    fn thresholds_are_those_of_the_specification() {
        assert_eq!(threshold(0.25), 0xc0_0000_0000_0000);
        assert_eq!(threshold(0.01) >> 32, 0xfd_70a3);
        assert_eq!((threshold(1.0), threshold(2.0), threshold(0.0)), (ALWAYS, ALWAYS, NEVER));
        assert!((probability(threshold(0.1)) - 0.1).abs() < 1e-15);
        let mut id = [0; 16];
        id[8..].copy_from_slice(&[0xff, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(randomness(&TraceId(id)), 0x102, "the last 7 bytes");
    }

    /// Scenario: tracestates with and without `ot`, malformed, and with other members.
    /// Guarantees: what is there is read; `th` is raised, never lowered; `rv` and other members stay.
    #[test]
    fn tracestate_is_read_and_written() {
        let state = b"vendor=a:b, ot=rv:00000000000001;th:8;xy:1 ,other=2";
        let read = OtState::read(state);
        assert_eq!(read, OtState { randomness: Some(1), threshold: Some(0x80_0000_0000_0000) });
        let raised = with_threshold(state, threshold(0.25)).unwrap();
        assert_eq!(raised, b"ot=th:c;rv:00000000000001;xy:1,vendor=a:b,other=2");
        assert_eq!(with_threshold(state, threshold(0.75)), None, "never lowered");
        assert_eq!(with_threshold(b"", ALWAYS).unwrap(), b"ot=th:0");
        assert_eq!(with_threshold(b"", NEVER), None);
        for bad in
            [&b"ot=rv:1;th:"[..], b"ot=rv:0000000000000g;th:000000000000000", b"ot", b"=", b"ot=th:C", b"\xff,,="]
        {
            assert_eq!(OtState::read(bad), OtState::default());
        }
    }

    /// Scenario: FNV-1a of published vectors. Guarantees: the hash is FNV-1a; bounds are the shares of its range.
    #[test]
    fn the_hash_is_the_processors() {
        let empty = TraceId([0; 16]);
        let of_zeros = (0..16).fold(0xcbf2_9ce4_8422_2325u64, |hash, _| hash.wrapping_mul(0x100_0000_01b3));
        assert_eq!(hash(b"", &empty), of_zeros);
        assert_eq!(hash_bound(1.0), u64::MAX);
        assert_eq!(hash_bound(0.5), u64::MAX / 2);
        assert_eq!(hash_bound(0.0), 0);
        assert_eq!(hash_bound(0.25), u64::MAX / 4);
        let tenth = hash_bound(0.1) as f64 / u64::MAX as f64;
        assert!((tenth - 0.1).abs() < 1e-15, "{tenth}");
    }
}
