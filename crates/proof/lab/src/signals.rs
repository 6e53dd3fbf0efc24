//! Being told to stop: Ctrl-C, or the signal that `kill` sends.

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Waits until someone tells the lab to stop.
pub(crate) async fn told_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for signals")?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed.context("cannot watch for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}

/// Does the work unless told to stop; the programs that it has started are then killed.
pub(crate) async fn unless_told_to_stop<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        told = told_to_stop() => {
            told?;
            bail!("told to stop before the end")
        }
    }
}
