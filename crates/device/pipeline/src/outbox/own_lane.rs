//! Records of one lane that nothing decides over.

use model::Signal;
use model::otlp::{Selection, SpanView, for_each_scope, string_attribute};
use model::proto::ProtoError;
use red::Red;
use sampling::LogRecordFacts;

use crate::attributes::with_ids;
use crate::books::Incoming;

use super::batch::Sections;

/// Records of one lane that nothing decides over.
#[derive(Default)]
pub(crate) struct OwnLane {
    spans: Selection,
    log_records: Selection,
    points: Vec<u8>,
}

impl OwnLane {
    /// Routes the spans or log records of a request to this lane, past recorder and sampler. Spans count in `red` as all do.
    ///
    /// # Errors
    /// Where the bytes do not walk; `facts` tell what came before.
    pub(crate) fn route(
        &mut self,
        signal: Signal,
        request: &[u8],
        mut red: Option<&mut Red>,
        facts: &mut Incoming,
    ) -> Result<(), ProtoError> {
        for_each_scope::<ProtoError>(request, |scope| {
            let service = string_attribute(scope.resource.resource, 1, "service.name").unwrap_or_default();
            for item in scope.items() {
                let item = item?;
                facts.passing += 1;
                if signal == Signal::Traces {
                    if let Some(red) = &mut red {
                        red.observe(scope.resource.resource, service, &SpanView::read(item)?);
                    }
                    self.spans.push(&scope, item);
                } else {
                    let record = LogRecordFacts::read(item, &[])?;
                    facts.trace_ids_from_fields += u64::from(record.trace_id.is_some() && !record.has_own_trace_id);
                    self.log_records.push(&scope, &with_ids(item, &record));
                }
            }
            Ok(())
        })
    }

    /// The `MetricsData` of its points, to be appended to.
    pub(super) fn points(&mut self) -> &mut Vec<u8> {
        &mut self.points
    }

    /// About how many bytes it holds.
    pub(super) fn bytes(&self) -> usize {
        self.spans.bytes() + self.log_records.bytes() + self.points.len()
    }

    /// The batch to be.
    pub(super) fn into_sections(self) -> Sections {
        Sections::gathered(&self.spans, &self.log_records, self.points, Vec::new())
    }
}
