//! `lightship doctor`: what stands between this device and its destinations, each finding with its fix. Nothing is changed; with an age
//! one record is sent.

#[cfg(feature = "signal-sinks")]
mod aged;
mod finding;
mod kernel_clock;
mod machine;
mod network;

use config::Config;

#[cfg(feature = "signal-sinks")]
use self::aged::Aged;
pub use self::finding::Diagnosis;
use crate::clock::Clock;
use crate::error::{StartError, start_error};

/// Looks at this machine, and at each destination or the one named `backend`. `aged_hours`: each gets one record that is so old.
///
/// # Errors
/// [`StartError`] when no destination has that name.
pub fn doctor(config: &Config, backend: Option<&str>, aged_hours: Option<u32>) -> Result<Diagnosis, StartError> {
    let chosen: Vec<_> =
        config.destinations.iter().filter(|one| backend.is_none_or(|backend| one.name == backend)).cloned().collect();
    if chosen.is_empty() {
        let names: Vec<&str> = config.destinations.iter().map(|one| one.name.as_str()).collect();
        return Err(start_error(format!(
            "no destination is called {}; there are {}",
            backend.unwrap_or_default(),
            names.join(", ")
        )));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| start_error(format!("cannot start: {error}")))?;
    let clock = Clock::start();
    let mut all = Diagnosis::default();
    machine::look(config, &clock.stamp(), &mut all);
    let asked = async {
        for destination in chosen {
            // One by one: a file that is missing for one says nothing of the others.
            let alone = Config { destinations: vec![destination], ..config.clone() };
            let good = network::look(&alone, clock.wall_ns() / 1_000_000_000, &mut all).await;
            #[cfg(feature = "signal-sinks")]
            if let Some(hours) = aged_hours {
                let aged = Aged { device: &config.device.id, hours, now_ns: clock.wall_ns() };
                for (consumer, outlet) in good {
                    let kind = alone.destinations[consumer.destination].kind;
                    aged.ask(kind, &consumer, outlet, &mut all).await;
                }
            }
            #[cfg(not(feature = "signal-sinks"))]
            drop((good, aged_hours));
        }
    };
    tokio::task::LocalSet::new().block_on(&runtime, asked);
    Ok(all)
}
