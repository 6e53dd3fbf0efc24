//! Which lane yields to which (P11).

use model::Lane;

/// How early a lane yields: the highest number first, 0 never.
pub(crate) fn yields(lane: Lane) -> u8 {
    match lane {
        Lane::Mission | Lane::Audit => 0,
        Lane::Traces | Lane::Logs => 1,
        Lane::Metrics => 2,
        Lane::Debug => 3,
    }
}
