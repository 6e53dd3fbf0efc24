//! Drills: one promise under load, judged by the generator's plan.

mod fidelity;

pub(crate) use fidelity::{FidelityArgs, fidelity};
