//! What a start tells: to the log what the journal found in its directory, to other programs where this one listens.

use std::net::SocketAddr;
use std::path::Path;

use journal::Recovery;

use crate::log;

/// Tells what the journal found in its directory, where it was not as it was left.
pub(crate) fn report(recovery: &Recovery) {
    if recovery.created {
        log::info("the data directory is new: a new epoch begins");
        return;
    }
    log::info(&format!("{} frames with {} records wait in the journal", recovery.frames, recovery.records));
    for torn in &recovery.torn {
        log::info(&format!(
            "lane {}: the tail of segment {} was torn by a crash and is cut at byte {}; it was never committed",
            torn.lane, torn.segment, torn.offset
        ));
    }
    for corrupt in &recovery.corrupt {
        log::error(&format!(
            "lane {}: {} records (sequences {}-{}) of segment {} cannot be read any more; a gap record says so",
            corrupt.lane, corrupt.records, corrupt.first, corrupt.last, corrupt.segment
        ));
    }
    for missing in &recovery.missing {
        log::error(&format!(
            "lane {}: the files with {} records (sequences {}-{}) were there at the last commit and are gone: somebody removed \
             them; a gap record says so",
            missing.lane, missing.records, missing.first, missing.last
        ));
    }
    for name in &recovery.damaged_cursors {
        log::warn(&format!("destination {name}: its cursor cannot be read; it gets everything that is held again"));
    }
    for name in &recovery.foreign {
        log::warn(&format!("{name} belongs to another epoch and was set aside"));
    }
    if let Some(why) = &recovery.not_committed {
        log::warn(&format!("the journal is not committed yet: {why}"));
    }
}

/// Tells other programs on this machine where this one listens; replaced in one step.
pub(crate) fn write_addresses(
    data_dir: &Path,
    grpc: Option<SocketAddr>,
    http: Option<SocketAddr>,
    admin: SocketAddr,
    others: &[(&str, SocketAddr)],
) -> std::io::Result<()> {
    let entry = |address: Option<SocketAddr>| address.map_or("null".to_owned(), |address| format!("\"{address}\""));
    let others: String = others.iter().map(|(name, address)| format!(",\"{name}\":\"{address}\"")).collect();
    let text =
        format!("{{\"otlp_grpc\":{},\"otlp_http\":{},\"admin\":\"{admin}\"{others}}}\n", entry(grpc), entry(http));
    let temporary = data_dir.join("addresses.json.tmp");
    std::fs::write(&temporary, text)?;
    std::fs::rename(temporary, data_dir.join("addresses.json"))
}
