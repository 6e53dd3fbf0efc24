//! OTLP metrics as Prometheus knows them, sans-IO: names, labels and samples as Prometheus' own OTLP endpoint makes them, written as
//! remote write messages ([delivery.md](../../../docs/delivery.md#prometheus)).
//!
//! | module | concept |
//! |---|---|
//! | [`Translation`] | names of metrics, labels and units |
//! | `symbols` | byte strings, each once, by number |
//! | `batch` | series, samples and exemplars of one request, before they are written |
//! | `labels` | labels of a resource, of a point and of an exemplar |
//! | `histogram` | exponential histograms as native ones |
//! | [`put_float`] | numbers as labels |
//! | [`Translator`] | the walk over an OTLP request |
//! | `encode` | [`Message`] of remote write 1.0 or 2.0 |
//!
//! Bytes are walked as they came; nothing is decoded into structures of its own. A translator's memory is about that of the message
//! it writes, and is given back by [`Translator::release`].

mod batch;
#[cfg(test)]
mod cases_tests;
mod encode;
mod float;
mod histogram;
mod labels;
mod names;
mod points;
mod symbols;
mod translate;
#[cfg(test)]
mod translate_tests;

pub use encode::Message;
pub use float::put_float;
pub use names::{NamedAs, TYPE, Translation, own_name, unit_name};
pub use translate::{Counts, Options, TranslateError, Translator};
