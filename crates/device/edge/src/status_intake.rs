//! What status and metrics tell of the intake.

use model::{Refusal, RefusalCounts};
use sources::Limits;

use pipeline::Counters;

/// How the intake stands.
pub(crate) struct Intake {
    connections: usize,
    most: usize,
    body_bytes: usize,
}

/// A metric: name, kind, help and rows.
pub(crate) type Family = (&'static str, &'static str, &'static str, Vec<(String, f64)>);

fn rows(counts: &RefusalCounts) -> Vec<(String, f64)> {
    counts.iter().map(|(reason, count)| (format!("{{reason=\"{reason}\"}}"), count as f64)).collect()
}

fn list(counts: &RefusalCounts) -> String {
    counts.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
}

fn object(counts: &RefusalCounts) -> String {
    let members: Vec<_> = counts.iter().map(|(reason, count)| format!("\"{reason}\":{count}")).collect();
    format!("{{{}}}", members.join(","))
}

impl Intake {
    /// As it stands now.
    pub(crate) fn of(limits: &Limits) -> Self {
        Self { connections: limits.places.open(), most: limits.places.most(), body_bytes: limits.held() }
    }

    /// For `/status`: members of its object.
    pub(crate) fn json(&self, refused: &RefusalCounts, counters: &Counters) -> String {
        format!(
            "\"intake\":{{\"connections\":{},\"most_connections\":{},\"body_bytes\":{},\"refused_requests\":{},\
             \"rejected_records\":{},\"mended\":{},\"lane_not_allowed\":{}}}",
            self.connections,
            self.most,
            self.body_bytes,
            object(refused),
            object(&counters.rejected),
            object(&counters.mended),
            counters.rejected_lanes
        )
    }

    /// For people: what there is to tell.
    pub(crate) fn text(&self, refused: &RefusalCounts, counters: &Counters) -> Vec<String> {
        let mut lines = vec![format!("intake       {} of {} connections", self.connections, self.most)];
        for (what, counts) in [
            ("requests and connections refused", refused),
            ("records not taken", &counters.rejected),
            ("mended", &counters.mended),
        ] {
            if counts.total() > 0 {
                lines.push(format!("             {what}: {}", list(counts)));
            }
        }
        if counters.rejected_lanes > 0 {
            let name = Refusal::LaneNotAllowed;
            lines.push(format!("             lanes: {name} {}", counters.rejected_lanes));
        }
        lines
    }

    /// For `/metrics`.
    pub(crate) fn families(&self, refused: &RefusalCounts, counters: &Counters) -> Vec<Family> {
        let one = |value: f64| vec![(String::new(), value)];
        vec![
            ("refused_requests_total", "counter", "Requests and connections refused, by reason.", rows(refused)),
            (
                "rejected_records_total",
                "counter",
                "Records of accepted requests that are not taken, by reason; their producers are told.",
                rows(&counters.rejected),
            ),
            (
                "guard_dropped_records_total",
                "counter",
                "Records that the guard took out of accepted requests, by reason; they count as filtered.",
                rows(&counters.dropped_by_guard),
            ),
            ("mended_total", "counter", "Texts, ids and times that were mended, by reason.", rows(&counters.mended)),
            (
                "lane_not_allowed_total",
                "counter",
                "Records that name a lane they may not choose, and stay in their usual one.",
                one(counters.rejected_lanes as f64),
            ),
            ("intake_connections", "gauge", "Open connections of producers.", one(self.connections as f64)),
            ("intake_connections_limit", "gauge", "The most of them at once.", one(self.most as f64)),
            ("intake_body_bytes", "gauge", "Bytes of request bodies in memory.", one(self.body_bytes as f64)),
        ]
    }
}
