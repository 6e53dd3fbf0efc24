//! Bodies of admin answers: a text, or what the recorder holds, read bit by bit so that it is never in memory twice.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use recorder::EntryId;

use crate::shared::Shared;

/// Bytes that are taken from the recorder at once.
const PORTION: usize = 32 << 10;

/// A body.
pub(crate) enum AdminBody {
    /// A text that was not sent yet.
    Text(Option<Bytes>),
    /// Entries of the recorder from one number up to another ([`query::write_entry`]).
    Recorder { shared: Rc<Shared>, next: EntryId, end: EntryId },
}

impl AdminBody {
    pub(crate) fn text(text: String) -> Self {
        Self::Text(Some(Bytes::from(text)))
    }

    /// What the recorder holds now, from an entry on.
    pub(crate) fn recorder(shared: &Rc<Shared>, from: EntryId) -> Self {
        let end = shared.pipeline.borrow().recorder_end();
        Self::Recorder { shared: Rc::clone(shared), next: from, end }
    }
}

impl Body for AdminBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Text(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Self::Recorder { shared, next, end } => {
                let mut out = Vec::new();
                *next = shared.pipeline.borrow_mut().read_recorder(*next..*end, |id, content, bytes| {
                    query::write_entry(&mut out, id, content, bytes);
                    out.len() < PORTION
                });
                if out.is_empty() {
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(out)))))
            }
        }
    }
}
