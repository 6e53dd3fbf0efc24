//! Processes that are chosen by name, summed up by it.

use crate::kernel::TICKS;
use crate::writer::{Shape, Writer};

/// The sum of all processes of a name.
#[derive(Debug, Clone, Default)]
struct Sum {
    name: String,
    count: u64,
    user: u64,
    system: u64,
    threads: u64,
    resident_pages: u64,
}

/// Processes that are chosen by name.
#[derive(Debug, Clone, Default)]
pub struct Programs {
    sums: Vec<Sum>,
    page: u64,
}

impl Programs {
    /// Those of these names, as `/proc/PID/comm` has them; pages are of so many bytes.
    pub fn new(names: &[String], page: u64) -> Self {
        let sum = |name: &String| Sum { name: name.clone(), ..Sum::default() };
        Self { sums: names.iter().map(sum).collect(), page }
    }

    /// Whether none are chosen.
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Begins a round.
    pub fn clear(&mut self) {
        for sum in &mut self.sums {
            (sum.count, sum.user, sum.system, sum.threads, sum.resident_pages) = (0, 0, 0, 0, 0);
        }
    }

    /// Adds a process by the text of its `/proc/PID/stat`, where its name is chosen.
    pub fn add(&mut self, stat: &str) {
        // The name stands in brackets, and may have some itself.
        let Some((_, rest)) = stat.split_once('(') else { return };
        let Some((name, rest)) = rest.rsplit_once(')') else { return };
        let Some(sum) = self.sums.iter_mut().find(|sum| sum.name == name) else { return };
        let mut fields = rest.split_ascii_whitespace();
        let mut number = |skip: usize| fields.nth(skip).and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
        // Fields 14 and 15, 20 and 24 of proc(5); the rest begins with the third.
        let (user, system) = (number(11), number(0));
        let threads = number(4);
        let resident = number(3);
        sum.count += 1;
        sum.user += user;
        sum.system += system;
        sum.threads += threads;
        sum.resident_pages += resident;
    }
}

pub(crate) fn put(out: &mut Writer, programs: &Programs) {
    const NAME: &str = "process.executable.name";
    out.metric("process.count", "{process}", Shape::UpDown);
    for sum in &programs.sums {
        out.point(&[(NAME, &sum.name)], sum.count);
    }
    let running = || programs.sums.iter().filter(|sum| sum.count > 0);
    // The sum falls when one of them ends: it does not only grow.
    out.metric("process.cpu.time", "s", Shape::UpDown);
    for sum in running() {
        for (mode, ticks) in [("user", sum.user), ("system", sum.system)] {
            out.point(&[(NAME, &sum.name), ("cpu.mode", mode)], ticks as f64 / TICKS);
        }
    }
    out.metric("process.memory.usage", "By", Shape::UpDown);
    for sum in running() {
        out.point(&[(NAME, &sum.name)], sum.resident_pages.saturating_mul(programs.page));
    }
    out.metric("process.thread.count", "{thread}", Shape::UpDown);
    for sum in running() {
        out.point(&[(NAME, &sum.name)], sum.threads);
    }
}
