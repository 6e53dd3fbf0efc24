//! `exception check`, `exception sign`: what production leaves out may pass for a time, where somebody who may signed that.

use std::path::Path;

use guard::Relaxed;
use query::time::rfc3339;

use crate::arguments::Arguments;
use crate::{Failure, print};

/// Which of both a word asks for.
///
/// # Errors
/// Where a file does not hold, or nothing can be signed.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    match arguments.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["check"] => check(arguments, None),
        ["check", file] => check(arguments, Some(Path::new(file))),
        ["sign", key, what, why @ ..] => sign(arguments, key, what, &why.join(" ")),
        _ => Err(Failure::usage("which? lightship exception check|sign; see lightship help exception")),
    }
}

fn check(arguments: &Arguments, file: Option<&Path>) -> Result<(), Failure> {
    let config = crate::load(arguments)?;
    let guard = edge::guard(&config).map_err(|error| Failure::usage(error.to_string()))?;
    let (Some(exceptions), Some(wanted)) = (guard.exceptions(), &config.guard.exception) else {
        return Err(Failure::usage("guard.exception is not configured: no exception can hold on this device"));
    };
    let path = file.unwrap_or(&wanted.file);
    let Some(bytes) = edge::exception_file(path) else {
        return Err(Failure::unwell(format!("{}: there is no such file; none holds", path.display())));
    };
    let holding = exceptions.check(&bytes, &edge::Clock::start().stamp());
    let holding = holding.map_err(|fault| Failure::unwell(format!("{} does not hold: {fault}", path.display())))?;
    let until = rfc3339(holding.until_s * 1_000_000_000, 0);
    let why = if holding.why.is_empty() { String::new() } else { format!(" ({})", holding.why) };
    print(&format!("{} holds: {} leave {} until {until}{why}\n", path.display(), holding.what, holding.device))
}

fn sign(arguments: &Arguments, key: &str, what: &str, why: &str) -> Result<(), Failure> {
    let what = match what {
        "debug" => Relaxed { debug: true, payloads: false },
        "payloads" => Relaxed { debug: false, payloads: true },
        "all" => Relaxed { debug: true, payloads: true },
        _ => return Err(Failure::usage(format!("{what}: is none of debug, payloads and all"))),
    };
    let (Some(device), Some(until)) = (&arguments.device_id, &arguments.until) else {
        return Err(Failure::usage("for which device, and until when? --device-id ID --until TIME"));
    };
    let from = arguments.since.clone().unwrap_or_else(|| rfc3339(edge::Clock::start().wall_ns(), 0));
    let pem = std::fs::read_to_string(key).map_err(|error| Failure::usage(format!("{key}: {error}")))?;
    let (file, public) = guard::sign(&pem, device, what, &from, until, why).map_err(Failure::usage)?;
    eprintln!("guard.exception.public_keys: ['{public}']");
    print(&file)
}
