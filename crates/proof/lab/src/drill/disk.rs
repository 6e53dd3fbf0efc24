//! `drill disk`: a small file system is filled by someone else while records of every lane come in and the link is down. The
//! agent goes on, lanes yield in their order, what is lost is told, and when space returns all is as before (P11, P3, P1).

use crate::agent_status::Status;
use crate::bench::{Host, commit};
use crate::clock::{monotonic, wall_ns};
use crate::console::Console;
use crate::demo::{Cut, Link};
use crate::device::{Device, Setting, Upstream, Waits};
use crate::http_json::get;
use crate::hub::Hub;
use crate::otlp::value::{any, attribute, text};
use crate::otlp::{Pipe, Protocol, Tally, logs_request, metrics_request, traces_request};
use crate::program::path_text;
use crate::reconcile::{Window, stored_lines};
use crate::rng::Rng;
use crate::vessel::LINE_ID;
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use model::Signal;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, metric, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::sleep;

const WAITS: Waits = Waits {
    decision: Duration::from_millis(500),
    red: Duration::from_secs(1),
    commit: Duration::from_millis(200),
    heartbeat: Duration::from_secs(1),
    backoff: Duration::from_secs(1),
};
/// How long one producer tries, before it gives a record up.
const PATIENCE: Duration = Duration::from_secs(2);
const DRAIN: Duration = Duration::from_secs(60);
/// From one round of records to the next: one request for each lane.
const ROUND: Duration = Duration::from_millis(25);
/// Hexadecimal digits in a line or span: half of them remain when they are compressed.
const DIGITS: usize = 4_000;
const POINTS: u64 = 200;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct DiskArgs {
    pub(crate) agent: PathBuf,
    pub(crate) hub: PathBuf,
    /// Size of the file system, MiB.
    pub(crate) disk_mib: u64,
    /// How long the disk is full.
    pub(crate) full: Duration,
    pub(crate) seed: u64,
}

/// What became of one lane's records.
#[derive(Debug, Serialize, Default, Clone, PartialEq, Eq)]
struct LaneFate {
    /// Answered with success.
    taken: u64,
    /// Never taken, after tries for a while.
    not_taken: u64,
    stored: u64,
    /// Told by gap records.
    told_lost: u64,
}

/// The outcome, as printed.
#[derive(Debug, Serialize)]
pub(crate) struct Disk {
    pub(crate) passed: bool,
    commit: Option<String>,
    host: Host,
    seed: u64,
    disk_mib: u64,
    full_seconds: u64,
    /// Free bytes at worst.
    least_free: u64,
    lanes: BTreeMap<&'static str, LaneFate>,
    /// Stored, and never sent or stored before.
    wrong_lines: u64,
    /// What the agent says that it lost, all lanes together.
    agent_lost: u64,
    ledger_difference: u64,
    /// Records of every lane sent, taken and stored after space had returned.
    records_after: u64,
    pub(crate) faults: Vec<String>,
}

/// A file system of its own in memory; it is gone with this.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    fn mount(path: &Path, mib: u64) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        let options = format!("size={mib}m,nodev,nosuid,noexec");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "lightship-drill", path_text(path)?]);
        if !mount.status().context("there is no program mount")?.success() {
            bail!("cannot mount a file system: run this as `unshare --map-root-user --mount lightship-lab drill disk`");
        }
        Ok(Self { path: path.to_path_buf() })
    }

    fn free(&self) -> Result<u64> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok(disk.f_bavail * disk.f_frsize)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // In a namespace of its own it goes with the last process.
        let _gone = Command::new("umount").arg(&self.path).status();
    }
}

/// Somebody else on the same disk, who takes every byte that becomes free.
struct Filler {
    path: PathBuf,
    file: File,
}

impl Filler {
    fn new(disk: &SmallDisk) -> Result<Self> {
        let path = disk.path.join("somebody-elses-file");
        Ok(Self { file: File::create(&path)?, path })
    }

    fn take_all(&mut self) {
        // Until the disk says that it is full.
        while self.file.write_all(&[7; 4096]).is_ok() {}
    }

    fn leave(self) -> Result<()> {
        Ok(fs::remove_file(self.path)?)
    }
}

/// The producers, one for each lane.
struct Load {
    rng: Rng,
    rounds: u64,
    pipes: BTreeMap<&'static str, Pipe>,
}

impl Load {
    const LANES: [(&'static str, Signal); 5] = [
        ("audit", Signal::Logs),
        ("traces", Signal::Traces),
        ("logs", Signal::Logs),
        ("metrics", Signal::Metrics),
        ("debug", Signal::Logs),
    ];

    fn new(device: &Device, seed: u64) -> Self {
        // Keys of requests come from the seed: each producer has its own.
        let pipes = (seed..).zip(Self::LANES).map(|(seed, (lane, signal))| {
            (lane, Pipe::start(Protocol::Http, signal, device.otlp_http.subscribe(), PATIENCE, seed))
        });
        Self { rng: Rng::new(seed, 1), rounds: 0, pipes: pipes.collect() }
    }

    async fn run(&mut self, time: Duration, mut each: impl FnMut()) -> Result<()> {
        let begin = monotonic();
        while monotonic().duration_since(begin) < time {
            self.round().await?;
            each();
            sleep(ROUND).await;
        }
        Ok(())
    }

    /// One request for each lane.
    async fn round(&mut self) -> Result<()> {
        self.rounds += 1;
        for (lane, signal) in Self::LANES {
            let (body, records) = match signal {
                Signal::Traces => (self.span(), 1),
                Signal::Logs => (self.line(lane), 1),
                Signal::Metrics => (self.points(), POINTS),
            };
            // One that is told to wait does not stop the others.
            let pipe = self.pipes.get(lane).context("every lane has its producer")?;
            if !pipe.is_full() {
                pipe.send(body, records).await?;
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> String {
        let mut digits = String::with_capacity(DIGITS);
        while digits.len() < DIGITS {
            digits.push_str(&format!("{:016x}", self.rng.bits()));
        }
        digits
    }

    fn span(&mut self) -> Bytes {
        let now = wall_ns();
        let span = Span {
            trace_id: self.rng.id::<16>().to_vec(),
            span_id: self.rng.id::<8>().to_vec(),
            name: "work".to_owned(),
            start_time_unix_nano: now - 1_000_000,
            end_time_unix_nano: now,
            attributes: vec![attribute("digits", text(&self.digits()))],
            ..Span::default()
        };
        traces_request(Resource::default(), InstrumentationScope::default(), vec![span])
    }

    fn line(&mut self, lane: &str) -> Bytes {
        let now = wall_ns();
        let mut attributes = vec![attribute(LINE_ID, text(&format!("{lane}-{}", self.rounds)))];
        if lane != "logs" {
            attributes.push(attribute("lightship.lane", text(lane)));
        }
        let record = LogRecord {
            time_unix_nano: now,
            observed_time_unix_nano: now,
            severity_number: 9,
            body: Some(any(text(&self.digits()))),
            attributes,
            ..LogRecord::default()
        };
        logs_request(Resource::default(), InstrumentationScope::default(), vec![record])
    }

    fn points(&mut self) -> Bytes {
        let now = wall_ns();
        let data_points = (0..POINTS)
            .map(|series| NumberDataPoint {
                attributes: vec![attribute("sensor", text(&format!("sensor-{series}")))],
                time_unix_nano: now,
                value: Some(number_data_point::Value::AsDouble(f64::from_bits(self.rng.bits() >> 2))),
                ..NumberDataPoint::default()
            })
            .collect();
        let data = Some(metric::Data::Gauge(Gauge { data_points }));
        let metric = Metric { name: "drill.reading".to_owned(), data, ..Metric::default() };
        metrics_request(Resource::default(), InstrumentationScope::default(), vec![metric])
    }

    /// Waits until everything sent is answered or given up, and tells what became of it.
    async fn settled(&self) -> Result<BTreeMap<&'static str, Tally>> {
        let mut tallies = BTreeMap::new();
        for (lane, pipe) in &self.pipes {
            pipe.settled().await?;
            tallies.insert(*lane, pipe.tally().lock().unwrap_or_else(PoisonError::into_inner).clone());
        }
        Ok(tallies)
    }
}

/// Runs it.
pub(crate) async fn disk(args: &DiskArgs, console: Console) -> Result<Disk> {
    let directory = tempfile::Builder::new().prefix("lightship-disk-").tempdir().context("no temporary directory")?;
    let small = SmallDisk::mount(&directory.path().join("agent"), args.disk_mib)?;
    console.event(&format!("seed {}: a disk of {} MiB, starting hub and agent", args.seed, args.disk_mib));
    let hub = Hub::start(directory.path(), &args.hub).await?;
    let link = Link::open(hub.link).await?;
    let upstream = Upstream::Hub { link: link.address, ca: hub.ca.clone() };
    let mut device = Device::start(directory.path(), &args.agent, Setting::SmallDisk(WAITS), &upstream).await?;
    let (process, begin_ns) = (device.process()?, wall_ns());
    let mut load = Load::new(&device, args.seed);

    load.run(Duration::from_secs(3), || {}).await?;
    // What is on its way when the link is cut may have arrived, and be given up here all the same.
    device.wait_until("drained", DRAIN, Status::is_drained).await?;
    console.event("cutting the link");
    link.cut(Cut::Refuse);
    load.run(Duration::from_secs(20), || {}).await?;
    console.event("somebody else fills the disk");
    let mut filler = Filler::new(&small)?;
    let mut least_free = u64::MAX;
    load.run(args.full, || {
        filler.take_all();
        least_free = least_free.min(small.free().unwrap_or(u64::MAX));
    })
    .await?;
    console.event("the disk is free again; restoring the link");
    filler.leave()?;
    load.run(Duration::from_secs(2), || {}).await?;
    link.restore();
    device.wait_until("drained", DRAIN, Status::is_drained).await?;

    let before = load.settled().await?;
    load.run(Duration::from_secs(3), || {}).await?;
    let after = load.settled().await?;
    let status = device.wait_until("drained", DRAIN, Status::is_drained).await?;
    let records_after = after.iter().map(|(lane, tally)| tally.taken - before[lane].taken).sum();
    let refused_after: u64 = after.iter().map(|(lane, tally)| tally.not_taken - before[lane].not_taken).sum();
    console.event("reading the hub");
    let stored = Stored::read(&hub, &status, Window { start_ns: begin_ns, end_ns: wall_ns() }).await?;
    let same_process = device.process().is_ok_and(|now| now == process);
    device.stop().await?;
    hub.stop().await?;

    let mut results = Disk {
        passed: false,
        commit: commit(),
        host: Host::this(),
        seed: args.seed,
        disk_mib: args.disk_mib,
        full_seconds: args.full.as_secs(),
        least_free,
        lanes: after.iter().map(|(lane, tally)| (*lane, stored.fate(lane, tally))).collect(),
        wrong_lines: stored.wrong_lines,
        agent_lost: status.ledger.destinations.iter().map(|one| one.lost).sum(),
        ledger_difference: status.imbalance(),
        records_after,
        faults: Vec::new(),
    };
    results.faults = faults(&results, refused_after, same_process);
    results.passed = results.faults.is_empty();
    Ok(results)
}

#[derive(Deserialize)]
struct HubLedger {
    devices: Vec<HubDevice>,
}

#[derive(Deserialize)]
struct HubDevice {
    records: HubRecords,
    lost: Vec<HubLost>,
}

#[derive(Deserialize)]
struct HubRecords {
    spans: u64,
    points: u64,
}

#[derive(Deserialize)]
struct HubLost {
    lane: String,
    records: u64,
}

/// What the hub has of the run.
struct Stored {
    /// Records by lane.
    records: BTreeMap<&'static str, u64>,
    lost: BTreeMap<String, u64>,
    /// Points that the agent made itself.
    generated: u64,
    wrong_lines: u64,
}

impl Stored {
    async fn read(hub: &Hub, status: &Status, window: Window) -> Result<Self> {
        let ledger: HubLedger = get(hub.http, "/api/v0/ledger").await?;
        let mut stored = Self {
            records: BTreeMap::new(),
            lost: BTreeMap::new(),
            generated: status.ledger.generated.metrics,
            wrong_lines: 0,
        };
        for device in &ledger.devices {
            *stored.records.entry("traces").or_default() += device.records.spans;
            *stored.records.entry("metrics").or_default() += device.records.points;
            for lost in &device.lost {
                *stored.lost.entry(lost.lane.clone()).or_default() += lost.records;
            }
        }
        let mut seen = BTreeSet::new();
        for line in stored_lines(hub.http, window).await? {
            let id = line.id.unwrap_or_default();
            let lane = Load::LANES.iter().map(|(lane, _)| *lane).find(|lane| id.starts_with(&format!("{lane}-")));
            match lane {
                Some(lane) if seen.insert(id) => *stored.records.entry(lane).or_default() += 1,
                _ => stored.wrong_lines += 1,
            }
        }
        Ok(stored)
    }

    fn fate(&self, lane: &'static str, tally: &Tally) -> LaneFate {
        LaneFate {
            // What the agent made is in the same lane.
            taken: tally.taken + if lane == "metrics" { self.generated } else { 0 },
            not_taken: tally.not_taken,
            stored: self.records.get(lane).copied().unwrap_or(0),
            told_lost: self.lost.get(lane).copied().unwrap_or(0),
        }
    }
}

fn faults(results: &Disk, refused_after: u64, same_process: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unless = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    let lane = |name: &str| results.lanes.get(name).cloned().unwrap_or_default();
    let share = |name: &str| lane(name).told_lost as f64 / lane(name).taken.max(1) as f64;
    unless(same_process, "the agent did not live through it".to_owned());
    unless(results.least_free < 64 << 10, format!("{} bytes stayed free: the disk was not full", results.least_free));
    for (name, fate) in &results.lanes {
        // What was given up may have been taken all the same, when the answer came too late.
        let (told, most) = (fate.stored + fate.told_lost, fate.taken + fate.not_taken);
        let what = format!("{name}: {} to {most} taken, {told} stored or told as lost", fate.taken);
        unless((fate.taken..=most).contains(&told), what);
    }
    unless(lane("audit").told_lost == 0, "audit lost what was answered".to_owned());
    let order = ["debug", "metrics", "traces", "logs"].map(share);
    unless(order[0] > 0.0, "nothing had to yield: the disk is too large for this load".to_owned());
    // The segment that is being written stays.
    unless(order[1] == 0.0 || order[0] > 0.5, format!("metrics yielded while debug had more: {order:?}"));
    unless(
        order[2] + order[3] == 0.0 || order[1] > 0.5,
        format!("traces or logs yielded while metrics had more: {order:?}"),
    );
    let lost: u64 = results.lanes.values().map(|fate| fate.told_lost).sum();
    unless(
        lost == results.agent_lost,
        format!("the hub was told of {lost} lost records, the agent lost {}", results.agent_lost),
    );
    unless(results.wrong_lines == 0, format!("{} lines are stored twice or were never sent", results.wrong_lines));
    unless(results.ledger_difference == 0, format!("the ledger does not add up: {}", results.ledger_difference));
    unless(
        results.records_after > 0 && refused_after == 0,
        format!("{refused_after} records were refused after space had returned"),
    );
    faults
}
