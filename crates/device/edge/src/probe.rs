//! `check --connect`: each destination is asked, as the agent would ask it, whether it takes what would come.

use std::fmt::Write;

use config::Config;

use crate::consumers::consumers;
use crate::error::{StartError, start_error};
use crate::outlets::{Sink, outlets};

/// Asks each destination, and says what it answers, in lines for people; true when all of them are good.
///
/// # Errors
/// [`StartError`] when a destination cannot even be set up.
pub fn connect(config: &Config) -> Result<(String, bool), StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| start_error(format!("cannot start: {error}")))?;
    let asked = async {
        let (mut report, mut good) = (String::new(), true);
        for (consumer, outlet) in consumers(config).iter().zip(outlets(config)?) {
            let outcome = match outlet.sink {
                Sink::Hub(mut sink) => sink.probe().await,
                #[cfg(feature = "signal-sinks")]
                Sink::Exporter(mut sink) => match consumer.signal {
                    Some(signal) => sink.export(signal, &[]).await.map(drop),
                    None => Ok(()),
                },
            };
            let says = match outcome {
                Ok(()) => "answers, and takes what this device sends".to_owned(),
                Err(error) => {
                    good = false;
                    error.to_string()
                }
            };
            // Writing into a String cannot fail.
            let _written = writeln!(report, "destination {}: {says}", consumer.name);
        }
        Ok((report, good))
    };
    tokio::task::LocalSet::new().block_on(&runtime, asked)
}
