//! How complete an answer is, and what is known of devices.

use std::collections::HashSet;

use model::{Epoch, Lane, Signal};

use super::Scoped;
use super::TimeRange;
use crate::coverage::{Interval, LaneRow, LostSpan, State, unknown_but};
use crate::damage::Damage;
use crate::ids::DeviceNumber;
use crate::incoming::OTLP_DEVICE;
use crate::proto::Counters;
use crate::registry::Portrait;

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
    /// `connected`, `stopped` (it ended in good order), `out_of_contact`, or `unknown` (it never said hello).
    pub contact: &'static str,
    /// How far behind now its data may be while it is in contact.
    pub settles_ns: u64,
    /// Whether two agents said hello under this name lately.
    pub two_agents: bool,
    /// What of the last hour is not there, and why.
    pub incomplete: Vec<(Signal, Interval)>,
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
            reason: damage.reason.name().into(),
            records: 0,
        })
    });
    losses.collect()
}

/// Damages that no device's coverage shows: of OTLP straight to the hub, and where nobody knows the device.
fn without_coverage<'d>(shown: &HashSet<String>, damages: &'d [Damage]) -> Vec<(&'d str, &'d Damage)> {
    let is_shown = |name: &str| shown.contains(name);
    let mut found = Vec::new();
    for damage in damages {
        let hidden = damage.devices.iter().map(String::as_str).filter(|name| !is_shown(name));
        found.extend(hidden.map(|name| (name, damage)));
        if damage.devices.is_empty() && shown.is_empty() {
            found.push(("unknown", damage));
        }
    }
    found
}

fn coverage_of(
    portrait: &Portrait,
    signals: &[Signal],
    range: TimeRange,
    damages: &[Damage],
    now_ns: u64,
) -> Vec<(Signal, Vec<Interval>)> {
    let device = &portrait.row;
    let mut losses = portrait.losses();
    losses.extend(losses_of(damages, &device.name, signals));
    let of_signal = |signal: &Signal| (*signal, device.coverage(*signal, &losses, range.from, range.to, now_ns));
    signals.iter().map(of_signal).filter(|(_, intervals)| !intervals.is_empty()).collect()
}

/// How far back a device's status looks for what is not there.
const STATUS_NS: u64 = 3_600_000_000_000;
/// Most stretches that a device's status tells.
const MAX_STATUS: usize = 20;

/// What of the last hour of a device is not there.
fn incomplete_now(portrait: &Portrait, now_ns: u64) -> Vec<(Signal, Interval)> {
    let now = portrait.row.device_time(now_ns);
    let range = TimeRange { from: now.saturating_sub(STATUS_NS), to: now };
    let live_edge = now.saturating_sub(portrait.row.live_edge_ns());
    let mut found = Vec::new();
    for (signal, intervals) in coverage_of(portrait, &Signal::ALL, range, &[], now_ns) {
        let lacks = intervals.into_iter().filter(|interval| match interval.state {
            State::Complete | State::Unknown | State::Stopped => false,
            State::Arriving => interval.from < live_edge || interval.late,
            State::HeldOnDevice | State::Lost => true,
        });
        found.extend(lacks.map(|interval| (signal, interval)).take(MAX_STATUS - found.len().min(MAX_STATUS)));
    }
    found
}

impl Scoped<'_> {
    /// What is known of devices over time; of one device if `device` is given.
    pub fn coverage(&self, range: TimeRange, device: Option<&str>, now_ns: u64) -> Vec<DeviceCoverage> {
        let damages = self.inner.damages.of(&Signal::ALL, range.from, range.to);
        let portraits = self.portraits(now_ns);
        let devices = portraits.filter(|portrait| device.is_none_or(|device| device == portrait.row.name));
        let mut coverage = Vec::new();
        for portrait in devices {
            let row = &portrait.row;
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
            for (signal, intervals) in coverage_of(&portrait, &Signal::ALL, range, &damages, now_ns) {
                coverage.push(DeviceCoverage { device: row.name.clone(), signal, intervals });
            }
        }
        coverage
    }

    /// How complete an answer over `range` from these signals is. Time of which nothing is known does not count, nor
    /// does the live edge: what a device in contact has collected in the last seconds and is about to send.
    pub fn completeness(&self, signals: &[Signal], range: TimeRange, now_ns: u64) -> Completeness {
        let damages = self.inner.damages.of(signals, range.from, range.to);
        let (mut known, mut complete) = (0.0, 0.0);
        let mut devices = Vec::new();
        let mut names = HashSet::new();
        for portrait in self.portraits(now_ns).filter(|portrait| portrait.row.name != OTLP_DEVICE) {
            let row = &portrait.row;
            names.insert(row.name.clone());
            let live_edge = row.device_time(now_ns).saturating_sub(row.live_edge_ns());
            for (signal, intervals) in coverage_of(&portrait, signals, range, &damages, now_ns) {
                for interval in intervals {
                    let length = (interval.to - interval.from) as f64;
                    let is_live_edge =
                        interval.state == State::Arriving && interval.from >= live_edge && !interval.late;
                    match interval.state {
                        State::Unknown | State::Stopped => {}
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
        for (device, damage) in without_coverage(&names, &damages) {
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

    /// What is known of each device, one after the other: nobody waits for the registry while one is looked at.
    fn portraits(&self, now_ns: u64) -> impl Iterator<Item = Portrait> + '_ {
        let numbers = self.inner.registry().numbers();
        numbers.into_iter().filter_map(move |number| self.inner.registry().portrait(number, now_ns))
    }

    /// All devices that were ever in contact.
    pub fn devices(&self, now_ns: u64) -> Vec<DeviceStatus> {
        let statuses = self.portraits(now_ns).map(|portrait| {
            let row = &portrait.row;
            let number = DeviceNumber(row.number);
            let epoch = Epoch(row.epoch);
            let connected = row.is_connected(now_ns) && row.stopped == 0;
            let reached: Vec<(&LaneRow, Lane, u64)> = {
                let registry = self.inner.registry();
                let lanes = row.lanes.iter().filter_map(|lane| {
                    let name = Lane::from_number(u64::from(lane.lane))?;
                    Some((lane, name, registry.next_expected(number, epoch, name)))
                });
                lanes.collect()
            };
            let lanes = reached.into_iter().map(|(lane, name, next_expected)| LaneStatus {
                lane: name,
                next: lane.next.max(next_expected),
                next_expected,
                held: lane.next.saturating_sub(next_expected.max(lane.oldest)),
                watermark: lane.watermark,
            });
            let is_otlp = row.name == OTLP_DEVICE;
            DeviceStatus {
                device: row.name.clone(),
                version: row.version.clone(),
                epoch,
                last_contact: row.last_contact,
                connected,
                contact: match (is_otlp || row.last_hello == 0, row.stopped != 0, connected) {
                    (true, _, _) => "unknown",
                    (_, true, _) => "stopped",
                    (_, _, true) => "connected",
                    (_, _, false) => "out_of_contact",
                },
                clock_synchronised: row.synchronised,
                clock_ahead_ns: row.ahead_ns,
                settles_ns: row.live_edge_ns(),
                two_agents: portrait.is_double,
                lanes: if is_otlp { Vec::new() } else { lanes.collect() },
                incomplete: if is_otlp { Vec::new() } else { incomplete_now(&portrait, now_ns) },
            }
        });
        statuses.collect()
    }

    /// What each device has delivered and lost.
    pub fn ledger(&self) -> Vec<LedgerEntry> {
        let entries = self.portraits(0).map(|portrait| LedgerEntry {
            device: portrait.row.name.clone(),
            counters: portrait.row.counters.unwrap_or_default(),
            lost: portrait
                .losses()
                .into_iter()
                .map(|span| LostRange {
                    lane: span.lane,
                    reason: span.reason.to_string(),
                    from: span.start_ns,
                    to: span.end_ns,
                    records: span.records,
                })
                .collect(),
        });
        entries.collect()
    }
}
