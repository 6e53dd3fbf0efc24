//! Prometheus' side of a scrape, sans-IO: expositions as their bytes come, relabelled, as OTLP
//! ([sources.md](../../../docs/sources.md#prometheus)).
//!
//! | module | concept |
//! |---|---|
//! | [`Job`], [`Target`] | what is scraped, and how it is labelled |
//! | [`Relabel`] | rules for labels |
//! | `negotiate` | what is asked for, and in what the answer came |
//! | [`Scrape`] | one scrape: bytes in, export requests out |
//! | `line`, `composite` | one line of text |
//! | `families`, `distribution` | the protobuf form |
//! | `labels`, `kind`, `number`, `unit` | what a series is made of |
//! | `group`, `assemble` | series that are one point together |
//! | `writer` | points as OTLP |
//! | `stale` | series that ended |
//! | [`read_written`] | messages of remote write |
//!
//! The whole scrape fails with its first bad line, as in Prometheus. Memory is about that of the export request, and of a family of
//! histograms or summaries while it is gathered; [`Scrape::capacity`] tells it, so that its host can refuse.

mod assemble;
mod composite;
mod distribution;
mod families;
mod group;
mod job;
mod kind;
mod labels;
mod line;
mod negotiate;
mod number;
mod relabel;
mod scrape;
mod shown;
mod stale;
mod target;
mod unit;
mod writer;
mod written;

pub use assemble::Counts;
pub use job::{Job, Limits};
pub use labels::Labels;
pub use negotiate::{DEFAULT_PROTOCOLS, Escaping, Protocol, accept, answered};
pub use relabel::{Action, Relabel, RelabelScratch, RuleOptions};
pub use scrape::{Finished, Scrape, ScrapeError, Scraped, TargetState};
pub use target::{Target, parse_duration};
pub use written::{Metadata, Written, WrittenError, WrittenForm, read_written};
