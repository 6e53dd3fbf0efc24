//! What each producer may put into the lanes mission and audit by its records' own attribute.

/// Producers whose share of mission and audit is told apart; what others put there is counted together.
const PRODUCERS: usize = 64;
const MINUTE_NS: u64 = 60_000_000_000;

/// What each producer put into mission and audit lately.
#[derive(Debug, Default)]
pub(super) struct LaneShares {
    /// Service, since when, and how many bytes since then.
    shares: Vec<(u64, u64, u64)>,
}

impl LaneShares {
    /// Takes a request's claims; nothing of it when one of them is beyond its share.
    pub(super) fn take(&mut self, claims: &[(u64, u64)], most: u64, now_ns: u64) -> bool {
        if most == 0 || claims.is_empty() {
            return true;
        }
        self.shares.retain(|(_, since, _)| now_ns.saturating_sub(*since) < MINUTE_NS);
        for (service, bytes) in claims {
            let at = self.position(*service, now_ns);
            let used = self.shares.get(at).map_or(0, |share| share.2);
            // One that used nothing gets in also when it is large.
            if used > 0 && used + bytes > most {
                return false;
            }
        }
        for (service, bytes) in claims {
            let at = self.position(*service, now_ns);
            if let Some(share) = self.shares.get_mut(at) {
                share.2 += bytes;
            }
        }
        true
    }

    fn position(&mut self, service: u64, now_ns: u64) -> usize {
        // The last place is for all that found none.
        let service = if self.shares.len() < PRODUCERS { service } else { u64::MAX };
        let found = self.shares.iter().position(|(other, ..)| *other == service);
        found.unwrap_or_else(|| {
            self.shares.push((service, now_ns, 0));
            self.shares.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: two services put records into audit, one of them more than its share, then a minute passes; and more
    /// services than are told apart. Guarantees: one's share is not another's; a request is taken whole or not at all;
    /// memory is bounded (P9, P11).
    #[test]
    fn i17_each_producer_has_its_share() {
        let mut shares = LaneShares::default();
        assert!(shares.take(&[(1, 60)], 100, 1) && !shares.take(&[(1, 60)], 100, 2));
        assert!(!shares.take(&[(2, 10), (1, 50)], 100, 3), "whole or not at all");
        assert!(shares.take(&[(2, 100)], 100, 4) && shares.take(&[(1, 40)], 100, 5));
        assert!(shares.take(&[(1, 60)], 100, MINUTE_NS + 1));
        assert!(shares.take(&[(3, 500)], 100, 6), "the first one gets in");
        for service in 10..500 {
            shares.take(&[(service, 60)], 100, MINUTE_NS + 2);
        }
        assert!(shares.shares.len() <= PRODUCERS + 1);
        assert!(!shares.take(&[(1000, 60)], 100, MINUTE_NS + 3), "those without a place share one");
        assert!(shares.take(&[(1000, u64::MAX / 2)], 0, 4), "without a bound");
    }
}
