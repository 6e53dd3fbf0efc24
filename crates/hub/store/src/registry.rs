//! What the store knows of devices: numbers, claims, gaps, coverage, counters. In memory, rebuilt at start.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{Epoch, Lane};
use prost::Message;

use crate::coverage::{Contact, DeviceRow, LostSpan};
use crate::db::{Db, for_each_row};
use crate::error::StoreError;
use crate::gaps::Gaps;
use crate::ids::{DeviceNumber, FrameKey, Stream};
use crate::intervals::IntervalSet;
use crate::proto::{ClaimsRow, Counters, GapRow};

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

/// What is known of one device, taken out of the registry, so that nobody waits while it is looked at.
pub(crate) struct Portrait {
    pub(crate) row: DeviceRow,
    gaps: Vec<(Arc<Gaps>, Option<IntervalSet>)>,
    /// Whether two agents say hello under this name.
    pub(crate) is_double: bool,
}

impl Portrait {
    /// The losses that are not overridden by frames that came after all.
    pub(crate) fn losses(&self) -> Vec<LostSpan> {
        let losses = self.gaps.iter().flat_map(|(gaps, stored)| gaps.losses(stored.as_ref()));
        losses.cloned().collect()
    }
}

/// How a name stands with the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It has a number.
    Yes,
    /// It got one now.
    New,
    /// There are as many devices as there may be.
    Full,
}

/// The epochs that said hello under one name, with the hub's clock at the last one of each; the newest last.
#[derive(Debug, Default)]
struct Lives(Vec<(u64, u64)>);

/// Epochs that are remembered of a name.
const MOST_LIVES: usize = 8;

impl Lives {
    /// Notes a hello; whether another epoch said one after this epoch's last: then both are alive.
    fn hello(&mut self, epoch: u64, now_ns: u64) -> bool {
        let known = self.0.iter().position(|(other, _)| *other == epoch);
        let is_double = known.is_some_and(|place| place + 1 < self.0.len());
        if let Some(place) = known {
            self.0.remove(place);
        }
        self.0.push((epoch, now_ns));
        if self.0.len() > MOST_LIVES {
            self.0.remove(0);
        }
        is_double
    }
}

/// Devices by number and by name.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    devices: BTreeMap<DeviceNumber, DeviceRow>,
    names: HashMap<Arc<str>, DeviceNumber>,
    pub(crate) claims: BTreeMap<Stream, Claims>,
    pub(crate) gaps: BTreeMap<Stream, Arc<Gaps>>,
    lives: HashMap<DeviceNumber, Lives>,
    /// When two epochs were last seen alive under one name, by the hub's clock.
    doubles: HashMap<DeviceNumber, u64>,
    /// Devices whose row in memory is newer than the one on disk.
    pub(crate) dirty: BTreeSet<DeviceNumber>,
}

/// How long two agents under one name are told after the last sign of both.
const DOUBLE_NS: u64 = 600_000_000_000;

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

    /// Takes in a gap record.
    pub(crate) fn add_gap(&mut self, stream: Stream, first: u64, last: u64, row: GapRow) {
        let GapRow { reason, records, start_ns, end_ns } = row;
        let span = LostSpan { lane: stream.lane, signal: None, start_ns, end_ns, reason: reason.into(), records };
        if Arc::make_mut(self.gaps.entry(stream).or_default()).add(first, last, span) {
            self.claims.entry(stream).or_default().gaps.insert_range(first, last);
        }
    }

    /// The numbers of all devices.
    pub(crate) fn numbers(&self) -> Vec<DeviceNumber> {
        self.devices.keys().copied().collect()
    }

    /// What is known of one device.
    pub(crate) fn portrait(&self, number: DeviceNumber, now_ns: u64) -> Option<Portrait> {
        let row = self.devices.get(&number)?.clone();
        let streams = Stream::of_device(number);
        let gaps = self
            .gaps
            .range(streams)
            .map(|(stream, gaps)| (Arc::clone(gaps), self.claims.get(stream).map(|claims| claims.stored.clone())));
        let gaps = gaps.collect();
        let is_double = self.doubles.get(&number).is_some_and(|seen| now_ns.saturating_sub(*seen) < DOUBLE_NS);
        Some(Portrait { row, gaps, is_double })
    }

    /// Takes in a hello; whether two agents are alive under this name.
    pub(crate) fn hello(&mut self, number: DeviceNumber, contact: &Contact, now_ns: u64) -> bool {
        let is_double = self.lives.entry(number).or_default().hello(contact.epoch, now_ns);
        if is_double {
            self.doubles.insert(number, now_ns);
        }
        if let Some(row) = self.device_mut(number) {
            row.hello(contact, now_ns);
        }
        self.advance(number);
        is_double
    }

    /// Gives a device a number, unless there are `most` already.
    pub(crate) fn admit(&mut self, name: &str, most: usize) -> Known {
        if self.names.contains_key(name) {
            return Known::Yes;
        }
        if self.devices.len() >= most {
            return Known::Full;
        }
        self.number(&Arc::from(name));
        Known::New
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
