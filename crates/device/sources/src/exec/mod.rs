//! Programs that say something: run at an interval, or kept running. What they write is taken in as log lines, as an exposition of
//! Prometheus, or as OTLP in JSON lines; what they complain of is told as this source's own words.

mod expositions;
mod run;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::Feed;
use crate::lines::{CHUNK, Giver, LineSettings};

/// What a program writes.
pub enum ExecOutput {
    /// Log lines.
    Lines(Box<LineSettings>),
    /// Prometheus' text format; the series' `instance` is the device of this name. Of a program that is kept running a line `# EOF` ends each
    /// exposition.
    Prometheus {
        /// The value of `instance`.
        instance: String,
    },
    /// OTLP in JSON: one request a line.
    OtlpJson,
}

/// How one program is run.
pub struct ExecSettings {
    /// Its name in the configuration.
    pub name: String,
    /// The program's path and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// How often it is run; `None`: it is kept running.
    pub interval: Option<Duration>,
    /// How long a run at an interval may take.
    pub timeout: Duration,
    /// What it writes.
    pub output: ExecOutput,
    /// The most bytes of an exposition, or of a line of OTLP.
    pub max_output: usize,
    /// Its environment beside `PATH`.
    pub environment: Vec<(String, String)>,
    /// Where it is run.
    pub directory: PathBuf,
}

impl ExecSettings {
    /// The name under which it is shown.
    pub fn shown(&self) -> String {
        format!("exec/{}", self.name)
    }

    /// The most memory that it takes here, bytes. What the program itself takes is its own.
    pub fn budget(&self) -> u64 {
        // What was read, and what is written of it while it is handed over.
        let output = match &self.output {
            ExecOutput::Lines(lines) => lines.budget(),
            ExecOutput::Prometheus { .. } => 4 * self.max_output as u64,
            ExecOutput::OtlpJson => 3 * self.max_output as u64,
        };
        output + 2 * CHUNK as u64
    }
}

/// Runs it until it is ended.
pub async fn run(settings: ExecSettings, feed: Feed, wall_ns: Rc<dyn Fn() -> u64>) {
    run::Runner::new(settings, Giver::new(feed, wall_ns)).run().await;
}
