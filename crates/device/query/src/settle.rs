//! Where records stand: delivered, queued, or only held.

use std::collections::HashMap;

use disk::Disk;
use filter::Query;
use journal::reader::Reader;
use model::Lane;

use crate::digest::digest;
use crate::found::{Found, State};
use crate::scan::{Scan, ScanError};

/// Says of each of a query's records where it stands, by the lanes and the cursors of the destinations. A record that was found in
/// the recorder may be in a lane too: so the lanes are gone through once more.
///
/// # Errors
/// [`ScanError::Journal`].
pub fn settle<D: Disk>(records: &mut [Found], query: &Query, reader: &Reader<D>) -> Result<(), ScanError> {
    let mut places: HashMap<u64, (Lane, u64)> = HashMap::new();
    if records.iter().any(|record| record.place().is_none()) {
        let wanted: HashMap<u64, ()> = records.iter().map(|record| (digest(&record.view()), ())).collect();
        let mut scan = Scan::new(query, |found| {
            let digest = digest(&found.view());
            if let (Some(place), true) = (found.place(), wanted.contains_key(&digest)) {
                places.insert(digest, place);
            }
        });
        scan.journal("", reader)?;
    }
    let confirmed = reader.confirmed()?;
    for record in records {
        let place = record.place().or_else(|| places.get(&digest(&record.view())).copied());
        let state = match place {
            None => State::Held,
            Some((lane, sequence)) => {
                let has = |(_, lanes): &(String, [u64; Lane::ALL.len()])| {
                    lanes.get(usize::from(lane.number())).is_some_and(|confirmed| *confirmed >= sequence)
                };
                if !confirmed.is_empty() && confirmed.iter().all(has) { State::Delivered } else { State::Queued }
            }
        };
        record.set_state(state);
    }
    Ok(())
}
