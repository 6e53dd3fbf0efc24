//! A record with a life of its own.

use std::rc::Rc;

use filter::{Field, Record, Value};
use model::otlp::{LogView, PointView, SpanView};
use model::proto::ProtoError;
use model::{Lane, Signal};

use crate::view::{View, What};

/// Where a record was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the recorder; it may be in a lane as well.
    Recorder,
    /// In this lane only.
    Lane(Lane),
}

impl Origin {
    /// `recorder`, or the lane's name.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Recorder => "recorder",
            Origin::Lane(lane) => lane.name(),
        }
    }
}

/// Where a record stands on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Every destination has confirmed its frame.
    Delivered,
    /// In a lane, and not confirmed by every destination.
    Queued,
    /// In the recorder only: undecided, or sampled out.
    Held,
}

impl State {
    /// `delivered`, `queued` or `held`.
    pub fn name(self) -> &'static str {
        match self {
            State::Delivered => "delivered",
            State::Queued => "queued",
            State::Held => "held",
        }
    }
}

/// A record that passed a filter.
#[derive(Debug, Clone)]
pub struct Found {
    device: Rc<str>,
    resource: Rc<[u8]>,
    scope: Rc<[u8]>,
    signal: Signal,
    origin: Origin,
    /// Its frame's sequence, in a lane.
    sequence: u64,
    state: Option<State>,
    /// A span, a log record, or a metric with this one point.
    item: Box<[u8]>,
}

impl Found {
    /// Copies what is viewed. `last` is the one before, with which it often shares its resource and scope.
    pub(crate) fn copy(view: &View<'_>, origin: Origin, sequence: u64, last: Option<&Found>) -> Self {
        fn share(bytes: &[u8], last: Option<&Rc<[u8]>>) -> Rc<[u8]> {
            last.filter(|last| ***last == *bytes).map_or_else(|| bytes.into(), Rc::clone)
        }
        Self {
            device: match last.filter(|last| *last.device == *view.device) {
                Some(last) => Rc::clone(&last.device),
                None => view.device.into(),
            },
            resource: share(view.resource, last.map(|last| &last.resource)),
            scope: share(view.scope, last.map(|last| &last.scope)),
            signal: view.signal(),
            origin,
            sequence,
            state: None,
            item: view.alone().into(),
        }
    }

    /// Where it was found.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The lane and the sequence of the frame that it was found in.
    pub fn place(&self) -> Option<(Lane, u64)> {
        match self.origin {
            Origin::Lane(lane) => Some((lane, self.sequence)),
            Origin::Recorder => None,
        }
    }

    /// Where it stands, where that was looked for ([`crate::settle()`]).
    pub fn state(&self) -> Option<State> {
        self.state
    }

    pub(crate) fn set_state(&mut self, state: State) {
        self.state = Some(state);
    }

    /// An export request with this record alone.
    pub fn request(&self) -> Vec<u8> {
        crate::otlp_json::alone(&self.view())
    }

    /// Its signal.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Its view.
    pub fn view(&self) -> View<'_> {
        // What was copied was read before: it reads again.
        let what = match self.signal {
            Signal::Traces => What::Span(SpanView::read(&self.item).unwrap_or_default()),
            Signal::Logs => What::Log(LogView::read(&self.item).unwrap_or_default()),
            Signal::Metrics => What::Point(only_point(&self.item)),
        };
        View { device: &self.device, resource: &self.resource, scope: &self.scope, item: &self.item, what }
    }
}

fn only_point(metric: &[u8]) -> PointView<'_> {
    let mut found = PointView { kind: 5, bytes: &[] };
    // A metric that does not read has no point to show.
    let _read = PointView::for_each::<ProtoError>(metric, |point| {
        found = point;
        Ok(())
    });
    found
}

impl Record for Found {
    fn time_ns(&self) -> u64 {
        self.view().time_ns()
    }

    fn field(&self, field: &Field) -> Value<'_> {
        self.view().field(field).into_owned()
    }
}
