//! Why a trace was dropped: its records once more through the policies of the configuration.

use std::fmt::Write;

use config::Config;
use model::otlp::{SpanView, for_each_scope};
use model::proto::ProtoError;
use model::{Signal, TraceId};
use sampling::{Evidence, LogRecordFacts, Part, STATUS_MASK_ERROR, STATUS_MASK_OK, STATUS_MASK_UNSET};

use crate::error::{StartError, start_error};
use crate::policies::sampler;
use pipeline::span_part;

/// What is known of a trace from these export requests, and how each policy votes on it, in lines for people. Rates have no vote:
/// what they let through then is not known now.
///
/// # Errors
/// [`StartError`] when the policies cannot be made, or a request does not read.
pub fn why(config: &Config, trace: TraceId, requests: &[(Signal, Vec<u8>)]) -> Result<String, StartError> {
    let mut sampler = sampler(config)?;
    let bad = |error: ProtoError| start_error(format!("a record does not read: {error}"));
    for (signal, request) in requests {
        for_each_scope::<ProtoError>(request, |scope| {
            let of_resource = sampler.conditions().of_resource(scope.resource.resource);
            for item in scope.items() {
                let item = item?;
                let part = match signal {
                    Signal::Traces => {
                        let span = SpanView::read(item)?;
                        let conditions = of_resource | sampler.conditions().of_span(&span);
                        span_part(&span, conditions, sampling::ALWAYS, 0)
                    }
                    Signal::Logs => {
                        let line = LogRecordFacts::read(item, &[])?;
                        Part::LogRecord { severity: line.severity, time_ns: line.time_ns }
                    }
                    Signal::Metrics => continue,
                };
                sampler.part(trace, part, item.len() as u64, 0, 0);
            }
            Ok(())
        })
        .map_err(bad)?;
    }
    let Some((evidence, votes)) = sampler.votes(&trace, 0) else {
        return Err(start_error("the trace does not fit in sampling.memory"));
    };
    let mut out = known(&evidence);
    for (name, vote) in votes {
        let says = match vote {
            "keep" => "keeps it",
            "drop" => "drops it, whatever others say",
            _ => "does not keep it",
        };
        // Writing into a String cannot fail.
        let _written = writeln!(out, "  policy {name:<24} {says}");
    }
    Ok(out)
}

fn known(evidence: &Evidence) -> String {
    let statuses = [(STATUS_MASK_ERROR, "error"), (STATUS_MASK_OK, "ok"), (STATUS_MASK_UNSET, "unset")];
    let statuses: Vec<&str> =
        statuses.into_iter().filter(|(bit, _)| evidence.statuses & bit != 0).map(|(_, name)| name).collect();
    format!(
        "  it has {} spans, {}, status {}{}\n",
        evidence.spans,
        query::time::length(evidence.duration_ns()),
        if statuses.is_empty() { "none".to_owned() } else { statuses.join(" and ") },
        match evidence.severity {
            0 => String::new(),
            severity => format!(", log records up to {}", filter::level_name(u64::from(severity))),
        }
    )
}
