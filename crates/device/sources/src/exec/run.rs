//! One program: run, read, waited for, and run again.

use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::expositions::{Exposed, take_otlp};
use super::{ExecOutput, ExecSettings};
use crate::children::{Child, Outcome, Words};
use crate::lines::{CHUNK, Giver, Lines};

/// How long is waited before a program that is kept running is started again: from, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long what a program wrote last may take to be read, once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A program, and what is known between its runs.
pub(super) struct Runner {
    settings: ExecSettings,
    giver: Giver,
    exposed: Option<Exposed>,
}

impl Runner {
    pub(super) fn new(settings: ExecSettings, giver: Giver) -> Self {
        let exposed = match &settings.output {
            ExecOutput::Prometheus { instance } => {
                let exposed = Exposed::new(&settings.name, instance, settings.max_output);
                exposed.map_err(|why| giver.feed.state().error("bad_target", 1, &why)).ok()
            }
            ExecOutput::Lines(_) | ExecOutput::OtlpJson => None,
        };
        Self { settings, giver, exposed }
    }

    pub(super) async fn run(mut self) {
        match self.settings.interval {
            Some(every) => {
                let mut rounds = interval(every);
                rounds.set_missed_tick_behavior(MissedTickBehavior::Skip);
                loop {
                    rounds.tick().await;
                    Box::pin(self.once(Some(self.settings.timeout))).await;
                }
            }
            None => {
                let mut wait = AGAIN.0;
                loop {
                    let started = Instant::now();
                    Box::pin(self.once(None)).await;
                    if started.elapsed() >= AGAIN.1 {
                        wait = AGAIN.0;
                    }
                    sleep(wait).await;
                    wait = (2 * wait).min(AGAIN.1);
                }
            }
        }
    }

    /// One run to its end; whatever went wrong is told.
    async fn once(&mut self, limit: Option<Duration>) {
        let Self { settings, giver, exposed } = self;
        let state = giver.feed.state();
        let started = Child::start(&settings.command, &settings.environment, &settings.directory);
        let (mut child, stdout, stderr) = match started {
            Ok(started) => started,
            Err(error) => {
                let program = settings.command.first().map_or("", String::as_str);
                state.error("start", 1, &format!("{program} cannot be run: {error}"));
                if let Some(exposed) = exposed {
                    exposed.failed(giver).await;
                }
                return;
            }
        };
        let (mut words, mut is_read) = (Words::default(), false);
        let outcome = {
            let mut reading = pin!(async {
                tokio::join!(read(settings, exposed.as_mut(), stdout, giver), words.read(stderr, state))
            });
            let deadline = async {
                match limit {
                    Some(limit) => sleep(limit).await,
                    None => std::future::pending().await,
                }
            };
            let mut deadline = pin!(deadline);
            let outcome = loop {
                tokio::select! {
                    status = child.exited() => break match status {
                        Ok(status) => Outcome::Exited(status),
                        Err(_) => Outcome::TimedOut,
                    },
                    () = &mut deadline => break Outcome::TimedOut,
                    _ = &mut reading, if !is_read => is_read = true,
                }
            };
            if outcome == Outcome::TimedOut {
                child.end().await;
            }
            // The pipes end with the group, unless something left it and holds them.
            while !is_read {
                is_read = timeout(LAST_WORDS, &mut reading).await.is_ok();
                if !is_read && !giver.is_giving() {
                    let why = "something that it started holds its output open; what that writes is not read";
                    state.error("left_behind", 1, why);
                    break;
                }
            }
            outcome
        };
        let failed = outcome.error().or_else(|| {
            let is_kept = settings.interval.is_none();
            is_kept.then(|| ("ended", "it ended, though it is to be kept running".to_owned()))
        });
        if let Some((reason, what)) = failed {
            let said = words.last();
            let why = if said.is_empty() { what } else { format!("{what}: {said}") };
            state.error(reason, 1, &why);
            if let Some(exposed) = exposed {
                exposed.failed(giver).await;
            }
        }
    }
}

/// Reads what a program writes, to its end.
async fn read(settings: &ExecSettings, exposed: Option<&mut Exposed>, from: impl AsyncRead + Unpin, giver: &Giver) {
    match (&settings.output, exposed) {
        (ExecOutput::Lines(lines), _) => read_lines(Lines::new(lines, giver.clone()), lines.flush_after, from).await,
        (ExecOutput::Prometheus { .. }, Some(exposed)) => {
            read_expositions(exposed, settings.max_output, from, giver).await;
        }
        (ExecOutput::Prometheus { .. }, None) => {}
        (ExecOutput::OtlpJson, _) => {
            let mut buffer = Bounded::new(settings.max_output, from);
            while let Some(line) = buffer.line(giver).await {
                take_otlp(&line, 2 * settings.max_output, giver).await;
            }
        }
    }
}

/// Reads log lines to their end.
pub(crate) async fn read_lines(mut lines: Lines, flush_after: Duration, mut from: impl AsyncRead + Unpin) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk);
        let length = if lines.is_waiting() {
            match timeout(flush_after, read).await {
                Ok(length) => length,
                Err(_) => {
                    lines.flush().await;
                    continue;
                }
            }
        } else {
            read.await
        };
        match length {
            Ok(length @ 1..) => lines.push(&chunk[..length]).await,
            _ => break,
        }
    }
    lines.finish().await;
}

/// Reads expositions to the end: each ends with a line `# EOF`, or with the output.
async fn read_expositions(exposed: &mut Exposed, most: usize, from: impl AsyncRead + Unpin, giver: &Giver) {
    let mut buffer = Bounded::new(most, from);
    let mut text = Vec::new();
    let mut is_too_large = false;
    loop {
        let line = buffer.line(giver).await;
        let is_end = line.as_ref().is_none_or(|line| line == b"# EOF");
        match line {
            Some(line) if !is_end => {
                is_too_large |= text.len() + line.len() >= most;
                if !is_too_large {
                    text.extend_from_slice(&line);
                    text.push(b'\n');
                }
            }
            more => {
                if is_too_large {
                    giver.feed.state().error("too_large", 1, &format!("an exposition has more than {most} bytes"));
                    exposed.failed(giver).await;
                } else if !text.is_empty() {
                    exposed.take(&text, giver).await;
                }
                (text, is_too_large) = (Vec::new(), false);
                if more.is_none() {
                    return;
                }
            }
        }
    }
}

/// Lines of bounded length.
struct Bounded<R> {
    from: R,
    most: usize,
    buffer: Vec<u8>,
    is_ended: bool,
}

impl<R: AsyncRead + Unpin> Bounded<R> {
    fn new(most: usize, from: R) -> Self {
        Self { from, most, buffer: Vec::new(), is_ended: false }
    }

    /// The next line, without its end; one that is too long is passed over, and told.
    async fn line(&mut self, giver: &Giver) -> Option<Vec<u8>> {
        let (mut looked, mut passed) = (0, false);
        loop {
            if let Some(at) = self.buffer[looked..].iter().position(|byte| *byte == b'\n').map(|at| looked + at) {
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                line.pop();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                if passed || line.len() > self.most {
                    self.too_long(giver);
                    (looked, passed) = (0, false);
                    continue;
                }
                return Some(line);
            }
            if self.buffer.len() > self.most {
                self.buffer.clear();
                passed = true;
            }
            looked = self.buffer.len();
            if self.is_ended {
                if passed {
                    self.too_long(giver);
                }
                let rest = std::mem::take(&mut self.buffer);
                return Some(rest).filter(|rest| !rest.is_empty() && !passed);
            }
            let length = self.buffer.len();
            self.buffer.resize(length + CHUNK.min(4 << 10), 0);
            let read = self.from.read(&mut self.buffer[length..]).await.unwrap_or(0);
            self.buffer.truncate(length + read);
            self.is_ended = read == 0;
        }
    }

    fn too_long(&self, giver: &Giver) {
        let why = format!("a line has more than {} bytes (max_output); it is left out", self.most);
        giver.feed.state().error("too_large", 1, &why);
    }
}
