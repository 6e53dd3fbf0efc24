//! What one query may use: it ends when whoever asked has gone, when its time is over, or when it holds too much. Loops
//! ask [`goes_on`] and end early; [`within`] then answers with the reason instead of half an answer.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::QueryError;

/// Most bytes of records that one query holds at a time.
pub const MAX_HELD_BYTES: usize = 64 << 20;
/// Most values of one answer: series times steps.
pub const MAX_CELLS: usize = 2_000_000;
/// Most bytes of records on one page of log records.
pub const MAX_PAGE_BYTES: usize = 8 << 20;

/// Why a query was ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It took too long.
    Deadline,
    /// Whoever asked has gone.
    Cancelled,
    /// It holds more than it may.
    Memory,
    /// The queries that run hold more together than they may.
    Crowded,
}

impl Ended {
    fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Deadline),
            2 => Some(Self::Cancelled),
            3 => Some(Self::Memory),
            4 => Some(Self::Crowded),
            _ => None,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Deadline => 1,
            Self::Cancelled => 2,
            Self::Memory => 3,
            Self::Crowded => 4,
        }
    }
}

/// The switch by which a query is ended.
#[derive(Debug, Clone, Default)]
pub struct Switch(Arc<AtomicU8>);

impl Switch {
    /// Ends the query, unless it was ended already.
    pub fn end(&self, why: Ended) {
        let _already = self.0.compare_exchange(0, why.code(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether its query still holds it.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// Why it was ended, if it was.
    pub fn ended(&self) -> Option<Ended> {
        Ended::of(self.0.load(Ordering::Relaxed))
    }
}

/// What the queries that run hold together.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    held: AtomicUsize,
}

impl Memory {
    /// They may hold so many bytes.
    pub fn new(most: usize) -> Self {
        Self { most, held: AtomicUsize::new(0) }
    }

    /// How many bytes they hold.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Default for Memory {
    /// As many as one of them may.
    fn default() -> Self {
        Self::new(MAX_HELD_BYTES)
    }
}

thread_local! {
    static SWITCH: RefCell<Option<Switch>> = const { RefCell::new(None) };
    static MEMORY: RefCell<Option<Arc<Memory>>> = const { RefCell::new(None) };
    static HELD: Cell<usize> = const { Cell::new(0) };
}

/// Runs a query that `switch` ends, and whose memory is a part of `memory`.
///
/// # Errors
/// [`QueryError`] when it was ended before it was done.
pub fn within<T>(switch: &Switch, memory: &Arc<Memory>, run: impl FnOnce() -> T) -> Result<T, QueryError> {
    SWITCH.set(Some(switch.clone()));
    MEMORY.set(Some(Arc::clone(memory)));
    HELD.set(0);
    let answer = run();
    SWITCH.set(None);
    MEMORY.set(None);
    memory.held.fetch_sub(HELD.replace(0), Ordering::Relaxed);
    match switch.ended() {
        None => Ok(answer),
        Some(why) => Err(QueryError {
            ended: Some(why),
            ..match why {
                Ended::Deadline => {
                    QueryError::new("the query took too long", "ask for a shorter time or fewer records")
                }
                Ended::Cancelled => QueryError::new("the query was given up", "ask again"),
                Ended::Memory => QueryError::new(
                    format!("what the query holds is more than {} MiB", MAX_HELD_BYTES >> 20),
                    "ask for a shorter time or fewer records",
                ),
                Ended::Crowded => QueryError::new(
                    format!("the queries that run hold more than {} MiB together", memory.most >> 20),
                    "ask again in a moment",
                ),
            }
        }),
    }
}

/// Whether the query of this thread may go on.
pub fn goes_on() -> bool {
    SWITCH.with_borrow(|switch| switch.as_ref().is_none_or(|switch| switch.ended().is_none()))
}

/// Notes that the query holds so many bytes more; whether it may go on.
pub fn hold(bytes: usize) -> bool {
    let held = HELD.get().saturating_add(bytes);
    HELD.set(held);
    let end = |why| SWITCH.with_borrow(|switch| switch.iter().for_each(|switch| switch.end(why)));
    if held > MAX_HELD_BYTES {
        end(Ended::Memory);
    }
    MEMORY.with_borrow(|memory| {
        if memory.as_ref().is_some_and(|memory| memory.held.fetch_add(bytes, Ordering::Relaxed) + bytes > memory.most) {
            end(Ended::Crowded);
        }
    });
    goes_on()
}

/// Bytes that outlive their query, and count as held by queries as long as this is there.
#[derive(Debug, Default)]
pub struct Kept {
    memory: Option<Arc<Memory>>,
    bytes: usize,
}

/// Takes up to `bytes` of what the query of this thread holds out of what ends with it.
pub fn keep(bytes: usize) -> Kept {
    let bytes = bytes.min(HELD.get());
    HELD.set(HELD.get() - bytes);
    Kept { memory: MEMORY.with_borrow(Clone::clone), bytes }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(memory) = &self.memory {
            memory.held.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}
