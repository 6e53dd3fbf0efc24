//! No core dump: memory has what comes in before it is masked, and the keys of tokens.

use config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{StartError, start_error};
use crate::log;

/// The most bytes of a dump. The kernel writes none that is shorter than a page, and hands none to a program at this very limit, which is that
/// of such programs themselves; at 0 it would hand over all of it (core(5), fs/coredump.c).
const LIMIT: u64 = 1;

/// Forbids core dumps, unless the configuration wants them: then it warns.
///
/// # Errors
/// As [`forbid_core_dumps`].
pub(crate) fn forbid_unless_wanted(config: &Config) -> Result<(), StartError> {
    if !config.core_dumps {
        return forbid_core_dumps();
    }
    log::warn(
        "core_dumps is true: a crash may write values that are not masked, and keys, to a disk; take it out again",
    );
    Ok(())
}

/// Lets the kernel make no dump of this program when it crashes.
///
/// # Errors
/// When the system does not let it: then values could reach a disk unmasked.
pub fn forbid_core_dumps() -> Result<(), StartError> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Core);
    // Where not even that is allowed, the limit is 0, and stays.
    let current = maximum.map_or(LIMIT, |most| most.min(LIMIT));
    setrlimit(Resource::Core, Rlimit { current: Some(current), maximum }).map_err(|error| {
        start_error(format!("cannot forbid core dumps (RLIMIT_CORE): {error}; core_dumps: true allows them"))
    })
}
