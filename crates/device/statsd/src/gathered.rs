//! What lines came to, series by series.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::line::{Kind, Line};
use crate::series::{BOUNDS, Key, Series, Value};
use crate::write::request;

/// What a series takes beside its key, bytes.
const EACH: usize = 160;
/// What a histogram takes beside that.
const BUCKETS: usize = (BOUNDS.len() + 1) * 8;
/// What a member of a set takes.
const MEMBER: usize = 16;

/// Why a value is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotTaken {
    /// It is no number.
    NoNumber,
    /// There is no room for another series, or another member of a set.
    NoRoom,
}

/// All series.
#[derive(Debug)]
pub struct Gathered {
    series: BTreeMap<Key, Series>,
    bytes: usize,
    most: usize,
}

impl Gathered {
    /// Nothing yet, within so many bytes.
    pub fn new(most: usize) -> Self {
        Self { series: BTreeMap::new(), bytes: 0, most }
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Takes a line in that came at this wall time, Unix nanoseconds: how many values were taken.
    ///
    /// # Errors
    /// [`NotTaken`] for its first value that is not: those behind it are not looked at.
    pub fn take(&mut self, line: &Line<'_>, wall_ns: u64) -> Result<u64, NotTaken> {
        let key = Key { name: line.name.into(), kind: line.kind, tags: sorted(line) };
        let mut taken = 0;
        for value in line.values() {
            self.value(&key, line, value, wall_ns)?;
            taken += 1;
        }
        Ok(taken)
    }

    fn value(&mut self, key: &Key, line: &Line<'_>, text: &str, wall_ns: u64) -> Result<(), NotTaken> {
        let number = match line.kind {
            Kind::Set => 0.0,
            _ => text.parse::<f64>().ok().filter(|number| number.is_finite()).ok_or(NotTaken::NoNumber)?,
        };
        if !self.series.contains_key(key) {
            let bytes = bytes_of(key);
            if self.bytes + bytes > self.most {
                return Err(NotTaken::NoRoom);
            }
            self.bytes += bytes;
            self.series.insert(key.clone(), Series { value: first(line.kind), start_ns: wall_ns, last_ns: wall_ns });
        }
        let Some(series) = self.series.get_mut(key) else { return Err(NotTaken::NoRoom) };
        series.last_ns = wall_ns;
        match &mut series.value {
            Value::Counter { sum, fell } => {
                *sum += number / line.rate;
                *fell |= number < 0.0;
            }
            Value::Gauge(value) if text.starts_with(['+', '-']) => *value += number,
            Value::Gauge(value) => *value = number,
            Value::Histogram { count, sum, buckets } => {
                // Each value stands for so many.
                let weight = (1.0 / line.rate).round().clamp(1.0, 1e9) as u64;
                let at = BOUNDS.iter().position(|bound| number <= *bound).unwrap_or(BOUNDS.len());
                *count = count.saturating_add(weight);
                *sum += number * weight as f64;
                buckets[at] = buckets[at].saturating_add(weight);
            }
            Value::Set(members) => {
                let member = FixedState::default().hash_one(text);
                if !members.contains(&member) {
                    if self.bytes + MEMBER > self.most {
                        return Err(NotTaken::NoRoom);
                    }
                    self.bytes += MEMBER;
                    members.insert(member);
                }
            }
        }
        Ok(())
    }

    /// Begins an interval: sets are empty, and series of which nothing came since this time, Unix nanoseconds, are given up.
    fn begin(&mut self, since_ns: u64) {
        let Self { series, bytes, .. } = self;
        series.retain(|key, series| {
            if let Value::Set(members) = &mut series.value {
                *bytes -= members.len() * MEMBER;
                *members = HashSet::default();
            }
            let stays = !series.is_idle(since_ns);
            if !stays {
                *bytes -= bytes_of(key);
            }
            stays
        });
    }

    /// Ends an interval at this wall time, Unix nanoseconds: the request with every series, and how many points it has. Series of which nothing
    /// came since `idle_ns` get a point without a value, and are given up.
    pub fn finish(&mut self, wall_ns: u64, idle_ns: u64, resource: &[(String, String)]) -> (Vec<u8>, u64) {
        let since = wall_ns.saturating_sub(idle_ns);
        let written = request(&self.series, wall_ns, since, resource);
        self.begin(since);
        written
    }
}

fn bytes_of(key: &Key) -> usize {
    let more = if matches!(key.kind, Kind::Timer | Kind::Histogram) { BUCKETS } else { 0 };
    EACH + key.name.len() + key.tags.len() + more
}

fn first(kind: Kind) -> Value {
    match kind {
        Kind::Counter => Value::Counter { sum: 0.0, fell: false },
        Kind::Gauge => Value::Gauge(0.0),
        Kind::Timer | Kind::Histogram => Value::Histogram { count: 0, sum: 0.0, buckets: Box::default() },
        Kind::Set => Value::Set(HashSet::default()),
    }
}

/// The tags of a line in one order, each key once: the first one counts.
fn sorted(line: &Line<'_>) -> Box<str> {
    let mut tags: Vec<(&str, &str)> = line.tags().collect();
    tags.sort_by_key(|(key, _)| *key);
    tags.dedup_by_key(|(key, _)| *key);
    let mut out = String::new();
    for text in tags.iter().flat_map(|(key, value)| [key, value]) {
        out.push_str(&text.replace('\0', ""));
        out.push('\0');
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use model::Signal;
    use model::otlp::inspect;

    use super::*;
    use crate::read_line;

    fn has(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    fn double(bytes: &[u8], value: f64) -> bool {
        has(bytes, &value.to_bits().to_le_bytes())
    }

    /// Scenario: values of every type over two intervals, with rates, signs and tags in any order, then nothing for long. Guarantees: counters
    /// and distributions grow on, gauges stay, sets are of their interval, and what is idle is said to have ended.
    #[test]
    fn values_are_gathered_by_interval() {
        let mut gathered = Gathered::new(1 << 16);
        let take = |gathered: &mut Gathered, text: &str, at: u64| {
            gathered.take(&read_line(text.as_bytes()).unwrap(), at).unwrap();
        };
        for text in [
            "n:2|c|@0.5|#b:1,a:2",
            "n:1|c|#a:2,b:1",
            "g:10|g",
            "g:-3|g",
            "g:+1|g",
            "t:320:7|ms|@0.1",
            "u:a|s",
            "u:b|s",
            "u:a|s",
        ] {
            take(&mut gathered, text, 1000);
        }
        let resource = [("service.name".to_owned(), "statsd".to_owned())];
        let (first, points) = gathered.finish(2000, 5000, &resource);
        assert!(inspect(Signal::Metrics, &first).unwrap().is_clean());
        assert_eq!((points, gathered.len()), (4, 4));
        assert!(double(&first, 5.0) && double(&first, 8.0) && double(&first, 2.0) && double(&first, 3270.0));
        assert!(has(&first, b"statsd") && has(&first, b"ms"));
        take(&mut gathered, "n:1|c|#a:2,b:1", 3000);
        take(&mut gathered, "u:c|s", 3000);
        let (second, _) = gathered.finish(4000, 5000, &resource);
        assert!(double(&second, 6.0) && double(&second, 8.0) && double(&second, 1.0));
        let (last, points) = gathered.finish(20_000, 5000, &resource);
        assert_eq!((points, gathered.len()), (4, 0));
        assert!(has(&last, &[0x40, 1]) && inspect(Signal::Metrics, &last).unwrap().is_clean());
        assert_eq!(gathered.finish(30_000, 5000, &resource), (Vec::new(), 0));
    }

    /// Scenario: ever new series and members of a set, and values that are none. Guarantees: memory stays within its bound, what has no room is
    /// refused, and what is given up makes room again (P9).
    #[test]
    fn series_are_bounded() {
        let mut gathered = Gathered::new(4000);
        let mut refused = 0;
        for number in 0..100 {
            let text = format!("metric.{number}:1|c");
            refused += u64::from(gathered.take(&read_line(text.as_bytes()).unwrap(), 10) == Err(NotTaken::NoRoom));
        }
        assert!(refused > 70 && gathered.len() == 100 - refused as usize);
        let bad = read_line(b"metric.1:1:x|c").unwrap();
        assert_eq!(gathered.take(&bad, 10), Err(NotTaken::NoNumber));
        gathered.finish(1000, 10, &[]);
        let mut members = 0;
        for number in 0..1000 {
            members += u64::from(gathered.take(&read_line(format!("u:{number}|s").as_bytes()).unwrap(), 2000).is_ok());
        }
        assert!((200..300).contains(&members), "{members}");
        gathered.finish(3000, 5000, &[]);
        assert!(gathered.take(&read_line(b"v:1|s").unwrap(), 4000).is_ok());
    }
}
