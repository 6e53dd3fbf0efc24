//! A row of steps: each is run even when another one failed, and the end says which failed and which were skipped.

use crate::clock;
use anyhow::{Result, bail};
use std::time::Duration;

enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// The steps of one task so far.
pub(crate) struct Report {
    task: &'static str,
    steps: Vec<(String, Outcome, Duration)>,
}

impl Report {
    pub(crate) fn new(task: &'static str) -> Self {
        Self { task, steps: Vec::new() }
    }

    /// Runs one step and notes how it went.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<()>) {
        eprintln!("\n== {name}");
        let start = clock::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => {
                eprintln!("{error:#}");
                Outcome::Failed(format!("{error}").lines().next().unwrap_or_default().to_owned())
            }
        };
        self.steps.push((name.to_owned(), outcome, clock::now().duration_since(start)));
    }

    /// Notes a step that was not run, and why.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        self.steps.push((name.to_owned(), Outcome::Skipped(reason.to_owned()), Duration::ZERO));
    }

    /// Prints one line per step; an error when one failed.
    pub(crate) fn finish(self) -> Result<()> {
        eprintln!("\n{}:", self.task);
        let mut failed = 0;
        for (name, outcome, time) in &self.steps {
            let seconds = time.as_secs_f64();
            match outcome {
                Outcome::Passed => eprintln!("  passed   {seconds:6.1} s  {name}"),
                Outcome::Failed(why) => {
                    failed += 1;
                    eprintln!("  FAILED   {seconds:6.1} s  {name}: {why}");
                }
                Outcome::Skipped(why) => eprintln!("  skipped            {name}: {why}"),
            }
        }
        if failed > 0 {
            bail!("{failed} of {} steps of {} failed", self.steps.len(), self.task);
        }
        Ok(())
    }
}
