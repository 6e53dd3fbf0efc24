//! What the agent says of itself: `/status` as JSON or one screen, `/metrics` as Prometheus text. Each part describes itself; here that
//! is gathered.

mod books;
mod destinations;
mod disk;
mod drifting;
mod intake;
mod lanes;
mod limiting;
mod masking;
mod sampling;
mod sources;

use std::rc::Rc;

use ::sources::{Limits, SourceState};
use drain::Destination;
use model::RefusalCounts;
use pipeline::Pipeline;

use crate::disk_state::DiskStatus;
use crate::exposition::{Family, json_text};

use self::books::Books;
use self::destinations::Destinations;
use self::disk::Disk;
use self::drifting::Drifting;
use self::intake::Intake;
use self::lanes::Lanes;
use self::limiting::Limiting;
use self::masking::Masking;
use self::sampling::Sampling;
use self::sources::Sources;

/// The forms in which the agent shows itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum View {
    /// One screen for people.
    Text,
    /// For scripts.
    Json,
    /// For scrapers.
    Prometheus,
}

/// Everything that status and metrics tell, gathered at one moment.
pub(crate) struct Snapshot<'a> {
    pub(crate) device: &'a str,
    pub(crate) uptime_ns: u64,
    pub(crate) wall_ns: u64,
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) destinations: &'a [Destination],
    /// Requests and connections refused before they were looked into.
    pub(crate) refusals: RefusalCounts,
    pub(crate) limits: &'a Limits,
    /// The sources that read.
    pub(crate) sources: &'a [Rc<SourceState>],
    pub(crate) disk: &'a DiskStatus,
    pub(crate) disk_error: &'a str,
    pub(crate) expected_share: Option<(f64, f64)>,
}

/// What a snapshot tells, part by part.
struct Parts<'a> {
    books: Books<'a>,
    sampling: Sampling<'a>,
    disk: Disk<'a>,
    lanes: Lanes<'a>,
    intake: Intake<'a>,
    sources: Sources<'a>,
    masking: Masking<'a>,
    limiting: Limiting<'a>,
    drifting: Drifting<'a>,
    destinations: Destinations<'a>,
}

impl Snapshot<'_> {
    /// The snapshot in one of its forms.
    pub(crate) fn show(&self, view: View) -> String {
        match view {
            View::Text => self.text(),
            View::Json => self.json(),
            View::Prometheus => self.prometheus(),
        }
    }

    fn parts(&self) -> Parts<'_> {
        let destinations = Destinations { all: self.destinations, wall_ns: self.wall_ns };
        let delivered_bytes = destinations.delivered_bytes();
        Parts {
            books: Books { ledger: self.pipeline.ledger(), destinations: self.destinations },
            sampling: Sampling { pipeline: self.pipeline, expected_share: self.expected_share },
            disk: Disk { status: self.disk, error: self.disk_error, uptime_ns: self.uptime_ns, delivered_bytes },
            lanes: Lanes { pipeline: self.pipeline },
            intake: Intake { limits: self.limits, refused: &self.refusals, counters: self.pipeline.counters() },
            sources: Sources {
                all: self.sources,
                wall_ns: self.wall_ns,
                positions: self.pipeline.positions_left_out(),
            },
            masking: Masking { pipeline: self.pipeline },
            limiting: Limiting { pipeline: self.pipeline },
            drifting: Drifting { pipeline: self.pipeline },
            destinations,
        }
    }

    /// `/status`.
    fn json(&self) -> String {
        let Parts { books, sampling, disk, lanes, intake, sources, masking, limiting, drifting, destinations } =
            self.parts();
        format!(
            "{{\"device\":{},\"version\":\"{}\",\"epoch\":\"{}\",\"uptime_s\":{:.1},\"ledger\":{},\"sampling\":{},\
             \"memory\":{{\"pipeline_bytes\":{}}},\"disk\":{},\"watermarks\":{},\"intake\":{},\"sources\":{},\"positions\":{},\"guard\":{},\"limits\":{},\"drift\":{},\"destinations\":{}}}\n",
            json_text(self.device),
            env!("CARGO_PKG_VERSION"),
            self.disk.epoch,
            self.uptime_ns as f64 / 1e9,
            books.json(),
            sampling.json(),
            self.pipeline.bytes(),
            disk.json(),
            lanes.json(),
            intake.json(),
            sources.json(),
            sources.positions_json(),
            masking.json(),
            limiting.json(),
            drifting.json(),
            destinations.json()
        )
    }

    /// `/status?format=text`: one screen for people.
    fn text(&self) -> String {
        let Parts { books, sampling, disk, lanes, intake, sources, masking, limiting, drifting, destinations } =
            self.parts();
        let up_s = self.uptime_ns as f64 / 1e9;
        let head = format!("{} (epoch {}), up {up_s:.0} s", self.device, self.disk.epoch);
        let parts = [
            destinations.text(),
            books.text(),
            lanes.text(),
            intake.text(),
            sources.text(),
            masking.text(),
            limiting.text(),
            drifting.text(),
            sampling.text(),
            disk.text(),
        ];
        let mut out = String::with_capacity(1024);
        for row in std::iter::once(head).chain(parts.into_iter().flatten()) {
            out.push_str(&row);
            out.push('\n');
        }
        out
    }

    /// Every family of metrics.
    pub(crate) fn families(&self) -> Vec<Family> {
        let Parts { books, sampling, disk, lanes, intake, sources, masking, limiting, drifting, destinations } =
            self.parts();
        let memory =
            Family::gauge("pipeline_memory_bytes", "Memory of recorder, index and queue.", self.pipeline.bytes());
        let parts = [
            books.families(),
            sampling.families(),
            vec![memory],
            disk.families(),
            lanes.families(),
            intake.families(),
            sources.families(),
            masking.families(),
            limiting.families(),
            drifting.families(),
            destinations.families(),
        ];
        parts.into_iter().flatten().collect()
    }

    /// `/metrics`.
    fn prometheus(&self) -> String {
        let mut out = String::with_capacity(4096);
        self.families().iter().for_each(|family| family.write(&mut out));
        out
    }
}
