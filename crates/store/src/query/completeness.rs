//! How complete an answer is, and what is known of devices.

use model::{Epoch, Lane, Signal};

use super::TimeRange;
use crate::coverage::{Interval, LIVE_EDGE_NS, LostSpan, State, unknown_but};
use crate::damage::Damage;
use crate::ids::DeviceNumber;
use crate::incoming::OTLP_DEVICE;
use crate::proto::{Counters, DeviceRow};
use crate::registry::Registry;
use crate::store::Store;

/// Most stretches of incomplete time that an answer lists.
const MAX_LISTED: usize = 1000;

/// How complete an answer is.
#[derive(Debug, Clone, PartialEq)]
pub struct Completeness {
    /// Share of (device, signal, time) that is complete, of what is known to exist; 1 when nothing is known.
    pub fraction: f64,
    /// Whether all of it is.
    pub complete: bool,
    /// What is not.
    pub devices: Vec<Incomplete>,
}

/// A stretch of time of which a device's data is not all there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// The device.
    pub device: String,
    /// The signal.
    pub signal: Signal,
    /// Why it is not complete.
    pub interval: Interval,
}

/// What is known of one signal of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCoverage {
    /// The device.
    pub device: String,
    /// The signal.
    pub signal: Signal,
    /// In the order of time.
    pub intervals: Vec<Interval>,
}

/// A device as the hub knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStatus {
    /// Its name.
    pub device: String,
    /// The agent's version; empty when it never said hello.
    pub version: String,
    /// Its epoch.
    pub epoch: Epoch,
    /// Hub's clock at the last contact; 0 when there was none.
    pub last_contact: u64,
    /// Whether it was heard of lately.
    pub connected: bool,
    /// Whether its clock is synchronised, as it says.
    pub clock_synchronised: bool,
    /// Its clock minus the hub's.
    pub clock_ahead_ns: i64,
    /// Its lanes.
    pub lanes: Vec<LaneStatus>,
}

/// A lane as the hub knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneStatus {
    /// The lane.
    pub lane: Lane,
    /// Next sequence that the device will give out, as it said last.
    pub next: u64,
    /// Next sequence that the hub waits for.
    pub next_expected: u64,
    /// Sequences that the device holds and the hub does not have, as far as the last hello tells.
    pub held: u64,
    /// Device time up to which everything is below `next`.
    pub watermark: u64,
}

/// What a device has delivered and lost.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerEntry {
    /// The device.
    pub device: String,
    /// What it delivered.
    pub counters: Counters,
    /// What it lost.
    pub lost: Vec<LostRange>,
}

/// A declared loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRange {
    /// The lane.
    pub lane: Lane,
    /// Why.
    pub reason: String,
    /// Earliest event time, 0 when not known.
    pub from: u64,
    /// Latest event time, 0 when not known.
    pub to: u64,
    /// How many records, 0 when not known.
    pub records: u64,
}

/// Damages as losses of one device.
fn losses_of(damages: &[Damage], device: &str, signals: &[Signal]) -> Vec<LostSpan> {
    let of_device =
        damages.iter().filter(|damage| damage.devices.is_empty() || damage.devices.iter().any(|name| name == device));
    let losses = of_device.flat_map(|damage| {
        let touched = signals.iter().filter(|signal| damage.signal.is_none_or(|of| of == **signal));
        touched.map(|signal| LostSpan {
            lane: Lane::Traces,
            signal: Some(*signal),
            start_ns: damage.from,
            end_ns: damage.to.saturating_sub(1),
            reason: damage.reason.name().to_owned(),
            records: 0,
        })
    });
    losses.collect()
}

/// Damages that no device's coverage shows: of OTLP straight to the hub, and where nobody knows the device.
fn without_coverage<'d>(registry: &'d Registry, damages: &'d [Damage]) -> Vec<(&'d str, &'d Damage)> {
    let is_shown = |name: &str| name != OTLP_DEVICE && registry.find(name).is_some();
    let mut found = Vec::new();
    for damage in damages {
        let hidden = damage.devices.iter().map(String::as_str).filter(|name| !is_shown(name));
        found.extend(hidden.map(|name| (name, damage)));
        if damage.devices.is_empty() && registry.devices().all(|row| row.name == OTLP_DEVICE) {
            found.push(("unknown", damage));
        }
    }
    found
}

fn coverage_of(
    registry: &Registry,
    device: &DeviceRow,
    signals: &[Signal],
    range: TimeRange,
    damages: &[Damage],
    now_ns: u64,
) -> Vec<(Signal, Vec<Interval>)> {
    let mut losses = registry.losses(DeviceNumber(device.number));
    losses.extend(losses_of(damages, &device.name, signals));
    let of_signal = |signal: &Signal| (*signal, device.coverage(*signal, &losses, range.from, range.to, now_ns));
    signals.iter().map(of_signal).filter(|(_, intervals)| !intervals.is_empty()).collect()
}

impl Store {
    /// What is known of devices over time; of one device if `device` is given.
    pub fn coverage(&self, range: TimeRange, device: Option<&str>, now_ns: u64) -> Vec<DeviceCoverage> {
        let damages = self.inner.damages.of(&Signal::ALL, range.from, range.to);
        let registry = self.inner.registry();
        let devices = registry.devices().filter(|row| device.is_none_or(|device| device == row.name));
        let mut coverage = Vec::new();
        for row in devices {
            if row.name == OTLP_DEVICE {
                // No sequence, no watermark: what did not come cannot be told from what does not exist.
                let to = range.to.min(now_ns).max(range.from);
                coverage.extend(Signal::ALL.map(|signal| {
                    let lost = losses_of(&damages, &row.name, &[signal]);
                    let intervals = unknown_but(&lost, "otlp-has-no-sequence", range.from, to);
                    DeviceCoverage { device: row.name.clone(), signal, intervals }
                }));
                continue;
            }
            for (signal, intervals) in coverage_of(&registry, row, &Signal::ALL, range, &damages, now_ns) {
                coverage.push(DeviceCoverage { device: row.name.clone(), signal, intervals });
            }
        }
        coverage
    }

    /// How complete an answer over `range` from these signals is. Time of which nothing is known does not count, nor
    /// does the live edge: what a device in contact has collected in the last seconds and is about to send.
    pub fn completeness(&self, signals: &[Signal], range: TimeRange, now_ns: u64) -> Completeness {
        let damages = self.inner.damages.of(signals, range.from, range.to);
        let registry = self.inner.registry();
        let (mut known, mut complete) = (0.0, 0.0);
        let mut devices = Vec::new();
        for row in registry.devices().filter(|row| row.name != OTLP_DEVICE) {
            let live_edge = row.device_time(now_ns).saturating_sub(LIVE_EDGE_NS);
            for (signal, intervals) in coverage_of(&registry, row, signals, range, &damages, now_ns) {
                for interval in intervals {
                    let length = (interval.to - interval.from) as f64;
                    let is_live_edge =
                        interval.state == State::Arriving && interval.from >= live_edge && !interval.late;
                    match interval.state {
                        State::Unknown => {}
                        State::Complete => {
                            known += length;
                            complete += length;
                        }
                        State::Arriving if is_live_edge => {}
                        State::Arriving | State::HeldOnDevice | State::Lost => {
                            known += length;
                            if devices.len() < MAX_LISTED {
                                devices.push(Incomplete { device: row.name.clone(), signal, interval });
                            }
                        }
                    }
                }
            }
        }
        for (device, damage) in without_coverage(&registry, &damages) {
            for signal in signals.iter().filter(|signal| damage.touches(**signal, range.from, range.to)) {
                let (from, to) = (damage.from.max(range.from), damage.to.min(range.to));
                known += (to - from) as f64;
                let reason = Some(damage.reason.name().to_owned());
                let interval = Interval { from, to, state: State::Lost, late: false, reason, records: None };
                if devices.len() < MAX_LISTED {
                    devices.push(Incomplete { device: device.to_owned(), signal: *signal, interval });
                }
            }
        }
        let fraction = if known > 0.0 { complete / known } else { 1.0 };
        Completeness { fraction, complete: devices.is_empty(), devices }
    }

    /// All devices that were ever in contact.
    pub fn devices(&self, now_ns: u64) -> Vec<DeviceStatus> {
        let registry = self.inner.registry();
        let statuses = registry.devices().map(|row| {
            let number = DeviceNumber(row.number);
            let epoch = Epoch(row.epoch);
            let lanes = row.lanes.iter().filter_map(|lane| {
                let name = Lane::from_number(u64::from(lane.lane))?;
                let next_expected = registry.next_expected(number, epoch, name);
                Some(LaneStatus {
                    lane: name,
                    next: lane.next.max(next_expected),
                    next_expected,
                    held: lane.next.saturating_sub(next_expected.max(lane.oldest)),
                    watermark: lane.watermark,
                })
            });
            let lanes = if row.name == OTLP_DEVICE { Vec::new() } else { lanes.collect() };
            DeviceStatus {
                device: row.name.clone(),
                version: row.version.clone(),
                epoch,
                last_contact: row.last_contact,
                connected: row.is_connected(now_ns),
                clock_synchronised: row.synchronised,
                clock_ahead_ns: row.ahead_ns,
                lanes,
            }
        });
        statuses.collect()
    }

    /// What each device has delivered and lost.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        let registry = self.inner.registry();
        let entries = registry.devices().map(|row| LedgerEntry {
            device: row.name.clone(),
            counters: row.counters.unwrap_or_default(),
            lost: registry
                .losses(DeviceNumber(row.number))
                .into_iter()
                .map(|span| LostRange {
                    lane: span.lane,
                    reason: span.reason,
                    from: span.start_ns,
                    to: span.end_ns,
                    records: span.records,
                })
                .collect(),
        });
        entries.collect()
    }
}
