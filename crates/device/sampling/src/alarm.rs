//! Alerts on the device that open an incident window by themselves: counted from every span, before any decision.

/// A window of time is counted in so many slots, of which the oldest one is dropped at a time.
const SLOTS: usize = 6;

/// Opens an incident window when too many spans fail. Times are nanoseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alert {
    /// Names it, for people.
    pub name: String,
    /// Bits of conditions that a span must have all of to count; 0: root spans count.
    pub bits: u64,
    /// The window opens when more than this share failed, from 0 to 1.
    pub error_share: f64,
    /// It stays open while at least this share fails.
    pub clear_share: f64,
    /// Over which time the share is taken.
    pub over_ns: u64,
    /// Fewer spans than this say nothing.
    pub least_spans: u64,
    /// For how long the window stays open after that.
    pub open_ns: u64,
    /// The longest that it stays open at once. It opens again only after the share fell below `clear_share`.
    pub longest_ns: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Armed,
    Open {
        since_ns: u64,
        until_ns: u64,
    },
    /// It was open for as long as it may be, or was closed by a person.
    Spent,
}

/// An alert and what it has counted.
#[derive(Debug)]
pub(crate) struct Alarm {
    alert: Alert,
    /// (spans, failed ones)
    slots: [(u64, u64); SLOTS],
    /// Counts slots since the beginning of the clock.
    slot: u64,
    state: State,
}

/// An alert opened an incident window.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// [`Alert::name`].
    pub alert: String,
    /// The share that failed.
    pub share: f64,
}

impl Alarm {
    pub(crate) fn new(alert: Alert) -> Self {
        Self { alert, slots: [(0, 0); SLOTS], slot: 0, state: State::Armed }
    }

    /// Drops slots whose time is over.
    fn roll(&mut self, now_ns: u64) {
        let slot = now_ns / (self.alert.over_ns / SLOTS as u64).max(1);
        for passed in 1..=(slot.saturating_sub(self.slot)).min(SLOTS as u64) {
            self.slots[((slot - passed + 1) % SLOTS as u64) as usize] = (0, 0);
        }
        self.slot = self.slot.max(slot);
    }

    pub(crate) fn observe(&mut self, root: bool, conditions: u64, failed: bool, now_ns: u64) {
        let bits = self.alert.bits;
        if if bits == 0 { !root } else { conditions & bits != bits } {
            return;
        }
        self.roll(now_ns);
        let slot = &mut self.slots[(self.slot % SLOTS as u64) as usize];
        slot.0 += 1;
        slot.1 += u64::from(failed);
    }

    /// The share that failed; 0 while too few came to say.
    fn share(&self) -> f64 {
        let (spans, failed) = self.slots.iter().fold((0, 0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1));
        if spans < self.alert.least_spans.max(1) { 0.0 } else { failed as f64 / spans as f64 }
    }

    /// Until when it holds a window open; 0 when it does not. Tells when it opens one.
    pub(crate) fn tick(&mut self, now_ns: u64) -> (u64, Option<Raised>) {
        self.roll(now_ns);
        let share = self.share();
        let Alert { error_share, clear_share, open_ns, longest_ns, .. } = self.alert;
        let mut raised = None;
        self.state = match self.state {
            State::Armed if share > error_share => {
                raised = Some(Raised { alert: self.alert.name.clone(), share });
                State::Open { since_ns: now_ns, until_ns: now_ns.saturating_add(open_ns.min(longest_ns)) }
            }
            State::Open { since_ns, .. } if now_ns >= since_ns.saturating_add(longest_ns) => State::Spent,
            State::Open { since_ns, .. } if share >= clear_share && share > 0.0 => {
                let until_ns = now_ns.saturating_add(open_ns).min(since_ns.saturating_add(longest_ns));
                State::Open { since_ns, until_ns }
            }
            State::Open { until_ns, .. } if now_ns >= until_ns => State::Armed,
            State::Spent if share < clear_share || share == 0.0 => State::Armed,
            same => same,
        };
        match self.state {
            State::Open { until_ns, .. } => (until_ns, raised),
            State::Armed | State::Spent => (0, raised),
        }
    }

    /// A person closed the window: it is not opened again for what is known already.
    pub(crate) fn close(&mut self) {
        if let State::Open { .. } = self.state {
            self.state = State::Spent;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn alarm() -> Alarm {
        Alarm::new(Alert {
            name: "orders".into(),
            bits: 0b11,
            error_share: 0.10,
            clear_share: 0.05,
            over_ns: 60 * SECOND,
            least_spans: 20,
            open_ns: 100 * SECOND,
            longest_ns: 300 * SECOND,
        })
    }

    /// 100 spans of which so many failed, in the second that ends now.
    fn second(alarm: &mut Alarm, now: u64, failed: u64) -> (u64, bool) {
        (0..100).for_each(|span| alarm.observe(false, 0b111, span < failed, now * SECOND));
        let (until, raised) = alarm.tick(now * SECOND);
        (until / SECOND, raised.is_some())
    }

    /// Scenario: errors rise above the share, fall between both shares, then below the lower one. Guarantees: it opens once,
    /// stays open in between, and closes its time after that; then it opens anew.
    #[test]
    fn an_alert_has_two_thresholds() {
        let mut alarm = alarm();
        assert_eq!(second(&mut alarm, 100, 10), (0, false), "not more than the share");
        assert_eq!(second(&mut alarm, 101, 12), (201, true));
        for now in 102..220 {
            assert_eq!(second(&mut alarm, now, 7), (now + 100, false));
        }
        // A minute later only what came since counts.
        for now in 220..281 {
            second(&mut alarm, now, 0);
        }
        let (until, _) = alarm.tick(281 * SECOND);
        assert!((300..360).contains(&(until / SECOND)), "{until}");
        assert_eq!(alarm.tick(until), (0, None));
        assert_eq!(second(&mut alarm, 500, 50), (600, true));
    }

    /// Scenario: errors never end; a person closes the window. Guarantees: it is open for the longest time at most, and not
    /// opened again before the errors were gone.
    #[test]
    fn a_window_does_not_stay_open_for_ever() {
        let mut alarm = alarm();
        assert_eq!(second(&mut alarm, 100, 50), (200, true));
        for now in 101..400 {
            assert_eq!(second(&mut alarm, now, 50), ((now + 100).min(400), false));
        }
        for now in 400..700 {
            assert_eq!(second(&mut alarm, now, 50), (0, false));
        }
        assert_eq!(alarm.tick(1_000 * SECOND), (0, None));
        assert_eq!(second(&mut alarm, 1_001, 50), (1_101, true));
        alarm.close();
        assert_eq!(second(&mut alarm, 1_002, 50), (0, false));
    }

    /// Scenario: failed spans that are not of the route, too few of them, and root spans without a filter. Guarantees: only
    /// what the alert is about counts, and never one span alone.
    #[test]
    fn only_enough_spans_of_the_kind_count() {
        let mut other = alarm();
        (0..100).for_each(|_| other.observe(true, 0b01, true, SECOND));
        assert_eq!(other.tick(SECOND), (0, None));
        (0..19).for_each(|_| other.observe(true, 0b11, true, SECOND));
        assert_eq!(other.tick(SECOND), (0, None));
        other.observe(true, 0b11, true, SECOND);
        assert_eq!(other.tick(SECOND).1, Some(Raised { alert: "orders".into(), share: 1.0 }));
        let mut roots = Alarm::new(Alert { bits: 0, least_spans: 1, ..alarm().alert });
        roots.observe(false, 0b11, true, SECOND);
        assert_eq!(roots.tick(SECOND), (0, None));
        roots.observe(true, 0, true, SECOND);
        assert!(roots.tick(SECOND).1.is_some());
    }
}
