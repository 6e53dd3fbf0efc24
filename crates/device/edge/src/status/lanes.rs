//! Lanes with watermarks, as they are shown.

use pipeline::{LaneStanding, Pipeline};

use crate::exposition::{Family, Labels};

/// The lanes that have watermarks.
pub(super) struct Lanes<'a> {
    pub(super) pipeline: &'a Pipeline,
}

impl Lanes<'_> {
    /// Requests that a lane refused.
    fn refused(&self, one: &LaneStanding) -> u64 {
        self.pipeline.refused_by_lane(one.lane)
    }

    /// Their array in `/status`.
    pub(super) fn json(&self) -> String {
        let object = |one: LaneStanding| {
            format!(
                "{{\"lane\":\"{}\",\"refuses\":{},\"backlog_bytes\":{},\"high_bytes\":{},\"low_bytes\":{},\
                 \"refused_requests\":{}}}",
                one.lane,
                one.raised,
                one.backlog,
                one.marks.high,
                one.marks.low,
                self.refused(&one)
            )
        };
        format!("[{}]", self.pipeline.lane_standings().map(object).collect::<Vec<_>>().join(","))
    }

    /// Their rows for people: of lanes that refuse, or did.
    pub(super) fn text(&self) -> Vec<String> {
        let told = self.pipeline.lane_standings().filter(|one| one.raised || self.refused(one) > 0);
        told.map(|one| {
            format!(
                "lane         {} {}: {} KiB of backlog, watermarks {} and {} KiB, {} requests refused",
                one.lane,
                if one.raised { "refuses" } else { "takes again" },
                one.backlog / 1024,
                one.marks.high / 1024,
                one.marks.low / 1024,
                self.refused(&one)
            )
        })
        .collect()
    }

    /// Their metrics; none without such lanes.
    pub(super) fn families(&self) -> Vec<Family> {
        let rows = |value: &dyn Fn(&LaneStanding) -> f64| -> Vec<(Labels, f64)> {
            let standings = self.pipeline.lane_standings();
            standings.map(|one| (vec![("lane", one.lane.to_string())], value(&one))).collect()
        };
        if self.pipeline.lane_standings().next().is_none() {
            return Vec::new();
        }
        vec![
            Family::gauge(
                "lane_backlog_bytes",
                "Bytes on disk that some destination has not confirmed, of lanes with watermarks.",
                rows(&|one| one.backlog as f64),
            ),
            Family::gauge(
                "lane_refuses",
                "1 while a lane refuses because of its watermarks.",
                rows(&|one| f64::from(u8::from(one.raised))),
            ),
            Family::counter(
                "lane_refused_requests_total",
                "Requests refused because a lane of theirs was above its high watermark, since start.",
                rows(&|one| self.refused(one) as f64),
            ),
        ]
    }
}
