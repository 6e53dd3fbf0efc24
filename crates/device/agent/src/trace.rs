//! `trace`: one trace, and where it stands.

use filter::{Engine, Output};
use model::TraceId;
use query::output::{self, Format};
use query::{Found, State, TailPosition, waterfall};

use crate::arguments::Arguments;
use crate::local::{Place, explain, place, reader, scan, style};
use crate::{Failure, print, socket};

/// Records of one trace that are shown at most.
const RECORDS: usize = filter::MAX_ROWS;

/// `lightship trace ID`
pub(crate) fn trace(arguments: &Arguments) -> Result<(), Failure> {
    let (place, style) = (place(arguments)?, style(arguments)?);
    let id = arguments.words.first().and_then(|id| TraceId::from_hex(id)).ok_or_else(|| {
        Failure::usage("which trace? lightship trace ID, 32 hex digits; find one with lightship query 'level>=error'")
    })?;
    let text = format!("trace={id} | limit {RECORDS}");
    let query = filter::parse(&text, 0).map_err(|error| Failure::usage(error.to_string()))?;
    let mut engine = Engine::new(&query);
    let (scanned, _) = scan(&place, &query, TailPosition::default(), u64::MAX, |found| engine.push(found))?;
    let mut answer = engine.finish();
    let mut out = String::new();
    if let Output::Records { records, .. } = &mut answer {
        if records.is_empty() {
            return Err(nothing(&place, id));
        }
        query::settle(records, &query, &reader(&place)?).map_err(|error| Failure::unwell(error.to_string()))?;
    }
    match &answer {
        Output::Records { records, .. } if style.format == Format::Table => {
            waterfall::write(&mut out, records, style.colour);
            out.push_str(&standing(arguments, &place, id, records)?);
        }
        answer => output::answer(&mut out, answer, style),
    }
    print(&out)?;
    if arguments.explain {
        explain(&query, &scanned);
    }
    Ok(())
}

/// What the running agent's sampler says; `None` when no agent answers.
fn decision(place: &Place, id: TraceId) -> Option<String> {
    socket::on_socket(&place.data_dir, "GET", &format!("/decision?trace={id}")).and_then(socket::text).ok()
}

fn nothing(place: &Place, id: TraceId) -> Failure {
    let why = match decision(place, id).as_deref() {
        Some("dropped") => "; it was sampled out, and the recorder no longer has it",
        Some("kept") => "; it was kept, and what was delivered is no longer here",
        Some(_) => "",
        None => "; no agent runs here that could tell more",
    };
    Failure::unwell(format!("this device holds nothing of trace {id}{why}"))
}

/// Where the trace's records are: delivered, queued, or only in the recorder, and then why.
fn standing(arguments: &Arguments, place: &Place, id: TraceId, records: &[Found]) -> Result<String, Failure> {
    let count = |state: State| records.iter().filter(|record| record.state() == Some(state)).count();
    let (delivered, queued, held) = (count(State::Delivered), count(State::Queued), count(State::Held));
    let mut out = String::from("\n");
    for (records, says) in
        [(delivered, "delivered to every destination"), (queued, "queued; lightship queue ls says for whom")]
    {
        if records > 0 {
            out.push_str(&format!("{records} records {says}\n"));
        }
    }
    if held == 0 {
        return Ok(out);
    }
    match decision(place, id).as_deref() {
        Some("undecided") => out.push_str(&format!("{held} records wait for the decision of their trace\n")),
        Some("kept") => out.push_str(&format!("{held} records of a kept trace are on their way to the journal\n")),
        Some("dropped") => {
            out.push_str(&format!(
                "{held} records sampled out; deliver them after all with: lightship fetch trace={id}\n"
            ));
            // Without the configuration the policies are not known.
            if arguments.data_dir.is_none() {
                let requests: Vec<_> = records.iter().map(|record| (record.signal(), record.request())).collect();
                let why = edge::why(&crate::load(arguments)?, id, &requests);
                out.push_str(&why.map_err(|error| Failure::usage(error.to_string()))?);
            }
        }
        Some(_) => out.push_str(&format!("{held} records in the recorder only; no decision is remembered\n")),
        None => out.push_str(&format!(
            "{held} records in the recorder only: undecided or sampled out; the agent, which knows, does not run\n"
        )),
    }
    Ok(out)
}
