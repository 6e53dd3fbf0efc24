//! Drills: one promise under load, judged by the generator's plan.

mod disk;
mod drift;
mod fidelity;
mod kill;

pub(crate) use disk::{DiskArgs, disk};
pub(crate) use drift::{DriftArgs, drift};
pub(crate) use fidelity::{FidelityArgs, fidelity};
pub(crate) use kill::{KillArgs, Mode, kill};
