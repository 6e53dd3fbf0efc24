//! Which services a pack knows.

use std::collections::{BTreeMap, BTreeSet};

use super::format::ServiceEntry;

/// Most operations that a pack lists per service.
const MAX_OPERATIONS: usize = 1000;

/// Services with their operations and devices, as a pack's index lists them.
#[derive(Default)]
pub(super) struct Catalog(BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>);

impl Catalog {
    pub(super) fn note(&mut self, service: &str, operation: Option<&str>, device: &str) {
        if !self.0.contains_key(service) {
            self.0.insert(service.to_owned(), Default::default());
        }
        let Some((operations, devices)) = self.0.get_mut(service) else { return };
        if let Some(operation) = operation.filter(|name| !operations.contains(*name))
            && operations.len() < MAX_OPERATIONS
        {
            operations.insert(operation.to_owned());
        }
        if !devices.contains(device) {
            devices.insert(device.to_owned());
        }
    }

    pub(super) fn finish(self) -> Vec<ServiceEntry> {
        let entries = self.0.into_iter().map(|(name, (operations, devices))| ServiceEntry {
            name,
            operations: operations.into_iter().collect(),
            devices: devices.into_iter().collect(),
        });
        entries.collect()
    }
}
