//! What destinations lost, and the ledger on disk does not know of yet: it rides in the commit records until a ledger does.

use model::Lane;

use crate::commit_record::Losses;
use crate::consumer::Consumer;

/// Records of one destination.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    /// The caller knows of them, and its next ledger will.
    taken: u64,
    /// The caller was not told yet.
    untaken: u64,
    /// Records that stand elsewhere in the lane for lost ones. Where no ledger came with them, an open counts their frames as new.
    replaced: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.taken += other.taken;
        self.untaken += other.untaken;
        self.replaced += other.replaced;
    }

    fn take(&mut self) {
        self.taken += std::mem::take(&mut self.untaken);
    }

    fn booked(&mut self) {
        (self.taken, self.replaced) = (0, 0);
    }
}

#[derive(Debug)]
struct One {
    destination: String,
    /// Their gap records are not durable, by the lanes' numbers: after a crash now they are there still, or found to be lost once more.
    due: [Sum; Lane::ALL.len()],
    /// Their gap records are durable.
    reported: Sum,
}

/// The gap record of what is lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Telling {
    /// It is on disk.
    Durable,
    /// It is due; so many records stand elsewhere in the lane for those that are lost.
    Due { instead: u64 },
}

/// Of which lanes, by their numbers, all gap records are durable with a commit record.
pub(crate) type Told = [bool; Lane::ALL.len()];

/// See the module.
#[derive(Debug)]
pub(super) struct Unbooked {
    all: Vec<One>,
    /// Of destinations that this program was not told of: a tool, or one that is not configured for now.
    others: Losses,
}

impl Unbooked {
    /// Goes on from the last commit record. What it says has to be known to the next ledger ([`Unbooked::recovered`]).
    pub(super) fn new(consumers: &[Consumer], losses: &Losses) -> Self {
        let one = |Consumer { name, .. }: &Consumer| {
            let records = losses.iter().find(|(other, _)| other == name).map_or(0, |(_, records)| *records);
            let reported = Sum { taken: records, ..Sum::default() };
            One { destination: name.clone(), due: Default::default(), reported }
        };
        let others = losses.iter().filter(|(name, _)| consumers.iter().all(|one| one.name != *name)).cloned().collect();
        Self { all: consumers.iter().map(one).collect(), others }
    }

    /// A gap record that no commit knows of was found: so many of the records that it tells of were a destination's.
    pub(super) fn found(&mut self, destination: usize, records: u64) {
        self.all[destination].reported.taken += records;
    }

    /// Losses of an earlier life, by the destinations' positions: its ledger does not know of them.
    pub(super) fn recovered(&self) -> Vec<(usize, u64)> {
        let all = self.all.iter().enumerate().map(|(position, one)| (position, one.reported.taken));
        all.filter(|(_, records)| *records > 0).collect()
    }

    /// A destination lost records of a lane.
    pub(super) fn lost(&mut self, destination: usize, lane: usize, records: u64, telling: Telling) {
        let one = &mut self.all[destination];
        let (sum, replaced) = match telling {
            Telling::Durable => (&mut one.reported, 0),
            Telling::Due { instead } => (&mut one.due[lane], instead),
        };
        sum.untaken += records.saturating_sub(replaced);
        sum.replaced += replaced;
    }

    /// The caller was told of everything.
    pub(super) fn taken(&mut self) {
        for one in &mut self.all {
            one.due.iter_mut().for_each(Sum::take);
            one.reported.take();
        }
    }

    /// What the next commit record has to say, by which gap records are durable, with the caller's ledger or without.
    pub(super) fn to_record(&self, has_ledger: bool, told: &Told) -> Losses {
        let records = |one: &One| {
            let mut sum = one.reported;
            one.due.iter().zip(told).filter(|(_, told)| **told).for_each(|(due, _)| sum.add(*due));
            if has_ledger {
                sum.booked();
            }
            sum.taken + sum.untaken + sum.replaced
        };
        let all = self.all.iter().map(|one| (one.destination.clone(), records(one)));
        all.filter(|(_, records)| *records > 0).chain(self.others.iter().cloned()).collect()
    }

    /// A commit record says so.
    pub(super) fn committed(&mut self, has_ledger: bool, told: &Told) {
        for one in &mut self.all {
            for (due, _) in one.due.iter_mut().zip(told).filter(|(_, told)| **told) {
                one.reported.add(std::mem::take(due));
            }
            if has_ledger {
                one.reported.booked();
                one.due.iter_mut().for_each(Sum::booked);
            }
        }
    }
}
