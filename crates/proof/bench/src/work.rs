//! The queue work: what an agent that was cut off does with its disk. Groups of frames are committed durably; a reader
//! takes them in order and confirms them, which need not be durable (a crash then means that some are read twice).

use anyhow::Result;
use clap::{Args, ValueEnum};
use model::proto::{put_bytes, put_fixed64, put_message, put_uint};
use serde::{Deserialize, Serialize};
use wire::{SectionRef, encode_body};

/// How much is done.
#[derive(Debug, Clone, Copy, Args, Serialize)]
pub(crate) struct Load {
    /// Durable commits
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) commits: u32,
    /// Frames of each commit
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) frames: u32,
    /// Log records of each frame
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub(crate) records: u32,
    /// Seed of the content
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// In which order things happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// The link is up: after each commit everything is read and confirmed.
    Steady,
    /// The link is down for all commits; then everything is read and confirmed.
    Outage,
}

/// Makes the frames' bodies: log records of three services, as an application writes them.
pub(crate) struct Frames {
    state: u64,
    records: u32,
    time_ns: u64,
}

impl Frames {
    pub(crate) fn new(load: &Load) -> Self {
        Self {
            state: load.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            records: load.records,
            time_ns: 1_760_000_000_000_000_000,
        }
    }

    /// xorshift64*: the same content for every engine.
    fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next frame's body.
    pub(crate) fn body(&mut self) -> Result<Vec<u8>> {
        let service = ["gateway", "orders", "engine-monitor"][(self.next() % 3) as usize];
        let mut request = Vec::new();
        let mut lines = Vec::new();
        for _ in 0..self.records {
            self.time_ns += 1_000_000 + self.next() % 50_000_000;
            let (time, number, trace) = (self.time_ns, self.next() % 10_000, [self.next(), self.next()]);
            put_message(&mut lines, 2, |out| {
                put_fixed64(out, 1, time);
                put_uint(out, 2, 9 + number % 2 * 4);
                put_message(out, 5, |out| {
                    let text = format!("request {number} to /api/v1/orders/{} took {} ms", number % 97, number % 450);
                    put_bytes(out, 1, text.as_bytes());
                });
                let id: Vec<u8> = trace.iter().flat_map(|half| half.to_be_bytes()).collect();
                put_bytes(out, 9, &id);
            });
        }
        put_message(&mut request, 1, |out| {
            put_message(out, 1, |out| {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, b"service.name");
                    put_message(out, 2, |out| put_bytes(out, 1, service.as_bytes()));
                });
            });
            put_bytes(out, 2, &lines);
        });
        let mut body = Vec::new();
        encode_body(&[SectionRef::Logs(&request)], &mut body)?;
        Ok(body)
    }
}

/// What an engine did, as its own process saw it. Sizes in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Results {
    /// Frames that came out again, in order.
    pub(crate) frames: u64,
    /// Bytes of the blocks that came out: what would go over the link.
    pub(crate) delivered_bytes: u64,
    /// Sent to the storage layer (proc_pid_io(5), `write_bytes`), with what was still cached written at the end.
    pub(crate) written_bytes: u64,
    /// Of that, per byte delivered.
    pub(crate) written_per_delivered: f64,
    pub(crate) high_water_rss: u64,
    pub(crate) anonymous_rss: u64,
    /// Of the directory after everything was confirmed.
    pub(crate) disk_bytes_after: u64,
    /// Seconds of the work; of use only against another engine in the same run.
    pub(crate) seconds: f64,
}
