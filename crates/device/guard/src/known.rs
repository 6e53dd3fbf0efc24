//! What was looked at before, byte for byte: most attributes come again and again.

/// The longest that is remembered.
const LONGEST: usize = 88;

/// The places of a table that usually has 2 to the power of `usual`, as such a power.
pub(crate) fn places(usual: u32, small: bool) -> u32 {
    if small { usual - 2 } else { usual }
}

/// A bounded table of byte strings with what is known of each. A newer one takes the place of an older one.
#[derive(Debug, Clone)]
pub(crate) struct Known<T> {
    slots: Box<[Slot<T>]>,
}

#[derive(Debug, Clone, Copy)]
struct Slot<T> {
    bytes: [u8; LONGEST],
    length: u8,
    value: T,
}

impl<T: Copy + Default> Known<T> {
    /// A table of 2 to the power of `bits` places.
    pub(crate) fn new(bits: u32) -> Self {
        let slot = Slot { bytes: [0; LONGEST], length: 0, value: T::default() };
        Self { slots: vec![slot; 1 << bits].into_boxed_slice() }
    }

    /// What is known of these bytes.
    #[inline]
    pub(crate) fn get(&self, bytes: &[u8]) -> Option<T> {
        let slot = self.slots.get(self.place(bytes)?)?;
        (usize::from(slot.length) == bytes.len() && slot.length > 0 && same(&slot.bytes, bytes)).then_some(slot.value)
    }

    /// Remembers what is known of these bytes, where they are neither none nor too many.
    pub(crate) fn set(&mut self, bytes: &[u8], value: T) {
        let Some(slot) = self.place(bytes).and_then(|place| self.slots.get_mut(place)) else { return };
        let Some(place) = slot.bytes.get_mut(..bytes.len()) else { return };
        place.copy_from_slice(bytes);
        slot.length = bytes.len() as u8;
        slot.value = value;
    }

    /// The place of these bytes: by their length, their ends and their middle.
    #[inline]
    fn place(&self, bytes: &[u8]) -> Option<usize> {
        if bytes.len() > LONGEST {
            return None;
        }
        let mix = |hash: u64, word: u64| (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
        let hash = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                let middle = bytes.get(bytes.len() / 2 - 4..)?.first_chunk::<8>()?;
                mix(mix(mix(bytes.len() as u64, word(first)), word(middle)), word(last))
            }
            _ => mix(bytes.len() as u64, short(bytes)),
        };
        Some((hash >> 32) as usize & (self.slots.len() - 1))
    }
}

/// Fewer than eight bytes as a number.
fn short(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Whether the first bytes of a slot are these: their first and last bytes together are all of them, in sizes that compare at once.
#[inline]
fn same(slot: &[u8; LONGEST], bytes: &[u8]) -> bool {
    let Some(slot) = slot.get(..bytes.len()) else { return false };
    match bytes.len() {
        0..8 => short(slot) == short(bytes),
        8..=16 => same_ends::<8>(slot, bytes),
        17..=32 => same_ends::<16>(slot, bytes),
        33..=64 => same_ends::<32>(slot, bytes),
        _ => same_ends::<64>(slot, bytes),
    }
}

#[inline]
fn same_ends<const N: usize>(slot: &[u8], bytes: &[u8]) -> bool {
    slot.first_chunk::<N>() == bytes.first_chunk::<N>() && slot.last_chunk::<N>() == bytes.last_chunk::<N>()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: strings of all lengths, each with one byte changed. Guarantees: only what was set is known, to the last byte; what is too
    /// long is not kept, nor are no bytes (P10).
    #[test]
    fn only_what_was_set_is_known() {
        let mut known = Known::new(4);
        for length in 0..=LONGEST + 4 {
            let bytes: Vec<u8> = (0..length as u8).collect();
            known.set(&bytes, length);
            let kept = (1..=LONGEST).contains(&length);
            assert_eq!(known.get(&bytes), kept.then_some(length));
            for place in 0..length {
                let mut other = bytes.clone();
                other[place] ^= 0x80;
                assert_eq!(known.get(&other), None, "{length} {place}");
            }
        }
    }
}
