//! The pipeline on a simulated clock: recorded requests in, what would be delivered out. No socket; no disk, unless the
//! recorder is in files.
//!
//! Input and output are lines of words. In: `MILLISECONDS SIGNAL HEX`, an OTLP request of `traces`, `logs` or `metrics` that
//! comes at that time after the start; `MILLISECONDS tick`, only time passing; `MILLISECONDS restart`, the program is killed and
//! begins anew with what it persisted: its decisions, and with `recorder.files` what was undecided and what came in since the
//! last commit; `MILLISECONDS discard HEX`, read and thrown away, and `MILLISECONDS
//! silent`, from here on nothing that is delivered is written, both to measure what the pipeline itself costs. Out: `batch LANE HEX`, a frame's body (docs/wire.md); `refused LINE`, a
//! request that has to wait a second, as a producer would; `bad LINE WHY`; and at the end `status NAME VALUE` for counters.

use std::collections::VecDeque;
use std::io::{BufRead, Write};

use config::Config;
use ledger::Ledger;
use model::Signal;
use red::Red;
use sources::{Answer, Request};

use crate::core_dumps::forbid_unless_wanted;
use crate::error::{StartError, start_error};
use crate::guarding::guard;
use crate::policies::{lanes, red, rules, sampler};
use crate::replay_files::Files;
use pipeline::Batch;
use pipeline::Pipeline;

/// The simulated start, Unix nanoseconds: 2026-01-01.
const START_NS: u64 = 1_767_225_600_000_000_000;
const MS: u64 = 1_000_000;
const TICK_MS: u64 = 100;
/// How long a refused producer waits.
const AGAIN_MS: u64 = 1_000;
/// A request is tried so often.
const TRIES: u32 = 120;

enum What {
    Request(Signal, Vec<u8>),
    Tick,
    Restart,
    Discard,
    Silent,
}

struct Event {
    at_ms: u64,
    line: usize,
    tries: u32,
    what: What,
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> =
        pairs.iter().map(|[high, low]| Some((digit(*high)? * 16 + digit(*low)?) as u8)).collect();
    bytes.filter(|_| rest.is_empty())
}

fn parse(text: &str, line: usize) -> Option<Event> {
    let mut words = text.split_ascii_whitespace();
    let at_ms = words.next()?.parse().ok()?;
    let what = match words.next()? {
        "tick" => What::Tick,
        "restart" => What::Restart,
        "silent" => What::Silent,
        "discard" => from_hex(words.next().unwrap_or_default()).map(|_| What::Discard)?,
        name => {
            let signal = Signal::ALL.into_iter().find(|signal| signal.name() == name)?;
            What::Request(signal, from_hex(words.next().unwrap_or_default())?)
        }
    };
    Some(Event { at_ms, line, tries: 0, what })
}

struct Replay<'a, W> {
    config: &'a Config,
    pipeline: Pipeline,
    /// With `recorder.files`.
    files: Option<Files>,
    now_ms: u64,
    red_ms: u64,
    silent: bool,
    /// The most spans that were undecided at once, and what index and recorder took then.
    most_pending: (u64, u64, u64),
    out: W,
}

/// A life of the program, as it begins.
fn begin(config: &Config, now_ns: u64) -> Result<(Pipeline, Option<Files>), StartError> {
    let (sampler, lanes, guard) = (sampler(config)?, lanes(config)?, guard(config)?);
    let (records, series, traces) = crate::limiting::limits(config)?;
    let make = |ledger| {
        let metrics = config.red.enabled.then(|| Red::new(red(config), START_NS + now_ns));
        let pipeline = Pipeline::new(config.recorder.memory.0, sampler, metrics, ledger);
        pipeline
            .with_rules(rules(config))
            .with_guard(guard)
            .with_lanes(lanes)
            .with_limits(records, series, traces)
            .with_drift(crate::limiting::drift(config))
    };
    if config.recorder.files.is_none() {
        return Ok((make(Ledger::default()), None));
    }
    let (files, pipeline) = Files::open(config, now_ns, START_NS + now_ns, make)?;
    Ok((pipeline, Some(files)))
}

impl<W: Write> Replay<'_, W> {
    /// Delivers what is ready. `tick`: time passed, and what is in files is committed; before that it is not delivered.
    fn write(&mut self, tick: bool) -> Result<(), StartError> {
        let now_ns = self.now_ms * MS;
        let ready = match &mut self.files {
            Some(files) if tick => files.commit(&mut self.pipeline, now_ns, START_NS + now_ns)?,
            Some(_) => Vec::new(),
            None => self.pipeline.take_batches(),
        };
        self.deliver(ready).map_err(|error| output(&error))
    }

    fn deliver(&mut self, batches: Vec<Batch>) -> std::io::Result<()> {
        for batch in batches {
            if self.silent {
                continue;
            }
            write!(self.out, "batch {} ", batch.lane)?;
            for byte in &batch.body {
                write!(self.out, "{byte:02x}")?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    /// Lets time pass, in ticks as the running program has them.
    fn advance(&mut self, to_ms: u64) -> Result<(), StartError> {
        while self.now_ms < to_ms {
            let pending = self.pipeline.ledger().pending.traces;
            if pending > self.most_pending.0 {
                let index = self.pipeline.sampling().bytes;
                self.most_pending = (pending, index, self.pipeline.bytes() - index);
            }
            self.now_ms = (self.now_ms + TICK_MS).min(to_ms);
            let now_ns = self.now_ms * MS;
            self.pipeline.set_clocks(now_ns, START_NS + now_ns);
            self.pipeline.tick(now_ns);
            if self.now_ms - self.red_ms >= self.config.red.interval.0.as_millis() as u64 {
                self.red_ms = self.now_ms;
                self.pipeline.write_red(START_NS + now_ns);
            }
            self.write(true)?;
        }
        Ok(())
    }

    fn take(&mut self, request: Request) -> Answer {
        let now_ns = self.now_ms * MS;
        match &mut self.files {
            Some(files) => files.take(&mut self.pipeline, request, now_ns, START_NS + now_ns),
            None => self.pipeline.accept(request, now_ns),
        }
    }

    fn restart(&mut self) -> Result<(), StartError> {
        let now_ns = self.now_ms * MS;
        if self.files.take().is_some() {
            (self.pipeline, self.files) = begin(self.config, now_ns)?;
            return Ok(());
        }
        let (mut next, _) = begin(self.config, now_ns)?;
        let mut resume = next.resume(now_ns);
        for (decision, age_ns) in self.pipeline.decisions(now_ns) {
            resume.decisions(&[decision.bits()], age_ns);
        }
        self.pipeline = next;
        Ok(())
    }
}

fn output(error: &std::io::Error) -> StartError {
    start_error(format!("output: {error}"))
}

/// Replays lines from `input` into `out`.
///
/// # Errors
/// [`StartError`] where a line cannot be read, or `out` not be written.
pub fn replay(config: &Config, input: impl BufRead, out: impl Write) -> Result<(), StartError> {
    forbid_unless_wanted(config)?;
    let mut events = VecDeque::new();
    for (index, text) in input.lines().enumerate() {
        let text = text.map_err(|error| start_error(format!("input: {error}")))?;
        if text.trim().is_empty() {
            continue;
        }
        let event = parse(&text, index + 1).ok_or_else(|| {
            start_error(format!(
                "input, line {}: want 'MILLISECONDS traces|logs|metrics|tick|restart [HEX]'",
                index + 1
            ))
        })?;
        events.push_back(event);
    }
    events.make_contiguous().sort_by_key(|event| event.at_ms);
    let written = |error: std::io::Error| output(&error);
    let (pipeline, files) = begin(config, 0)?;
    let mut run = Replay { config, pipeline, files, now_ms: 0, red_ms: 0, silent: false, most_pending: (0, 0, 0), out };
    run.pipeline.set_clocks(0, START_NS);
    while let Some(mut event) = events.pop_front() {
        run.advance(event.at_ms)?;
        match &event.what {
            What::Tick | What::Discard => {}
            What::Silent => run.silent = true,
            What::Restart => run.restart()?,
            What::Request(signal, body) => {
                let request = Request { signal: *signal, body: body.clone(), key: None };
                match run.take(request) {
                    Answer::Accepted => {}
                    Answer::Partial { why, .. } => {
                        writeln!(run.out, "partial {} {why}", event.line).map_err(written)?;
                    }
                    Answer::Bad(why) | Answer::Conflict(why) => {
                        writeln!(run.out, "bad {} {why}", event.line).map_err(written)?;
                    }
                    Answer::Wait(_) => {
                        writeln!(run.out, "refused {}", event.line).map_err(written)?;
                        event.at_ms = run.now_ms + AGAIN_MS;
                        event.tries += 1;
                        if event.tries < TRIES {
                            let place = events.partition_point(|other| other.at_ms <= event.at_ms);
                            events.insert(place, event);
                        }
                    }
                }
            }
        }
        run.write(false)?;
    }
    let wait = config.sampling.longest_wait().as_millis() as u64;
    run.advance(run.now_ms + wait + TICK_MS)?;
    run.finish().map_err(written)
}

impl<W: Write> Replay<'_, W> {
    fn finish(&mut self) -> std::io::Result<()> {
        let difference = match &mut self.files {
            Some(files) => files.difference(&mut self.pipeline),
            None => self.pipeline.ledger().difference(|_| 0),
        };
        let sampling = self.pipeline.sampling();
        let counters = self.pipeline.counters();
        let ledger = self.pipeline.ledger();
        for (name, value) in [
            ("kept_traces", ledger.kept_traces),
            ("dropped_traces", ledger.dropped_traces),
            ("recalled_traces", sampling.recalled_traces),
            ("recalled_too_late", sampling.recalled_too_late),
            ("spanless_traces", sampling.spanless_traces),
            ("decided_early", sampling.decided_early),
            ("forgotten_early", sampling.forgotten_early),
            ("late_unknown", sampling.late_unknown),
            ("incidents_by_alert", sampling.incidents_by_alert),
            ("late_parts", sampling.late_parts),
            ("trace_ids_from_fields", counters.trace_ids_from_fields),
            ("log_records_by_rule", counters.log_records_by_rule),
            ("refused_spans", ledger.refused.traces),
            ("most_pending_spans", self.most_pending.0),
            ("index_bytes_then", self.most_pending.1),
            ("recorder_bytes_then", self.most_pending.2),
            ("pending", ledger.pending.total()),
            ("difference", difference),
        ] {
            writeln!(self.out, "status {name} {value}")?;
        }
        self.out.flush()
    }
}
