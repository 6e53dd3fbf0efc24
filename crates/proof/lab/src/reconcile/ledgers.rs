//! Two books at one moment.

use crate::agent_status::Status;
use crate::device::Device;
use crate::reconcile::hub::stored_points;
use anyhow::{Result, bail};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;

/// The points that the hub has stored and what the agent says, at a moment between two of its deliveries.
pub(crate) async fn both_ledgers(hub: SocketAddr, device: &Device, patience: Duration) -> Result<(u64, Status)> {
    const ATTEMPTS: u32 = 200;
    let delivered =
        |status: &Status| -> u64 { status.ledger.destinations.iter().map(|destination| destination.delivered).sum() };
    for _ in 0..ATTEMPTS {
        let before = device.wait_until("drained", patience, Status::is_drained).await?;
        let points = stored_points(hub).await?;
        let after = device.status().await?;
        if delivered(&before) == delivered(&after) && after.is_drained() {
            return Ok((points, after));
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("the agent went on delivering while the hub was asked, {ATTEMPTS} times in a row")
}
