//! What the parts of a hub may hold, as shares of `--memory`.

use store::Options;
use store::query::MAX_HELD_BYTES;

/// One more request is decoded at a time for so many bytes: each may become 64 MiB of records, beside 16 MiB of text.
const OF_A_DECODER: usize = 256 << 20;
/// One more query runs at a time for so many bytes.
const OF_A_QUERY: usize = 128 << 20;

/// How the memory of a hub is shared out. Named parts take half of it; decoded requests, merges, tables of packs and devices, write
/// buffers and what the allocator cannot give back lie in the other half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Bytes of what is not packed yet.
    pub(crate) heads: usize,
    /// Bytes of what the queries at one time hold together.
    pub(crate) queries_hold: usize,
    /// Queries that run at one time; others wait.
    pub(crate) queries: usize,
    /// Bytes of decoded blocks that queries share.
    pub(crate) read_cache: usize,
    /// Bytes of the database's block cache.
    pub(crate) database_cache: usize,
    /// Bytes of request bodies in flight: what came of them.
    pub(crate) bodies: usize,
    /// Requests that are decoded at one time; others wait with their bodies.
    pub(crate) decoders: usize,
}

impl Shares {
    /// The shares of `memory` bytes.
    pub(crate) fn of(memory: usize) -> Self {
        Self {
            heads: memory / 16 * 3,
            queries_hold: (memory / 8).max(MAX_HELD_BYTES),
            queries: (memory / OF_A_QUERY).clamp(2, 64),
            read_cache: memory / 16,
            database_cache: memory / 16,
            bodies: memory / 16,
            decoders: (memory / OF_A_DECODER).clamp(1, 16),
        }
    }

    /// `options` with the shares of a store.
    pub(crate) fn of_store(&self, options: &Options) -> Options {
        Options {
            head_bytes: self.heads,
            read_cache_bytes: self.read_cache,
            database_cache_bytes: self.database_cache as u64,
            ..options.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: hubs of 256 MiB to 64 GiB. Guarantees: named parts take at most half of the memory, but where one query alone may take a
    /// quarter, and there is room for a query and a request (P4).
    #[test]
    fn the_parts_of_a_hub_take_half_of_its_memory() {
        for mib in [256, 512, 1024, 65_536] {
            let memory = mib << 20;
            let Shares { heads, queries_hold, queries, read_cache, database_cache, bodies, decoders } =
                Shares::of(memory);
            let named = heads + queries_hold + read_cache + database_cache + bodies;
            assert!(named <= if mib < 512 { memory / 8 * 5 } else { memory / 2 }, "{named} of {memory}");
            assert!(queries_hold >= MAX_HELD_BYTES && queries >= 2 && decoders >= 1);
        }
        let usual = Shares::of(1 << 30);
        assert_eq!((usual.heads >> 20, usual.queries, usual.decoders), (192, 8, 4));
    }
}
