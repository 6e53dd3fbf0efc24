//! Programs that a source runs: in a process group of their own, with their words and their end told.

mod child;
mod words;

pub(crate) use child::{Child, Outcome};
pub(crate) use words::Words;
