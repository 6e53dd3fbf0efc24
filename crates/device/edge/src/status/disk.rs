//! The disk, as it is shown.

use model::Lane;

use crate::disk_state::DiskStatus;
use crate::exposition::{Family, json_known, json_text};

/// What the journal has on disk, and what that costs.
pub(super) struct Disk<'a> {
    pub(super) status: &'a DiskStatus,
    /// Why it does not take what it should; empty when it does.
    pub(super) error: &'a str,
    pub(super) uptime_ns: u64,
    /// Bytes that destinations confirmed, since start.
    pub(super) delivered_bytes: u64,
}

impl Disk<'_> {
    /// Each lane that took something since start, with the bytes of its entries.
    fn lanes<T>(&self, each: impl Fn(Lane, u64) -> T) -> Vec<T> {
        let lanes = Lane::ALL.into_iter().zip(self.status.stats.lane_bytes).filter(|(_, bytes)| *bytes > 0);
        lanes.map(|(lane, bytes)| each(lane, bytes)).collect()
    }

    /// Bytes written to disk for each byte that a destination confirmed; 0 before the first.
    fn written_per_delivered(&self) -> f64 {
        match self.delivered_bytes {
            0 => 0.0,
            delivered => self.status.stats.bytes_written as f64 / delivered as f64,
        }
    }

    /// What a flash card has to bear, at the rate since start: bytes written in a day. Not known before ten minutes, since a start
    /// writes more than what follows.
    fn written_per_day(&self) -> Option<f64> {
        let uptime_s = self.uptime_ns as f64 / 1e9;
        (uptime_s >= 600.0).then(|| self.status.stats.bytes_written as f64 / uptime_s * 86_400.0)
    }

    /// Its object in `/status`.
    pub(super) fn json(&self) -> String {
        let (stats, letters) = (&self.status.stats, self.status.dead_letters);
        format!(
            "{{\"bytes\":{},\"written\":{},\"written_per_delivered\":{:.2},\"written_per_day\":{},\"fsyncs\":{},\
             \"dead_letters\":{{\"files\":{},\"bytes\":{},\"dropped\":{}}},\"error\":{},\"lanes\":{{{}}}}}",
            stats.disk_bytes,
            stats.bytes_written,
            self.written_per_delivered(),
            json_known(self.written_per_day(), 0),
            stats.syncs,
            letters.files,
            letters.bytes,
            letters.dropped,
            json_text(self.error),
            self.lanes(|lane, bytes| format!("\"{lane}\":{bytes}")).join(",")
        )
    }

    /// Its rows for people.
    pub(super) fn text(&self) -> Vec<String> {
        let (stats, letters) = (&self.status.stats, self.status.dead_letters);
        let mut rows = Vec::new();
        if letters.files + letters.dropped > 0 {
            rows.push(format!(
                "dead letters {} requests that destinations refused, {} KiB, in dead-letters; {} more are gone for want of room",
                letters.files,
                letters.bytes / 1024,
                letters.dropped
            ));
        }
        rows.push(format!(
            "disk         {} KiB, written {} KiB ({:.2} for each byte delivered{}), {} fsyncs{}{}",
            stats.disk_bytes / 1024,
            stats.bytes_written / 1024,
            self.written_per_delivered(),
            self.written_per_day().map_or(String::new(), |bytes| format!(", {:.1} MiB a day", bytes / 1_048_576.0)),
            stats.syncs,
            if self.error.is_empty() { "" } else { ": " },
            self.error
        ));
        rows
    }

    /// Its metrics.
    pub(super) fn families(&self) -> Vec<Family> {
        let (stats, letters) = (&self.status.stats, self.status.dead_letters);
        vec![
            Family::gauge("journal_disk_bytes", "Bytes of the journal on disk.", stats.disk_bytes),
            Family::counter("journal_written_bytes_total", "Bytes written to disk, since start.", stats.bytes_written),
            Family::counter("journal_fsyncs_total", "Calls of fsync, since start.", stats.syncs),
            Family::gauge("dead_letter_files", "Refused requests that are kept in dead-letters.", letters.files),
            Family::gauge("dead_letter_bytes", "Their bytes.", letters.bytes),
            Family::counter(
                "dead_letters_dropped_total",
                "Refused requests that were not kept any longer for want of room, since start.",
                letters.dropped,
            ),
            Family::counter(
                "journal_thinned_points_total",
                "Metric points thinned out for want of room, since start.",
                self.status.thinned,
            ),
            Family::counter(
                "journal_lane_bytes_total",
                "Bytes of entries that went into each lane, since start.",
                self.lanes(|lane, bytes| (vec![("lane", lane.to_string())], bytes as f64)),
            ),
        ]
    }
}
