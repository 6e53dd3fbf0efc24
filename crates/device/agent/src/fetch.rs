//! `fetch`: what was not delivered, or was delivered before, into a lane. The files are read here; the running agent takes
//! what is selected, one frame's worth at a time, through its guard and its books.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::time::Duration;

use disk::RealDisk;
use filter::{Query, Record};
use journal::reader::Reader;
use model::otlp::{ScopeGroup, Selection};
use model::{Lane, Signal, TraceId};
use query::{View, each_in_scope};
use recorder::{Content, RequestsRead, read_requests};
use wire::{Inflater, RawBlock, Section, decode_frame};

use crate::arguments::Arguments;
use crate::local::{Place, parse, place, query_text, reader};
use crate::{Failure, print, socket};

/// The most traces that one order fetches.
const MOST: usize = 1000;
/// Records that are given to the agent at once, bytes: one frame.
const PORTION: usize = 48 << 10;
/// How often the agent is asked again, a second apart, while it has no room.
const TRIES: usize = 60;
/// How long a trace may have waited for its decision, where no configuration says.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// `lightship fetch`
pub(crate) fn fetch(arguments: &Arguments) -> Result<(), Failure> {
    let place = place(arguments)?;
    // So that mistakes are pointed at also when no agent runs.
    let now = edge::Clock::start().wall_ns();
    let text = query_text(arguments, now)?;
    if text.trim().is_empty() {
        return Err(Failure::usage("which records? lightship fetch FILTER"));
    }
    let query = parse(arguments, now)?;
    if let Some(pipe) = query.pipes.first() {
        return Err(Failure::usage(format!("only records can be fetched: leave out `| {pipe}`")));
    }
    let lane = match &arguments.lane {
        None => None,
        Some(name) => Some(name.parse::<Lane>().map_err(|_| Failure::usage(format!("there is no lane {name}")))?),
    };
    let order = Order { place: &place, query: &query, lane };
    let said = if arguments.history { order.history()? } else { order.recorder(&text)? };
    print(&said)
}

struct Order<'a> {
    place: &'a Place,
    query: &'a Query,
    lane: Option<Lane>,
}

/// Records on their way to the agent.
struct Gather<'a> {
    order: &'a Order<'a>,
    from: &'static str,
    /// By the records' own lane.
    parts: Vec<(Lane, Signal, Selection)>,
    /// Records that were taken, by their own lane.
    taken: BTreeMap<Lane, u64>,
    failed: Option<Failure>,
}

impl Gather<'_> {
    /// Adds a record; gives what is gathered to the agent once it is enough for a frame. Once that failed nothing is added.
    fn push(&mut self, lane: Lane, scope: &ScopeGroup<'_>, view: &View<'_>) {
        if self.failed.is_some() {
            return;
        }
        let signal = view.signal();
        let item = view.alone();
        if self.parts.iter().map(|(.., part)| part.bytes()).sum::<usize>() + item.len() > PORTION {
            self.flush();
        }
        match self.parts.iter_mut().find(|part| (part.0, part.1) == (lane, signal)) {
            Some((.., part)) => part.push(scope, &item),
            None => {
                let mut part = Selection::default();
                part.push(scope, &item);
                self.parts.push((lane, signal, part));
            }
        }
    }

    fn flush(&mut self) {
        for (lane, signal, part) in std::mem::take(&mut self.parts) {
            let mut request = Vec::with_capacity(part.bytes());
            part.write(&mut request);
            let into = self.order.lane.unwrap_or(lane);
            let path = format!("/fetch/take?signal={}&lane={into}&from={}", signal.name(), self.from);
            match self.order.give(&path, &request) {
                Ok(answer) => *self.taken.entry(lane).or_default() += answer.trim().parse::<u64>().unwrap_or(0),
                Err(failure) => {
                    self.failed = Some(failure);
                    return;
                }
            }
        }
    }

    /// Gives the rest; how many records were taken.
    fn finish(mut self) -> Result<BTreeMap<Lane, u64>, Failure> {
        self.flush();
        match self.failed {
            Some(failure) => Err(failure),
            None => Ok(self.taken),
        }
    }

    fn go_on(&self) -> ControlFlow<()> {
        if self.failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Order<'_> {
    /// Gives the agent a body, and waits while it has no room.
    fn give(&self, path: &str, body: &[u8]) -> Result<String, Failure> {
        let data_dir = &self.place.data_dir;
        for _ in 0..TRIES {
            let answer = socket::give(data_dir, path, body).map_err(|error| {
                let path = data_dir.join(edge::SOCKET);
                Failure::unwell(format!(
                    "{}: {error}; the agent has to run, and you need the right to write there",
                    path.display()
                ))
            })?;
            match answer {
                Some(answer) => return Ok(answer),
                None => std::thread::sleep(Duration::from_secs(1)),
            }
        }
        Err(Failure::unwell("the agent has no room: its disk does not take what waits; ask again later"))
    }

    fn gather(&self, from: &'static str) -> Gather<'_> {
        Gather { order: self, from, parts: Vec::new(), taken: BTreeMap::new(), failed: None }
    }

    fn passes(&self, view: &View<'_>) -> bool {
        self.query.range.contains(view.time_ns()) && self.query.filter.matches(view)
    }

    /// Calls `each` with every record of the recorder's files, with the scope around it and when it came.
    fn each_recorded(
        &self,
        reader: &Reader<RealDisk>,
        mut each: impl FnMut(&ScopeGroup<'_>, &View<'_>, u64) -> ControlFlow<()>,
    ) -> Result<RequestsRead, Failure> {
        let read = read_requests(reader.disk(), reader.epoch(), 0, 0, |found| {
            let Content::Request(signal) = found.content else { return ControlFlow::Continue(()) };
            let mut flow = ControlFlow::Continue(());
            // What does not read was recorded by nobody.
            let _walked = each_in_scope(signal, found.bytes, &self.place.device, |scope, view| {
                if flow.is_continue() {
                    flow = each(scope, &view, found.wall_ns);
                }
            });
            flow
        });
        read.map_err(|error| Failure::unwell(error.to_string()))
    }

    /// Dropped traces of which a record passes, whole, and log records without a trace that a rule left out.
    fn recorder(&self, text: &str) -> Result<String, Failure> {
        let reader = reader(self.place)?;
        let (mut wanted, mut more) = (BTreeSet::new(), false);
        let read = self.each_recorded(&reader, |_, view, _| {
            if let Some(trace) = self.passes(view).then(|| pipeline::trace_of(view)).flatten() {
                if wanted.len() < MOST || wanted.contains(&trace) {
                    wanted.insert(trace);
                } else {
                    more = true;
                }
            }
            ControlFlow::Continue(())
        })?;
        let lane = self.lane.map_or("", Lane::name);
        // What is in memory the agent finds itself.
        let memory = self.give(&format!("/fetch?q={}&lane={lane}", socket::escaped(text)), &[])?;
        if read.requests == 0 {
            return Ok(memory);
        }
        let fetched = memory.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0_usize);
        let wanted: Vec<TraceId> = wanted.into_iter().collect();
        let ids: Vec<u8> = wanted.iter().flat_map(|trace| trace.0).collect();
        let letters = match wanted.is_empty() {
            true => String::new(),
            false => self.give(&format!("/fetch/traces?lane={lane}"), &ids)?,
        };
        let count = |letter| letters.matches(letter).count();
        let dropped: BTreeSet<TraceId> =
            wanted.iter().zip(letters.chars()).filter(|(_, letter)| *letter == 'd').map(|(trace, _)| *trace).collect();
        let (whole, lines) = self.give_dropped(&reader, &dropped)?;
        let ids: Vec<u8> = whole.iter().flat_map(|trace| trace.0).collect();
        if !ids.is_empty() {
            self.give("/fetch/keep", &ids)?;
        }
        let mut said = format!(
            "{} traces fetched; {} were kept before, {} are undecided, {} are not whole any more",
            fetched + count('f') + whole.len(),
            count('k').saturating_sub(fetched),
            count('u'),
            count('-') + dropped.len() - whole.len()
        );
        if lines > 0 {
            said.push_str(&format!("; {lines} lines without a trace fetched"));
        }
        if more {
            said.push_str("; there are more: ask again");
        }
        Ok(said + "\n")
    }

    /// Gives the agent all spans and log records of the dropped traces that the files hold from their beginning on, and log records without
    /// a trace that pass, of which it takes those that it left out. Gives these traces and the number of these log records.
    fn give_dropped(
        &self,
        reader: &Reader<RealDisk>,
        dropped: &BTreeSet<TraceId>,
    ) -> Result<(Vec<TraceId>, u64), Failure> {
        let wait = u64::try_from(self.place.wait.unwrap_or(LONGEST_WAIT).as_nanos()).unwrap_or(u64::MAX);
        let oldest = read_requests(reader.disk(), reader.epoch(), 0, 0, |_| ControlFlow::Break(()));
        let oldest = oldest.map_err(|error| Failure::unwell(error.to_string()))?;
        // An earlier part came within the wait before the first one that is here, if there is one.
        let begins = |came: u64| oldest.oldest <= 1 || came.saturating_sub(wait) > oldest.oldest_ns;
        let mut whole: HashMap<TraceId, bool> = HashMap::new();
        let mut gather = self.gather("recorder");
        self.each_recorded(reader, |scope, view, came| {
            match pipeline::trace_of(view) {
                Some(trace) if dropped.contains(&trace) && *whole.entry(trace).or_insert_with(|| begins(came)) => {
                    gather.push(Lane::Traces, scope, view);
                }
                None if view.signal() == Signal::Logs && self.passes(view) => gather.push(Lane::Logs, scope, view),
                _ => {}
            }
            gather.go_on()
        })?;
        let taken = gather.finish()?;
        let whole = whole.into_iter().filter(|(_, whole)| *whole).map(|(trace, _)| trace).collect();
        Ok((whole, taken.get(&Lane::Logs).copied().unwrap_or(0)))
    }

    /// What every destination is done with, once more.
    fn history(&self) -> Result<String, Failure> {
        let reader = reader(self.place)?;
        let answer = self.give("/fetch/done", &[])?;
        let done: HashMap<Lane, u64> = answer
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(lane, last)| Some((lane.parse().ok()?, last.parse().ok()?)))
            .collect();
        let (mut queued, mut damaged) = (0, 0);
        let mut gather = self.gather("history");
        let mut inflater = Inflater::new();
        let walked = reader.blocks(&query::wanted_blocks(self.query), |found| {
            let last = done.get(&found.lane).copied().unwrap_or(0);
            let frames = RawBlock::parse(found.bytes).and_then(|(block, _)| block.frames(&mut inflater));
            let Ok(frames) = frames else {
                damaged += 1;
                return ControlFlow::Continue(());
            };
            for (sequence, bytes) in frames {
                let Ok(frame) = decode_frame(bytes) else {
                    damaged += 1;
                    continue;
                };
                for section in &frame.sections {
                    let (signal, bytes) = match section {
                        Section::Traces(bytes) => (Signal::Traces, bytes),
                        Section::Logs(bytes) => (Signal::Logs, bytes),
                        Section::Metrics(bytes) => (Signal::Metrics, bytes),
                        // They belong to points that have them, and a gap is no record.
                        Section::Exemplars(_) | Section::Gap(_) => continue,
                    };
                    let read = each_in_scope(signal, bytes, &frame.header.device, |scope, view| {
                        if !self.passes(&view) {
                        } else if sequence > last {
                            queued += 1;
                        } else {
                            gather.push(found.lane, scope, &view);
                        }
                    });
                    damaged += u64::from(read.is_err());
                }
            }
            gather.go_on()
        });
        damaged += walked.map_err(|error| Failure::unwell(error.to_string()))?.damaged;
        let records: u64 = gather.finish()?.values().sum();
        let mut said = format!("{records} records fetched from history; {queued} still wait for a destination");
        if damaged > 0 {
            said.push_str(&format!("; {damaged} blocks or frames cannot be read"));
        }
        Ok(said + "\n")
    }
}
