//! Requests on their way to the disk: what is admitted and not taken in yet has a permit, which gives back what it reserved when it is
//! dropped, whatever becomes of the request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Requests that may be on their way to the disk at once, bytes.
pub const MAX_RECORDING: usize = 512 << 10;

/// What a request takes until it is taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Its bytes, with those of its plan.
    pub(crate) bytes: usize,
    /// Bytes of it that may wait for a decision.
    pub(crate) waiting: usize,
    /// Traces that it may add to the index.
    pub(crate) traces: usize,
}

#[derive(Debug, Default)]
struct Reserved {
    needs: Needs,
    keys: Vec<Box<[u8]>>,
}

/// What is admitted and not taken in yet.
#[derive(Debug, Default)]
pub(super) struct Permits(Arc<Mutex<Reserved>>);

fn lock(reserved: &Mutex<Reserved>) -> MutexGuard<'_, Reserved> {
    reserved.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Room that is reserved for a request until this is dropped, on whichever thread.
#[derive(Debug)]
pub(super) struct Permit {
    of: Arc<Mutex<Reserved>>,
    needs: Needs,
    key: Option<Box<[u8]>>,
}

impl Permits {
    /// Whether a request with this key, behind its digest, is on its way.
    pub(super) fn has(&self, key: &[u8]) -> bool {
        lock(&self.0).keys.iter().any(|other| **other == *key)
    }

    /// What a request needs together with all that is on its way; `None` when that is more bytes than may be. One that waits for no
    /// decision, as points do not, does not wait for the room of those that do.
    pub(super) fn together(&self, needs: Needs) -> Option<Needs> {
        let reserved = lock(&self.0).needs;
        if reserved.bytes > 0 && reserved.bytes + needs.bytes > MAX_RECORDING {
            return None;
        }
        let waiting = if needs.waiting == 0 { 0 } else { needs.waiting + reserved.waiting };
        Some(Needs { bytes: reserved.bytes + needs.bytes, waiting, traces: needs.traces + reserved.traces })
    }

    /// Reserves what a request needs.
    pub(super) fn reserve(&self, needs: Needs, key: Option<Box<[u8]>>) -> Permit {
        let mut reserved = lock(&self.0);
        reserved.needs.bytes += needs.bytes;
        reserved.needs.waiting += needs.waiting;
        reserved.needs.traces += needs.traces;
        reserved.keys.extend(key.clone());
        Permit { of: Arc::clone(&self.0), needs, key }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut reserved = lock(&self.of);
        reserved.needs.bytes -= self.needs.bytes;
        reserved.needs.waiting -= self.needs.waiting;
        reserved.needs.traces -= self.needs.traces;
        if let Some(key) = &self.key {
            reserved.keys.retain(|other| other != key);
        }
    }
}
