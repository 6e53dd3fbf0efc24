//! What was looked at before, byte for byte: most attributes come again and again.

/// The longest that is remembered.
const LONGEST: usize = 88;
/// Strings that share a place.
const WAYS: usize = 2;
/// Marks for each string that is remembered.
const MARKS: usize = 4;
/// One in so many is remembered when it comes first.
const AT_ONCE: u32 = 1024;

/// The strings of a table that usually has 2 to the power of `usual`, as such a power.
pub(crate) fn places(usual: u32, small: bool) -> u32 {
    if small { usual - 2 } else { usual }
}

/// A bounded table of byte strings with what is known of each. A newer one takes the place of one that was not asked about since the last
/// one came.
#[derive(Debug, Clone)]
pub(crate) struct Known<T> {
    places: Box<[[Slot<T>; WAYS]]>,
    /// Of what was seen once: a part of its hash, at a place that its hash says.
    marks: Box<[u8]>,
    /// How many were told to [`Known::set_again`].
    turn: u32,
}

#[derive(Debug, Clone, Copy)]
struct Slot<T> {
    bytes: [u8; LONGEST],
    /// None is remembered that is empty: zero fits nothing.
    length: u8,
    /// Whether it was asked about since another wanted its place.
    used: bool,
    value: T,
}

impl<T: Copy + Default> Known<T> {
    /// A table of 2 to the power of `bits` strings, at least two.
    pub(crate) fn new(bits: u32) -> Self {
        let slot = Slot { bytes: [0; LONGEST], length: 0, used: false, value: T::default() };
        let places = (1 << bits) / WAYS;
        Self {
            places: vec![[slot; WAYS]; places].into_boxed_slice(),
            marks: vec![0; MARKS << bits].into_boxed_slice(),
            turn: 0,
        }
    }

    /// Forgets all of them.
    pub(crate) fn forget(&mut self) {
        self.places.iter_mut().flatten().for_each(|slot| slot.length = 0);
        self.marks.fill(0);
    }

    /// What is known of these bytes: in sizes that compare at once, their first and last bytes together are all of them.
    #[inline(never)]
    pub(crate) fn get(&mut self, bytes: &[u8]) -> Option<&T> {
        match bytes.len() {
            17..=32 => self.find::<16>(bytes),
            33..=64 => self.find::<32>(bytes),
            8..=16 => self.find::<8>(bytes),
            1..8 => self.find::<0>(bytes),
            65..=LONGEST => self.find::<48>(bytes),
            _ => None,
        }
    }

    #[inline(always)]
    fn find<const N: usize>(&mut self, bytes: &[u8]) -> Option<&T> {
        let mask = self.places.len() - 1;
        let [first, second] = self.places.get_mut(hash(bytes)? as usize & mask)?;
        if first.is::<N>(bytes) {
            first.used = true;
            return Some(&first.value);
        }
        if second.is::<N>(bytes) {
            second.used = true;
            return Some(&second.value);
        }
        None
    }

    /// Remembers what is known of these bytes, where they are neither none nor too many.
    #[inline(never)]
    pub(crate) fn set(&mut self, bytes: &[u8], value: T) {
        let mask = self.places.len() - 1;
        let Some(place) = hash(bytes).and_then(|hash| self.places.get_mut(hash as usize & mask)) else { return };
        let is = |slot: &Slot<T>| slot.bytes.get(..slot.length.into()) == Some(bytes);
        let found = place.iter().position(is).or_else(|| place.iter().position(|slot| !slot.used));
        // Where both are in use the second one goes, and neither is in use until it is asked about again.
        if found.is_none() {
            place.iter_mut().for_each(|slot| slot.used = false);
        }
        let Some(slot) = place.get_mut(found.unwrap_or(WAYS - 1)) else { return };
        let Some(stored) = slot.bytes.get_mut(..bytes.len()) else { return };
        stored.copy_from_slice(bytes);
        slot.length = bytes.len() as u8;
        slot.used = true;
        slot.value = value;
    }

    /// Remembers what is known of these bytes when they come for the second time, so that what never comes again displaces nothing that
    /// does; and one in so many at once, as two that share a mark wipe out each other's.
    #[inline(always)]
    pub(crate) fn set_again(&mut self, bytes: &[u8], value: T) {
        let Some(hash) = hash(bytes) else { return };
        let place = (hash >> 32) as usize & (self.marks.len() - 1);
        let Some(mark) = self.marks.get_mut(place) else { return };
        let wanted = (hash >> 24) as u8;
        self.turn = self.turn.wrapping_add(1);
        if std::mem::replace(mark, wanted) == wanted || self.turn.is_multiple_of(AT_ONCE) {
            self.set(bytes, value);
        }
    }
}

impl<T> Slot<T> {
    /// Whether its bytes are these: at least `N` and at most twice as many, or fewer than eight where `N` is none.
    #[inline(always)]
    fn is<const N: usize>(&self, bytes: &[u8]) -> bool {
        if usize::from(self.length) != bytes.len() {
            return false;
        }
        let Some(own) = self.bytes.get(..bytes.len()) else { return false };
        match N {
            0 => few(own) == few(bytes),
            // More would be compared by a call.
            48 => {
                own.first_chunk::<32>() == bytes.first_chunk::<32>()
                    && own.last_chunk::<32>() == bytes.last_chunk::<32>()
                    && own.get(28..60).and_then(<[u8]>::first_chunk::<32>)
                        == bytes.get(28..60).and_then(<[u8]>::first_chunk::<32>)
            }
            _ => own.first_chunk::<N>() == bytes.first_chunk::<N>() && own.last_chunk::<N>() == bytes.last_chunk::<N>(),
        }
    }
}

/// A number for these bytes, by their ends; `None` for none and for too many. Whoever makes two strings with the same one
/// only makes them forgotten.
#[inline(always)]
fn hash(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > LONGEST {
        return None;
    }
    let word = |word: &[u8; 8]| u64::from_le_bytes(*word);
    let ends = |bytes: &[u8; 16]| {
        let ([first, second], _) = bytes.as_chunks::<8>() else { return (0, 0) };
        (word(first), word(second))
    };
    let (one, other) = match (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
        (Some(first), Some(last)) => {
            let (first, last) = (ends(first), ends(last));
            (first.0 ^ last.1.rotate_left(23), first.1 ^ last.0)
        }
        _ => match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) => (word(first), word(last)),
            _ => (few(bytes), 0),
        },
    };
    let mixed = one ^ other.rotate_left(29);
    let product = u128::from(mixed) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
    Some(product as u64 ^ (product >> 64) as u64)
}

/// Fewer than eight bytes of one length as a number.
#[inline(always)]
fn few(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        return u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
    }
    let at = |place: usize| u64::from(bytes.get(place).copied().unwrap_or(0));
    at(0) << 16 | at(bytes.len() / 2) << 8 | at(bytes.len().saturating_sub(1))
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
            assert_eq!(known.get(&bytes).copied(), kept.then_some(length));
            for place in 0..length {
                let mut other = bytes.clone();
                other[place] ^= 0x80;
                assert_eq!(known.get(&other), None, "{length} {place}");
            }
        }
    }

    /// Scenario: strings come once, then again; more come than there is place for. Guarantees: what came once is not remembered, what came
    /// twice is; what is set stands there once; what is asked about stays, and what is not goes.
    #[test]
    fn what_comes_again_is_remembered() {
        let mut known = Known::new(1);
        let all = |known: &mut Known<u8>| {
            [b"first".as_slice(), b"second", b"third", b"fourth"].map(|text| known.get(text).copied().unwrap_or(0))
        };
        known.set_again(b"first", 1);
        assert_eq!(all(&mut known), [0; 4]);
        known.set_again(b"first", 1);
        known.set(b"second", 2);
        known.set(b"second", 3);
        assert_eq!(all(&mut known), [1, 3, 0, 0]);
        // Both are in use: the second one goes.
        known.set(b"third", 4);
        assert_eq!(known.get(b"third"), Some(&4));
        known.set(b"fourth", 5);
        assert_eq!(all(&mut known), [0, 0, 4, 5]);
    }
}
