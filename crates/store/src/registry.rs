//! What the store knows of devices: numbers, claims, gaps, coverage, counters. In memory, rebuilt at start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Epoch, Lane};
use prost::Message;

use crate::coverage::LostSpan;
use crate::db::{Db, for_each_row};
use crate::error::StoreError;
use crate::ids::{DeviceNumber, FrameKey, Stream};
use crate::intervals::IntervalSet;
use crate::proto::{ClaimsRow, Counters, DeviceRow, GapRow};

/// What is claimed of one stream.
#[derive(Debug, Default, Clone)]
pub(crate) struct Claims {
    /// Sequences whose frames are stored (or were, and went with retention).
    pub(crate) stored: IntervalSet,
    /// Sequences declared lost; a stored frame overrides it.
    pub(crate) gaps: IntervalSet,
}

impl Claims {
    /// The smallest sequence that is neither stored nor declared lost; sequences begin at 1.
    pub(crate) fn next_expected(&self) -> u64 {
        let mut next = 1;
        loop {
            let after = self.gaps.next_missing(self.stored.next_missing(next));
            if after == next {
                return next;
            }
            next = after;
        }
    }
}

/// A gap record with its place.
#[derive(Debug, Clone)]
pub(crate) struct StoredGap {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) span: LostSpan,
}

/// Devices by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    devices: BTreeMap<DeviceNumber, DeviceRow>,
    names: HashMap<Arc<str>, DeviceNumber>,
    pub(crate) claims: BTreeMap<Stream, Claims>,
    pub(crate) gaps: BTreeMap<Stream, Vec<StoredGap>>,
    /// Devices whose row in memory is newer than the one on disk.
    pub(crate) dirty: BTreeSet<DeviceNumber>,
}

/// The key of a gap record.
pub(crate) fn gap_key(stream: Stream, first: u64, last: u64) -> Vec<u8> {
    let mut key = stream.to_bytes().to_vec();
    key.extend_from_slice(&first.to_be_bytes());
    key.extend_from_slice(&last.to_be_bytes());
    key
}

impl Registry {
    /// Reads devices, claims of packed frames and gaps; the claims of heads are added by the caller.
    pub(crate) fn load(db: &Db) -> Result<Self, StoreError> {
        let mut registry = Self::default();
        for_each_row(&db.devices, |key, value| {
            let row = DeviceRow::decode(value)
                .map_err(|error| StoreError::Row { keyspace: "devices", what: format!("key {key:02x?}: {error}") })?;
            registry.names.insert(Arc::from(row.name.as_str()), DeviceNumber(row.number));
            registry.devices.insert(DeviceNumber(row.number), row);
            Ok(())
        })?;
        for_each_row(&db.claims, |key, value| {
            let broken = |what: String| StoreError::Row { keyspace: "claims", what };
            let stream = Stream::from_bytes(key).ok_or_else(|| broken(format!("key {key:02x?} is no stream")))?;
            let row = ClaimsRow::decode(value).map_err(|error| broken(error.to_string()))?;
            let runs = row.runs.chunks_exact(2).map(|run| (run[0], run[1]));
            registry.claims.entry(stream).or_default().stored = runs.collect();
            Ok(())
        })?;
        for_each_row(&db.gaps, |key, value| {
            let broken = |what: String| StoreError::Row { keyspace: "gaps", what };
            let parts = key.split_at_checked(Stream::LEN).and_then(|(stream, rest)| {
                let (first, last) = rest.split_at_checked(8)?;
                let first = u64::from_be_bytes(first.try_into().ok()?);
                Some((Stream::from_bytes(stream)?, first, u64::from_be_bytes(last.try_into().ok()?)))
            });
            let (stream, first, last) = parts.ok_or_else(|| broken(format!("key {key:02x?} is no gap")))?;
            let row = GapRow::decode(value).map_err(|error| broken(error.to_string()))?;
            registry.add_gap(stream, first, last, row);
            Ok(())
        })?;
        Ok(registry)
    }

    /// Takes claims and gaps as the disk has them; what is known of devices stays, and is to be written again.
    pub(crate) fn replace_claims(&mut self, fresh: Self) {
        self.claims = fresh.claims;
        self.gaps = fresh.gaps;
        self.dirty = self.devices.keys().copied().collect();
    }

    /// The number of a device, given out now if it is new.
    pub(crate) fn number(&mut self, name: &Arc<str>) -> DeviceNumber {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let next = self.devices.keys().next_back().map_or(1, |last| last.0 + 1);
        let number = DeviceNumber(next);
        self.names.insert(Arc::clone(name), number);
        self.devices.insert(number, DeviceRow { number: next, name: name.to_string(), ..DeviceRow::default() });
        number
    }

    pub(crate) fn find(&self, name: &str) -> Option<DeviceNumber> {
        self.names.get(name).copied()
    }

    pub(crate) fn device(&self, number: DeviceNumber) -> Option<&DeviceRow> {
        self.devices.get(&number)
    }

    /// The device's row, which counts as changed from now on.
    pub(crate) fn device_mut(&mut self, number: DeviceNumber) -> Option<&mut DeviceRow> {
        self.dirty.insert(number);
        self.devices.get_mut(&number)
    }

    /// The device's counters, which count as changed from now on.
    pub(crate) fn counters(&mut self, number: DeviceNumber) -> Option<&mut Counters> {
        self.device_mut(number).map(|device| device.counters.get_or_insert_default())
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = &DeviceRow> {
        self.devices.values()
    }

    /// Where the hub waits in a stream.
    pub(crate) fn next_expected(&self, number: DeviceNumber, epoch: Epoch, lane: Lane) -> u64 {
        self.claims.get(&Stream { device: number, epoch, lane }).map_or(1, Claims::next_expected)
    }

    /// Claims a frame's identity.
    pub(crate) fn claim(&mut self, key: FrameKey) {
        self.claims.entry(key.stream).or_default().stored.insert(key.seq);
    }

    /// Takes in a gap record. The same one twice is one, and a longer one tells again what the shorter ones in it told: a
    /// device whose gap record was itself lost joins it with the next.
    pub(crate) fn add_gap(&mut self, stream: Stream, first: u64, last: u64, row: GapRow) {
        let gaps = self.gaps.entry(stream).or_default();
        if gaps.iter().any(|gap| gap.first <= first && last <= gap.last) {
            return;
        }
        gaps.retain(|gap| gap.first > gap.last || gap.first < first || last < gap.last);
        let GapRow { reason, records, start_ns, end_ns } = row;
        gaps.push(StoredGap {
            first,
            last,
            span: LostSpan { lane: stream.lane, signal: None, start_ns, end_ns, reason, records },
        });
        self.claims.entry(stream).or_default().gaps.insert_range(first, last);
    }

    /// The losses of one device that are not overridden by frames that came after all.
    pub(crate) fn losses(&self, number: DeviceNumber) -> Vec<LostSpan> {
        let of_device = self.gaps.iter().filter(|(stream, _)| stream.device == number);
        of_device
            .flat_map(|(stream, gaps)| {
                let stored = self.claims.get(stream).map(|claims| &claims.stored);
                gaps.iter().filter(move |gap| {
                    gap.first > gap.last || stored.is_none_or(|stored| stored.next_missing(gap.first) <= gap.last)
                })
            })
            .map(|gap| gap.span.clone())
            .collect()
    }

    /// Moves the frontiers of a device's lanes to what is stored.
    pub(crate) fn advance(&mut self, number: DeviceNumber) {
        let Some(device) = self.devices.get(&number) else { return };
        let epoch = Epoch(device.epoch);
        let reached: Vec<(Lane, u64)> = device
            .lanes
            .iter()
            .filter_map(|row| Lane::from_number(u64::from(row.lane)))
            .map(|lane| (lane, self.next_expected(number, epoch, lane)))
            .collect();
        if let Some(device) = self.devices.get_mut(&number) {
            for (lane, next) in reached {
                if let Some(row) = device.lane_mut(lane) {
                    row.advance(next);
                }
            }
        }
    }
}
