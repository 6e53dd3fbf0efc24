//! Seeded random numbers: xoshiro256++ (Blackman and Vigna), its state filled by splitmix64. The same seed gives the
//! same plan on every machine, so that a failed run can be run again.

/// A generator of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Rng {
    state: [u64; 4],
}

impl Rng {
    /// The generator for one purpose: runs with one `seed` draw different numbers for different `stream`s.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut mixer = seed ^ splitmix(&mut { stream });
        Self { state: std::array::from_fn(|_| splitmix(&mut mixer)) }
    }

    /// 64 random bits.
    pub(crate) fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number in `[low, high]`, each as likely (to within 2^-64 of the range).
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let width = u128::from(high.saturating_sub(low)) + 1;
        let scaled = (u128::from(self.bits()) * width) >> 64;
        low + u64::try_from(scaled).unwrap_or(0)
    }

    /// True in `share` of all cases, 0.0 to 1.0.
    pub(crate) fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// A number in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Random bytes that are not all zero, as ids must be.
    pub(crate) fn id<const N: usize>(&mut self) -> [u8; N] {
        loop {
            let mut id = [0; N];
            for chunk in id.chunks_mut(8) {
                chunk.copy_from_slice(&self.bits().to_be_bytes()[..chunk.len()]);
            }
            if id != [0; N] {
                return id;
            }
        }
    }
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two generators of one seed and stream, and one of another stream. Guarantees: the first two agree, the
    /// third does not, and ranges keep their ends.
    #[test]
    fn a_seed_and_a_stream_name_one_row_of_numbers() {
        let row = |stream| {
            let mut rng = Rng::new(7, stream);
            (0..64).map(|_| rng.bits()).collect::<Vec<_>>()
        };
        assert_eq!(row(1), row(1));
        assert_ne!(row(1), row(2));
        let mut rng = Rng::new(7, 3);
        let drawn: Vec<u64> = (0..10_000).map(|_| rng.between(3, 6)).collect();
        for number in 3..=6 {
            let times = drawn.iter().filter(|drawn| **drawn == number).count();
            assert!((2_000..3_000).contains(&times), "{number} came {times} times");
        }
        assert!(drawn.iter().all(|number| (3..=6).contains(number)));
    }
}
