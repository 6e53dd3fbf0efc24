//! Exceptions from what production leaves out: a file that says for which device, what, from when and until when, with an Ed25519 signature
//! over it. Sans-IO: the file's bytes and the clocks come in, what holds comes out.

mod file;

use std::fmt;

use model::Stamp;

pub use file::{Exception, MAX_EXCEPTION, PublicKey, sign};

/// What of production does not hold while an exception does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relaxed {
    /// Log records of DEBUG and TRACE pass.
    pub debug: bool,
    /// Raw payloads in hexadecimal or base64 pass.
    pub payloads: bool,
}

impl fmt::Display for Relaxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.debug, self.payloads) {
            (true, true) => "debug, payloads",
            (true, false) => "debug",
            (false, true) => "payloads",
            (false, false) => "nothing",
        })
    }
}

/// Why an exception does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not written as one.
    #[error("{0}")]
    Malformed(String),
    /// It was changed, or signed by somebody else.
    #[error("its signature is by none of guard.exception.public_keys, or it was changed after it was signed")]
    Signature,
    /// It is for another device.
    #[error("it is for the device {0}")]
    Device(String),
    /// It is for longer than is allowed.
    #[error("it is for longer than guard.exception.longest")]
    TooLong,
    /// It is for later.
    #[error("it does not hold yet")]
    NotYet,
    /// Its time is over.
    #[error("its time is over")]
    Expired,
    /// The clock cannot be believed.
    #[error("the clock was never set, or is not synchronised yet")]
    Clock,
}

impl Fault {
    /// All reasons, as counters have them.
    pub const REASONS: [&'static str; 7] =
        ["malformed", "signature", "device", "too_long", "not_yet", "expired", "clock"];

    /// Its reason, as counters have it.
    pub fn reason(&self) -> &'static str {
        let [malformed, signature, device, too_long, not_yet, expired, clock] = Self::REASONS;
        match self {
            Self::Malformed(_) => malformed,
            Self::Signature => signature,
            Self::Device(_) => device,
            Self::TooLong => too_long,
            Self::NotYet => not_yet,
            Self::Expired => expired,
            Self::Clock => clock,
        }
    }
}

/// What changed with a look at the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// An exception holds from now on.
    Begun,
    /// The one that held does not any more, for this reason; `None` where its file is gone.
    Ended(Option<Fault>),
    /// One is there that does not hold.
    Refused(Fault),
}

/// The exceptions of one device: which one holds.
#[derive(Debug)]
pub struct Exceptions {
    device: String,
    keys: Vec<PublicKey>,
    longest_s: u64,
    /// What was seen last, and whether it holds.
    seen: Option<(Exception, Option<Fault>)>,
    /// What was read last that is none.
    unread: Option<Fault>,
    /// The signature of the exception that began last, and the uptime at which it ends whatever the clock says.
    begun: Option<([u8; 64], u64)>,
    begins: u64,
    refused: [u64; Fault::REASONS.len()],
}

impl Exceptions {
    /// Those for a device that one of the keys signed, each for so long at most.
    pub fn new(device: &str, keys: Vec<PublicKey>, longest_s: u64) -> Self {
        Self {
            device: device.to_owned(),
            keys,
            longest_s,
            seen: None,
            unread: None,
            begun: None,
            begins: 0,
            refused: [0; Fault::REASONS.len()],
        }
    }

    /// The exception that holds.
    pub fn holding(&self) -> Option<&Exception> {
        self.seen.as_ref().filter(|(_, fault)| fault.is_none()).map(|(exception, _)| exception)
    }

    /// Why the file that is there does not hold.
    pub fn fault(&self) -> Option<&Fault> {
        self.unread.as_ref().or_else(|| self.seen.as_ref().and_then(|(_, fault)| fault.as_ref()))
    }

    /// How many began to hold.
    pub fn begins(&self) -> u64 {
        self.begins
    }

    /// How many were refused, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Fault::REASONS.into_iter().zip(self.refused)
    }

    /// Whether a file holds an exception that holds at this time, without a change of what holds.
    ///
    /// # Errors
    /// [`Fault`]: why not.
    pub fn check(&self, file: &[u8], stamp: &Stamp) -> Result<Exception, Fault> {
        let exception = Exception::read(file, &self.keys)?;
        match self.fault_of(&exception, stamp) {
            None => Ok(exception),
            Some(fault) => Err(fault),
        }
    }

    /// Looks at the file, `None` where there is none, at this time. Tells what changed since the last look.
    pub(crate) fn look(&mut self, file: Option<&[u8]>, stamp: &Stamp) -> Option<Change> {
        let held = self.holding().cloned();
        let read = file.map(|file| Exception::read(file, &self.keys));
        let (before_seen, before_unread) = (self.seen.take(), self.unread.take());
        match read {
            None => {}
            Some(Err(fault)) => self.unread = Some(fault),
            Some(Ok(exception)) => {
                let fault = self.fault_of(&exception, stamp);
                if fault.is_none() {
                    let end = stamp.uptime_ns.saturating_add(exception.left_ns(stamp.wall_ns));
                    match &mut self.begun {
                        // It ends no later than was said when it began.
                        Some((signature, earlier)) if *signature == exception.signature() => {
                            *earlier = end.min(*earlier);
                        }
                        begun => *begun = Some((exception.signature(), end)),
                    }
                }
                self.seen = Some((exception, fault));
            }
        }
        let holds = self.holding();
        if holds == held.as_ref() {
            let is_new = self.seen != before_seen || self.unread != before_unread;
            return self.fault().cloned().filter(|_| is_new).map(|fault| {
                self.refuse(&fault);
                Change::Refused(fault)
            });
        }
        if holds.is_some() {
            self.begins += 1;
            return Some(Change::Begun);
        }
        let fault = self.fault().cloned();
        if let Some(fault) = fault.as_ref().filter(|fault| **fault != Fault::Expired) {
            self.refuse(fault);
        }
        Some(Change::Ended(fault))
    }

    fn refuse(&mut self, fault: &Fault) {
        let place = Fault::REASONS.iter().position(|reason| *reason == fault.reason());
        if let Some(count) = place.and_then(|place| self.refused.get_mut(place)) {
            *count += 1;
        }
    }

    /// Why an exception that was signed does not hold at this time.
    fn fault_of(&self, exception: &Exception, stamp: &Stamp) -> Option<Fault> {
        let wall_s = stamp.wall_ns / 1_000_000_000;
        let is_over = |begun: &([u8; 64], u64)| begun.0 == exception.signature() && stamp.uptime_ns >= begun.1;
        if exception.device != self.device {
            Some(Fault::Device(exception.device.clone()))
        } else if exception.until_s - exception.from_s > self.longest_s {
            Some(Fault::TooLong)
        } else if !stamp.synchronised {
            Some(Fault::Clock)
        } else if wall_s < exception.from_s {
            Some(Fault::NotYet)
        } else if wall_s >= exception.until_s || self.begun.as_ref().is_some_and(is_over) {
            Some(Fault::Expired)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Guard, Options, payload_rule, usual_rules};

    /// 10:00 of the day on which the exceptions of these tests begin.
    const TEN: u64 = 1_796_032_800;

    fn at(uptime_s: u64, wall_s: u64) -> Stamp {
        let (uptime_ns, wall_ns) = (uptime_s * 1_000_000_000, wall_s * 1_000_000_000);
        Stamp { boot_id: [1; 16], uptime_ns, wall_ns, synchronised: true }
    }

    /// An exception for an hour from 10:00 on, and exceptions of the device `d` that take it.
    fn hour(device: &str) -> (Vec<u8>, Exceptions) {
        let what = Relaxed { debug: true, payloads: true };
        let (key, from, until) = (file::tests::key(1), "2026-11-30T10:00:00Z", "2026-11-30T11:00:00Z");
        let (text, public) = sign(&key, device, what, from, until, "").unwrap();
        (text.into_bytes(), Exceptions::new("d", vec![PublicKey::read(&public).unwrap()], 7200))
    }

    /// Scenario: a file is there before its time, in it, behind it; for another device; for too long; changed; on a device whose clock was
    /// never set. Guarantees: it holds in its time only, everything else is refused with its reason, and counted once.
    #[test]
    fn an_exception_holds_in_its_time_only() {
        let (file, mut all) = hour("d");
        assert_eq!(all.look(None, &at(0, TEN)), None);
        for (stamp, change) in [
            (at(1, TEN - 10), Some(Change::Refused(Fault::NotYet))),
            (at(2, TEN - 9), None),
            (at(11, TEN), Some(Change::Begun)),
            (at(12, TEN + 1), None),
            (at(3611, TEN + 3600), Some(Change::Ended(Some(Fault::Expired)))),
            (at(3612, TEN + 3601), None),
        ] {
            assert_eq!(all.look(Some(&file), &stamp), change, "{stamp:?}");
        }
        let unset = Stamp { synchronised: false, ..at(5, TEN + 5) };
        let mut changed = file.clone();
        changed[40] ^= 1;
        let (for_another, mut short) = (hour("e").0, hour("d").1);
        short.longest_s = 3599;
        for (mut all, file, stamp, fault) in [
            (hour("d").1, &file, unset, Fault::Clock),
            (hour("d").1, &for_another, at(5, TEN + 5), Fault::Device("e".into())),
            (hour("d").1, &changed, at(5, TEN + 5), Fault::Signature),
            (short, &file, at(5, TEN + 5), Fault::TooLong),
        ] {
            assert_eq!(all.check(file, &stamp), Err(fault.clone()));
            assert_eq!(all.look(Some(file), &stamp), Some(Change::Refused(fault.clone())));
            assert_eq!(all.look(Some(file), &stamp), None);
            assert!(all.holding().is_none() && all.fault() == Some(&fault));
            assert_eq!(all.refused().filter(|(_, count)| *count == 1).collect::<Vec<_>>(), [(fault.reason(), 1)]);
        }
    }

    /// Scenario: while an exception holds the clock is set back, and to before its beginning; it is set forward behind its end and back again;
    /// the file goes and comes again. Guarantees: it never holds for longer than it said when it began.
    #[test]
    fn a_clock_that_is_set_prolongs_nothing() {
        let (file, mut all) = hour("d");
        assert_eq!(all.look(Some(&file), &at(100, TEN + 600)), Some(Change::Begun));
        // 50 minutes are left, whatever the clock says.
        assert_eq!(all.look(Some(&file), &at(200, TEN)), None);
        assert_eq!(all.look(Some(&file), &at(300, TEN - 5)), Some(Change::Ended(Some(Fault::NotYet))));
        assert_eq!(all.look(Some(&file), &at(400, TEN + 60)), Some(Change::Begun));
        assert_eq!(all.look(None, &at(500, TEN + 60)), Some(Change::Ended(None)));
        assert_eq!(all.look(Some(&file), &at(600, TEN + 60)), Some(Change::Begun));
        assert_eq!(all.look(Some(&file), &at(3099, TEN + 60)), None);
        assert_eq!(all.look(Some(&file), &at(3100, TEN + 60)), Some(Change::Ended(Some(Fault::Expired))));
        assert_eq!(all.look(Some(&file), &at(3200, TEN + 60)), None);
        let (file, mut all) = hour("d");
        assert_eq!(all.look(Some(&file), &at(100, TEN)), Some(Change::Begun));
        assert_eq!(all.look(Some(&file), &at(101, TEN + 9000)), Some(Change::Ended(Some(Fault::Expired))));
        assert_eq!(all.begins(), 1);
    }

    /// Scenario: dumps pass a guard in production before, while and after an exception holds, the same ones each time. Guarantees: they pass
    /// while it holds only: nothing that was found clean meanwhile is remembered; card numbers never pass (P10).
    #[test]
    fn nothing_passes_behind_an_exception() {
        let (file, all) = hour("d");
        let options = || {
            let rules = [vec![payload_rule()], usual_rules()].concat();
            Options { production: true, rules, ..Options::default() }
        };
        let mut guard = Guard::new(options()).unwrap().with_exceptions(all);
        let dump = "0123456789abcdef".repeat(5);
        for (second, passes) in [(TEN - 1, false), (TEN, true), (TEN + 3599, true), (TEN + 3600, false)] {
            let _change = guard.look_for_exception(Some(&file), &at(second + 9 - TEN, second));
            for _ in 0..3 {
                assert_eq!(guard.mask(dump.as_bytes()).0 == dump.as_bytes(), passes, "{second}");
                assert_eq!(guard.mask(b"4111111111111111").0, b"[REDACTED:pan]");
            }
        }
        assert_eq!(guard.version(), Guard::new(options()).unwrap().version());
    }
}
