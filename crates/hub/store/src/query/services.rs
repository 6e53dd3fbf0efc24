//! Which services there are, with their operations and devices.

use std::collections::{BTreeMap, BTreeSet};

use super::Scoped;
use super::TimeRange;
use super::budget;
use super::red::CALLS;
use crate::rows::find_text;

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// `service.name`.
    pub name: String,
    /// Devices that it sends from.
    pub devices: Vec<String>,
    /// Names of its spans, stored ones and those that only the span metrics know.
    pub operations: Vec<String>,
}

/// What a name of an answer takes beside its text.
const NAME_BYTES: usize = 64;

#[derive(Default)]
struct Found(BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>);

impl Found {
    fn note<'a>(&mut self, service: &str, device: &str, operations: impl IntoIterator<Item = &'a str>) {
        let text = |text: &str| {
            budget::hold(NAME_BYTES + text.len());
            text.to_owned()
        };
        let entry = match self.0.get_mut(service) {
            Some(entry) => entry,
            None => self.0.entry(text(service)).or_default(),
        };
        if !entry.0.contains(device) {
            entry.0.insert(text(device));
        }
        for operation in operations {
            if !entry.1.contains(operation) {
                entry.1.insert(text(operation));
            }
        }
    }
}

impl Scoped<'_> {
    /// The services with records in `range` (of packs: that lie in a pack which overlaps it).
    pub fn services(&self, range: TimeRange) -> Vec<ServiceInfo> {
        let snapshot = self.inner.snapshot();
        let mut found = Found::default();
        for frame in &snapshot.frames {
            for row in &frame.records.spans {
                if row.span.start_time_unix_nano < range.to && row.span.end_time_unix_nano >= range.from {
                    found.note(&row.origin.service, &row.origin.device, [row.span.name.as_str()]);
                }
            }
            for row in frame.records.logs.iter().filter(|row| range.contains(row.time())) {
                found.note(&row.origin.service, &row.origin.device, []);
            }
            for row in &frame.records.series {
                if row.points.iter().any(|point| range.contains(point.time())) {
                    let operation = find_text(&row.series.attributes, "span.name").filter(|_| row.series.name == CALLS);
                    found.note(&row.series.origin.service, &row.series.origin.device, operation);
                }
            }
        }
        let packs = snapshot.packs.iter().filter(|pack| pack.overlaps(range.from, range.to));
        for pack in packs.take_while(|_| budget::goes_on()) {
            for service in &self.listing(pack).services {
                for device in &service.devices {
                    found.note(&service.name, device, service.operations.iter().map(String::as_str));
                }
            }
        }
        let services = found.0.into_iter().map(|(name, (devices, operations))| ServiceInfo {
            name,
            devices: devices.into_iter().collect(),
            operations: operations.into_iter().collect(),
        });
        services.collect()
    }
}
