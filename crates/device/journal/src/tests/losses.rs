//! Losses and the ledger that does not know of them yet: whenever the power fails, each is booked once.

use disk::model::{ModelDisk, Rng};
use model::Lane;

use super::{Hub, STAMP, body, disk_of_epoch, drain, ledger, meta, noise, open, options};
use crate::{Attachment, Consumer, Journal, Options, Recovery, verify};

/// What a caller's ledger counts, for both destinations: records handed to the journal, and lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Books {
    routed: u64,
    lost: [u64; 2],
}

impl Books {
    fn encode(self) -> Vec<u8> {
        [self.routed, self.lost[0], self.lost[1]].iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// The books of the last commit, and what was found since.
    fn resume(journal: &mut Journal<ModelDisk>, recovery: &Recovery) -> Self {
        let mut books = Self::default();
        if let Some(bytes) = ledger(recovery) {
            let number = |at: usize| u64::from_le_bytes(bytes[8 * at..8 * at + 8].try_into().unwrap());
            books = Self { routed: number(0), lost: [number(1), number(2)] };
        }
        books.routed += recovery.unbooked.iter().map(|after| after.records).sum::<u64>();
        for (destination, records) in &recovery.lost {
            books.lost[*destination] += records;
        }
        books.take(journal);
        books
    }

    fn take(&mut self, journal: &mut Journal<ModelDisk>) {
        journal.take_lost().iter().for_each(|lost| self.lost[lost.destination] += lost.records);
    }

    /// By how many records more went to a destination, or are lost to it, than were ever handed over: nothing waits elsewhere.
    fn delivered(&self, journal: &mut Journal<ModelDisk>, destination: usize, what: &str) -> u64 {
        let queued = journal.depth(destination).unwrap().records;
        let delivered = self.routed.checked_sub(self.lost[destination] + queued);
        delivered.unwrap_or_else(|| panic!("{what}: {self:?}, {queued} wait for {destination}"))
    }
}

fn small(cut_uncommitted: bool) -> Options {
    Options { total_bytes: 512 << 10, cut_uncommitted, ..options() }
}

/// A new directory, with a ledger that says that nothing came yet.
fn begun(options: &Options) -> ModelDisk {
    let disk = disk_of_epoch(1);
    let (mut journal, _) = open(&disk, options);
    journal.commit(STAMP, &[Attachment::ledger(&Books::default().encode())]).unwrap();
    disk
}

/// Fills a small journal until lanes yield; the disk may fail at any moment. Gives the records that the first destination got.
fn fill(disk: &ModelDisk, options: &Options) -> u64 {
    let Ok((mut journal, recovery)) = Journal::open(disk.clone(), options.clone(), STAMP) else { return 0 };
    let mut books = Books::resume(&mut journal, &recovery);
    let mut came = 0;
    for number in 0..60 {
        for place in 0..8 {
            let lane = if place % 4 == 3 { Lane::Traces } else { Lane::Logs };
            if journal.append(lane, &body(&noise(8 * number + place, 2000)), meta(3), STAMP).is_ok() {
                books.routed += 3;
            }
        }
        let committed = journal.commit(STAMP, &[Attachment::ledger(&books.encode())]);
        books.take(&mut journal);
        if disk.is_dead() {
            break;
        }
        if committed.is_ok() && number < 4 {
            let mut blocks = Vec::new();
            let _ = journal.next_blocks(0, 8 << 10, &mut blocks);
            for block in blocks {
                came += block.records;
                let _ = journal.confirm(0, block.lane, block.first, block.last);
            }
        }
    }
    came
}

/// Opens again: what is neither queued nor lost is delivered, and that is no more than came.
fn adds_up(disk: &ModelDisk, options: &Options, came: u64, what: &str) {
    let (mut journal, recovery) = open(disk, options);
    let mut books = Books::resume(&mut journal, &recovery);
    for destination in 0..2 {
        let _looks = journal.depth(destination).unwrap();
    }
    books.take(&mut journal);
    assert!(books.delivered(&mut journal, 0, what) <= came, "{what}: {books:?}, {came} came");
    assert_eq!(books.delivered(&mut journal, 1, what), 0, "{what}: {books:?}");
    assert_eq!(recovery.missing, [], "{what}");
    let mut hub = Hub::default();
    drain(&mut journal, 1, &mut hub);
    // A gap record that a failed sync left is told with the one that follows it.
    let told: u64 = hub.gaps.iter().map(|gap| gap.records).sum();
    assert!(told == books.lost[1] || told > books.lost[1] && disk.faults().failed_syncs > 0, "{what}: {:?}", hub.gaps);
    journal.heads().iter().for_each(|head| hub.is_whole(head.lane, head.next));
}

/// Scenario: lanes yield on a small disk, and the power fails at any operation; frames behind the commit are cut, or adopted. Guarantees:
/// what is lost is in the books when the program is back, and no record counts as delivered that never came (P1).
#[test]
fn what_yields_is_booked_whenever_the_power_fails() {
    for cut_uncommitted in [false, true] {
        let options = small(cut_uncommitted);
        let last = {
            let disk = begun(&options);
            fill(&disk, &options);
            disk.operations() - begun(&options).operations()
        };
        let mut yielded = 0;
        for cut in (0..last).rev().step_by(7).take(150) {
            let disk = begun(&options);
            disk.cut_after(cut);
            let came = fill(&disk, &options);
            disk.power_cycle(&mut Rng::new(cut));
            let (_, recovery) = open(&disk.fork(), &options);
            yielded += u64::from(!recovery.lost.is_empty());
            adds_up(&disk, &options, came, &format!("cut {cut} of {last}, {cut_uncommitted}"));
        }
        assert!(yielded > 5, "the last ledger knew of all losses but {yielded} times");
    }
}

/// Scenario: one or two syncs fail while a lane yields, so that the gap record is durable only with the next commit; then the program is killed.
/// Guarantees: as before, and what the gap record tells of does not come after all (P1, P3).
#[test]
fn a_sync_fails_while_a_lane_yields() {
    for (sync, second) in (40..400).step_by(3).flat_map(|sync| (0..4).map(move |second| (sync, second))) {
        let options = small(false);
        let disk = begun(&options);
        disk.fail_sync_after(sync);
        // None, or one of the next.
        disk.fail_sync_after(sync + second);
        let came = fill(&disk, &options);
        disk.clear_faults();
        disk.kill();
        adds_up(&disk, &options, came, &format!("sync {sync}, {second}"));
    }
}

/// Scenario: somebody removes a segment that nobody has, and the power fails at any operation of the start that finds it. Guarantees: its
/// records are booked as lost once, to both destinations, and told once (P1).
#[test]
fn what_a_start_finds_missing_is_booked_once() {
    for (cut_uncommitted, cut) in (0..40).flat_map(|cut| [(false, cut), (true, cut)]) {
        let (disk, options) = (disk_of_epoch(1), Options { cut_uncommitted, ..options() });
        let (mut journal, _) = open(&disk, &options);
        let mut books = Books::default();
        for number in 0..40 {
            journal.append(Lane::Logs, &body(&noise(number, 2000)), meta(3), STAMP).unwrap();
            books.routed += 3;
            journal.commit(STAMP, &[Attachment::ledger(&books.encode())]).unwrap();
        }
        drop(journal);
        let first = disk.paths().into_iter().find(|path| path.starts_with("lanes/logs/")).unwrap();
        disk.vanish(&first);
        disk.cut_after(cut);
        drop(Journal::open(disk.clone(), options.clone(), STAMP));
        disk.power_cycle(&mut Rng::new(cut));
        let (mut journal, recovery) = open(&disk, &options);
        let books = Books::resume(&mut journal, &recovery);
        assert!(books.lost[0] > 0 && books.lost[0] == books.lost[1], "cut {cut}: {books:?}");
        for destination in 0..2 {
            assert_eq!(books.delivered(&mut journal, destination, &format!("cut {cut}, {cut_uncommitted}")), 0);
        }
        assert_eq!(verify(&disk).unwrap().findings, [], "cut {cut}");
        let mut hub = Hub::default();
        drain(&mut journal, 1, &mut hub);
        assert_eq!(hub.gaps.iter().map(|gap| gap.records).sum::<u64>(), books.lost[1]);
    }
}

/// Scenario: losses ride in a commit record because no ledger came since; any of its bits flips. Guarantees: that is found; a program
/// that goes on with it books them, and a ledger ends it (P1).
#[test]
fn losses_ride_until_a_ledger_comes() {
    let (disk, options) = (disk_of_epoch(1), options());
    let (mut journal, _) = open(&disk, &options);
    journal.append(Lane::Logs, &body("text"), meta(3), STAMP).unwrap();
    journal.commit(STAMP, &[Attachment::ledger(&Books { routed: 3, lost: [0; 2] }.encode())]).unwrap();
    assert_eq!(journal.drop_queue(1, None).unwrap(), 3);
    journal.commit(STAMP, &[]).unwrap();
    drop(journal);
    assert_eq!(verify(&disk).unwrap().findings, []);
    let newest = ["note.a", "note.b"].into_iter().max_by_key(|path| disk.content(path).unwrap()[8]).unwrap();
    let end = disk.content(newest).unwrap().iter().rposition(|byte| *byte != 0).unwrap() as u64;
    for at in 0..=end {
        let copy = disk.fork();
        copy.flip(newest, at, 1 << (at % 8));
        assert!(verify(&copy).unwrap().findings.iter().any(|finding| finding.path == newest), "byte {at}");
        let _opens = open(&copy, &options);
    }
    for _ in 0..2 {
        let (_, recovery) = open(&disk, &options);
        assert_eq!(recovery.lost, [(1, 3)], "a start alone does not book it");
    }
    // A program that knows of one destination only.
    let other = Options { consumers: Consumer::all(&["hub"]), ..options.clone() };
    open(&disk, &other).0.commit(STAMP, &[Attachment::ledger(&Books { routed: 3, lost: [0; 2] }.encode())]).unwrap();
    let (mut journal, recovery) = open(&disk, &options);
    assert_eq!(recovery.lost, [(1, 3)]);
    journal.commit(STAMP, &[Attachment::ledger(&Books { routed: 3, lost: [0, 3] }.encode())]).unwrap();
    drop(journal);
    let (_, recovery) = open(&disk, &options);
    assert_eq!(recovery.lost, []);
}

/// Scenario: somebody removes a segment, and no room is left for the gap record; the program is killed before there is. Guarantees: it is
/// missed at each start until it is told (P1).
#[test]
fn what_is_missing_is_missed_until_it_is_told() {
    let (disk, options) = (disk_of_epoch(1), options());
    let (mut journal, _) = open(&disk, &options);
    for number in 0..40 {
        journal.append(Lane::Mission, &body(&noise(number, 2000)), meta(3), STAMP).unwrap();
        journal.commit(STAMP, &[]).unwrap();
    }
    drop(journal);
    let first = disk.paths().into_iter().find(|path| path.starts_with("lanes/mission/")).unwrap();
    disk.vanish(&first);
    disk.lose("spare");
    disk.set_capacity(Some(disk.used()));
    let missing = |recovery: &Recovery| recovery.missing.iter().map(|damage| damage.records).sum::<u64>();
    let (mut journal, recovery) = open(&disk, &options);
    let records = missing(&recovery);
    assert!(records > 0 && !journal.due_gaps().is_empty());
    journal.commit(STAMP, &[]).unwrap();
    drop(journal);
    disk.set_capacity(None);
    let (journal, recovery) = open(&disk, &options);
    assert_eq!(missing(&recovery), records);
    assert!(journal.due_gaps().is_empty());
    drop(journal);
    assert_eq!(missing(&open(&disk, &options).1), 0);
}

/// A journal of one destination with one large segment of traces that can yield, and some logs; then two syncs of one commit fail, the second
/// one so many after the first. Tells whether the commit was done all the same, and traces yielded in it.
fn two_syncs_fail_in_a_commit(more: u64, between: u64) -> bool {
    let options = Options { consumers: Consumer::all(&["hub"]), ..small(false) };
    let disk = begun(&options);
    let (mut journal, _) = open(&disk, &options);
    let mut routed = 0;
    let mut commit = |journal: &mut Journal<ModelDisk>, frames: &[(Lane, usize)]| {
        for (lane, len) in frames {
            journal.append(*lane, &body(&noise(routed, *len)), meta(3), STAMP).unwrap();
            routed += 3;
        }
        let done = journal.commit(STAMP, &[Attachment::ledger(&routed.to_le_bytes())]);
        (done.is_ok(), journal.take_lost().iter().map(|lost| lost.records).sum::<u64>())
    };
    commit(&mut journal, &[(Lane::Traces, 230_000)]);
    for _ in 0..more {
        commit(&mut journal, &[(Lane::Traces, 100), (Lane::Logs, 4000)]);
    }
    // Traces are synced first.
    disk.fail_sync_after(1);
    disk.fail_sync_after(2 + between);
    let (done, lost) = commit(&mut journal, &[(Lane::Traces, 100), (Lane::Logs, 100)]);
    assert!(!done || !journal.lane(Lane::Traces).has_unsynced(), "{more}, {between}");
    let failed = disk.faults().failed_syncs;
    drop(journal);
    disk.clear_faults();
    disk.kill();
    let (mut journal, recovery) = open(&disk, &options);
    assert_eq!((&recovery.missing[..], &recovery.corrupt[..]), (&[][..], &[][..]), "{more}, {between}");
    let mut hub = Hub::default();
    drain(&mut journal, 0, &mut hub);
    journal.heads().iter().for_each(|head| hub.is_whole(head.lane, head.next));
    done && lost > 0 && failed == 2
}

/// Scenario: in a commit the sync of one lane fails; while room is made for its new segment another lane yields, which was synced already,
/// and the sync of its gap record fails too. Guarantees: the commit makes it durable before the files go (P1, P2).
#[test]
fn a_gap_record_that_comes_late_in_a_commit_is_synced() {
    let hits = (1..60).flat_map(|more| (0..4).map(move |between| two_syncs_fail_in_a_commit(more, between)));
    assert!(hits.filter(|hit| *hit).count() > 0);
}
