//! `doctor`: what is in the way of delivery.

use config::Config;

use crate::arguments::Arguments;
use crate::{Failure, print};

/// The oldest record that is sent: a year.
const MOST_HOURS: u32 = 8784;

/// `lightship doctor`
pub(crate) fn doctor(config: &Config, arguments: &Arguments) -> Result<(), Failure> {
    let hours = |text: &String| {
        let hours = text.trim_end_matches('h').parse().ok().filter(|hours| (1..=MOST_HOURS).contains(hours));
        hours.ok_or_else(|| Failure::usage(format!("--aged: '{text}' is no number of hours from 1 to {MOST_HOURS}")))
    };
    let aged = arguments.aged.as_ref().map(hours).transpose()?;
    let found = edge::doctor(config, arguments.backend.as_deref(), aged);
    let found = found.map_err(|error| Failure::usage(error.to_string()))?;
    print(&if arguments.json { found.json() } else { found.text() })?;
    match found.is_good() {
        true => Ok(()),
        false => Err(Failure::unwell("something is in the way of delivery")),
    }
}
