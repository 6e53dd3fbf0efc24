//! Series of a metric pack: those that matchers take, and of them the chunks that touch a time.

use std::sync::Arc;

use columns::join::Part;
use columns::{Matcher, RoaringBitmap};

use super::description::{Descriptions, LONG};
use super::read::Pack;
use crate::error::StoreError;
use crate::rows::Series;

/// What of a pack cannot be read: the number of the series, where it is one, and why.
pub(crate) type Unreadable = (Option<usize>, StoreError);

/// What is asked of packs.
pub(crate) struct Question<'q> {
    pub(crate) matchers: &'q [Matcher<'q>],
    /// From, and up to but without.
    pub(crate) range: (u64, u64),
    /// Whether a series is wanted; matchers take some that are not.
    pub(crate) wanted: &'q dyn Fn(&Series) -> bool,
}

/// Shows the series of a pack that are asked for, chunk by chunk, until told to stop; what cannot be read of it.
pub(crate) fn each_chunk(
    pack: &Pack,
    question: &Question<'_>,
    descriptions: &mut Descriptions,
    mut show: impl FnMut(&Arc<Series>, Part) -> bool,
) -> Vec<Unreadable> {
    let Some(columns) = &pack.columns else { return Vec::new() };
    let mut unreadable = Vec::new();
    let selected = columns.select(pack, question.matchers).and_then(|selected| {
        let mut long = RoaringBitmap::new();
        columns.each_value(pack, LONG, |_, list| long |= list)?;
        Ok(selected | long)
    });
    let mut goes_on = true;
    let shown = selected.and_then(|selected| {
        columns.each(pack, &selected, |entry| {
            let touches = entry
                .chunks
                .iter()
                .filter(|chunk| chunk.min_time < question.range.1 && chunk.max_time >= question.range.0);
            let mut touches = touches.peekable();
            if touches.peek().is_none() {
                return true;
            }
            let number = entry.number as usize;
            let series = match descriptions.read(entry.key, &entry.description) {
                Ok(series) => series,
                Err(what) => {
                    unreadable
                        .push((Some(number), pack.fault(columns::Damaged("a series is described wrongly").into())));
                    let _told_by_its_place = what;
                    return true;
                }
            };
            if !(question.wanted)(&series) {
                return true;
            }
            for chunk in touches {
                match chunk.read(pack) {
                    Ok(chunk) => goes_on = show(&series, (pack.index.max_order, chunk)),
                    Err(fault) => unreadable.push((Some(number), pack.fault(fault))),
                }
                if !goes_on {
                    return false;
                }
            }
            true
        })
    });
    if let Err(fault) = shown {
        unreadable.push((None, pack.fault(fault)));
    }
    unreadable
}
