//! A chunk: at most [`MAX_POINTS`] points of one series. Its times are bytes of their own, so that series which are
//! collected together share them, and so that a reader that wants no values reads none.

use crate::Damaged;
use crate::bytes::{Cursor, MAX_ELEMENTS, put_varint};
use crate::column::{ints, put_ints};
use crate::points::Values;

/// Most points of one chunk.
pub const MAX_POINTS: usize = 1024;

/// Points of one series, in the order of their times.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// Nanoseconds since the Unix epoch.
    pub times: Vec<u64>,
    /// When the counting of each began; 0 where it is not known. As many as times.
    pub starts: Vec<u64>,
    /// OTLP's flags of each point. As many as times.
    pub flags: Vec<u64>,
    /// The place of each point's frame in the order of intake, where one pack mixes what others may still contradict.
    pub orders: Option<Vec<u64>>,
    /// As many as times.
    pub values: Values,
}

/// Starts are the times of the points before, as deltas have them.
const BEFORE: u8 = 1;
/// Starts are a column.
const COLUMN: u8 = 0;
const WITH_ORDERS: u8 = 0x10;

impl Chunk {
    /// One without points.
    pub fn empty() -> Self {
        let values = Values::Numbers(Vec::new());
        Self { times: Vec::new(), starts: Vec::new(), flags: Vec::new(), orders: None, values }
    }

    /// How many points it has.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Only the points of `[from, to)`.
    pub fn clip(self, from: u64, to: u64) -> Self {
        let first = self.times.partition_point(|time| *time < from);
        let end = self.times.partition_point(|time| *time < to).max(first);
        if end - first == self.len() { self } else { self.slice(first, end) }
    }

    /// The points at places `from..to`, which must be inside.
    fn slice(&self, from: usize, to: usize) -> Self {
        Self {
            times: self.times[from..to].to_vec(),
            starts: self.starts[from..to].to_vec(),
            flags: self.flags[from..to].to_vec(),
            orders: self.orders.as_ref().map(|orders| orders[from..to].to_vec()),
            values: self.values.slice(from, to),
        }
    }

    /// Cuts it into chunks of about one length that may be written.
    pub(crate) fn split(self) -> Vec<Self> {
        let each = self.len().div_ceil(self.len().div_ceil(MAX_POINTS).max(1)).max(1);
        let mut pieces = Vec::new();
        let (mut from, mut elements) = (0, 0);
        for at in 0..self.len() {
            let more = self.values.elements(at);
            if at > from && (at - from == each || elements + more > MAX_ELEMENTS) {
                pieces.push((from, at));
                (from, elements) = (at, 0);
            }
            elements += more;
        }
        if from == 0 {
            return vec![self];
        }
        pieces.push((from, self.len()));
        pieces.into_iter().map(|(from, to)| self.slice(from, to)).collect()
    }

    /// Writes its times.
    pub(crate) fn put_times(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        put_ints(out, &self.times);
    }

    /// Writes everything but its times.
    pub(crate) fn put_values(&self, out: &mut Vec<u8>) {
        out.push(self.values.kind() | if self.orders.is_some() { WITH_ORDERS } else { 0 });
        put_ints(out, &self.flags);
        let is_before = self.starts.iter().skip(1).eq(self.times.iter().take(self.len().saturating_sub(1)));
        out.push(if is_before { BEFORE } else { COLUMN });
        put_ints(out, if is_before { self.starts.get(..1).unwrap_or_default() } else { &self.starts });
        if let Some(orders) = &self.orders {
            put_ints(out, orders);
        }
        self.values.put(out);
    }

    /// Reads the times of a chunk.
    ///
    /// # Errors
    /// [`Damaged`] when these bytes are no times.
    pub fn read_times(bytes: &[u8]) -> Result<Vec<u64>, Damaged> {
        let mut cursor = Cursor(bytes);
        let count = cursor.size()?;
        if count == 0 || count > MAX_POINTS {
            return Err(Damaged("a chunk of a wrong number of points"));
        }
        let times = ints(&mut cursor, count)?;
        if cursor.is_empty() { Ok(times) } else { Err(Damaged("bytes after the times")) }
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// [`Damaged`] when these bytes are no chunk.
    pub fn read(times: &[u8], values: &[u8]) -> Result<Self, Damaged> {
        let times = Self::read_times(times)?;
        let count = times.len();
        let mut cursor = Cursor(values);
        let form = cursor.byte()?;
        let flags = ints(&mut cursor, count)?;
        let starts = match cursor.byte()? {
            COLUMN => ints(&mut cursor, count)?,
            BEFORE => {
                let mut starts = ints(&mut cursor, 1)?;
                starts.extend_from_slice(&times[..count - 1]);
                starts
            }
            _ => return Err(Damaged("starts of an unknown form")),
        };
        let orders = if form & WITH_ORDERS == 0 { None } else { Some(ints(&mut cursor, count)?) };
        let values = Values::read(&mut cursor, form & !WITH_ORDERS, count)?;
        if !cursor.is_empty() {
            return Err(Damaged("bytes after the points"));
        }
        Ok(Self { times, starts, flags, orders, values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::points::{Buckets, Exponential, Histogram, Number, Summary};

    /// Rising and repeatable.
    struct Random(u64);

    impl Random {
        fn next(&mut self, below: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % below
        }

        fn float(&mut self) -> f64 {
            match self.next(4) {
                0 => f64::from_bits(self.next(u64::MAX)),
                1 => self.next(10_000) as f64 / 100.0,
                2 => self.next(100) as f64,
                _ => 1.0,
            }
        }

        fn maybe(&mut self, is_even: bool) -> Option<f64> {
            (is_even || self.next(3) > 0).then(|| self.float())
        }

        fn counts(&mut self, is_even: bool) -> Vec<u64> {
            (0..if is_even { 4 } else { self.next(6) }).map(|_| self.next(1 << 40)).collect()
        }

        fn values(&mut self, kind: u64, count: usize, is_even: bool) -> Values {
            match kind {
                0 => Values::Numbers((0..count).map(|_| self.number(is_even)).collect()),
                1 => Values::Histograms((0..count).map(|_| self.histogram(is_even)).collect()),
                2 => Values::Exponentials((0..count).map(|_| self.exponential(is_even)).collect()),
                _ => Values::Summaries((0..count).map(|_| self.summary(is_even)).collect()),
            }
        }

        fn number(&mut self, is_even: bool) -> Number {
            match if is_even { 1 } else { self.next(3) } {
                0 => Number::None,
                1 => Number::Int(self.next(u64::MAX) as i64),
                _ => Number::Float(self.float()),
            }
        }

        fn histogram(&mut self, is_even: bool) -> Histogram {
            let buckets = self.counts(is_even);
            Histogram {
                count: self.next(1 << 50),
                sum: self.maybe(is_even),
                min: self.maybe(is_even),
                max: self.maybe(is_even),
                bounds: (1..buckets.len()).map(|at| at as f64).collect(),
                buckets,
            }
        }

        fn exponential(&mut self, is_even: bool) -> Exponential {
            let side = |random: &mut Self| {
                let offset = random.next(1 << 32) as i32;
                (is_even || random.next(2) > 0).then(|| Buckets { offset, counts: random.counts(is_even) })
            };
            Exponential {
                count: self.next(u64::MAX),
                sum: self.maybe(is_even),
                min: self.maybe(is_even),
                max: self.maybe(is_even),
                scale: self.next(40) as i32 - 20,
                zero_count: self.next(9),
                zero_threshold: self.float(),
                positive: side(self),
                negative: side(self),
            }
        }

        fn summary(&mut self, is_even: bool) -> Summary {
            let count = if is_even { 3 } else { self.next(5) };
            let quantiles = (0..count).map(|_| (self.float(), self.float())).collect();
            Summary { count: self.next(99), sum: self.float(), quantiles }
        }

        fn chunk(&mut self, count: usize) -> Chunk {
            let (kind, is_even) = (self.next(4), self.next(2) == 0);
            let mut time = self.next(u64::MAX);
            let times: Vec<u64> = (0..count)
                .map(|_| {
                    time = time.wrapping_add(1 + self.next(1 << 34));
                    time
                })
                .collect();
            let starts = match self.next(3) {
                0 => vec![self.next(u64::MAX); count],
                1 => std::iter::once(7).chain(times.iter().copied().take(count - 1)).collect(),
                _ => (0..count).map(|_| self.next(u64::MAX)).collect(),
            };
            let flags = (0..count).map(|_| self.next(2) & self.next(2)).collect();
            let orders = (self.next(2) == 0).then(|| (0..count).map(|_| self.next(1 << 30)).collect());
            Chunk { values: self.values(kind, count, is_even), times, starts, flags, orders }
        }
    }

    fn bits(chunk: &Chunk) -> String {
        // NaNs differ from themselves; their text and their bits in it do not matter here beyond that they are NaN.
        format!("{chunk:?}")
    }

    fn written(chunk: &Chunk) -> (Vec<u8>, Vec<u8>) {
        let (mut times, mut values) = (Vec::new(), Vec::new());
        chunk.put_times(&mut times);
        chunk.put_values(&mut values);
        (times, values)
    }

    /// Scenario: 1,000 chunks of random points of every kind, of rows of one and of many lengths. Guarantees: what is
    /// written is what is read.
    #[test]
    fn chunks_come_back() {
        let mut random = Random(0x5eed);
        for _ in 0..1_000 {
            let count = 1 + random.next(70) as usize;
            let chunk = random.chunk(count);
            let (times, values) = written(&chunk);
            assert_eq!(bits(&Chunk::read(&times, &values).unwrap()), bits(&chunk));
        }
    }

    /// Scenario: a chunk of more points than one may have, and one whose rows are very wide. Guarantees: the pieces are of
    /// about one length, may be written, and are the chunk.
    #[test]
    fn long_chunks_are_cut() {
        let mut random = Random(3);
        let long = Chunk { values: Values::Numbers(vec![Number::Int(1); 2880]), ..random.chunk(2880) };
        let pieces = long.clone().split();
        assert_eq!(pieces.iter().map(Chunk::len).collect::<Vec<_>>(), [960, 960, 960]);
        assert_eq!(pieces.iter().flat_map(|piece| piece.times.clone()).collect::<Vec<_>>(), long.times);
        let wide = Histogram { buckets: vec![1; MAX_ELEMENTS + 5], ..Histogram::default() };
        let wide = Chunk { values: Values::Histograms(vec![wide; 3]), ..random.chunk(3) };
        let pieces = wide.split();
        assert_eq!(pieces.len(), 3);
        let (times, values) = written(&pieces[0]);
        assert_eq!(Chunk::read(&times, &values).unwrap(), pieces[0]);
    }

    /// Scenario: every byte of small chunks of every kind changed in turn, in three ways, and every beginning of them.
    /// Guarantees: no panic; what can be read has as many values as times.
    #[test]
    fn changed_bytes_do_not_panic() {
        let mut random = Random(11);
        for _ in 0..20 {
            let count = 1 + random.next(40) as usize;
            let (times, values) = written(&random.chunk(count));
            for at in 0..values.len() {
                for change in [1, 0x80, 0xff] {
                    let mut changed = values.clone();
                    changed[at] ^= change;
                    if let Ok(read) = Chunk::read(&times, &changed) {
                        assert_eq!((read.values.len(), read.starts.len()), (read.times.len(), read.times.len()));
                    }
                }
                assert!(Chunk::read(&times, &values[..at]).is_err());
            }
            for at in 0..times.len() {
                let mut changed = times.clone();
                changed[at] ^= 0x11;
                let _may_be_read = Chunk::read(&changed, &values);
            }
        }
    }
}
