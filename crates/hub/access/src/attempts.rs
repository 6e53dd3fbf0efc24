//! How often an address may try to sign in: a wrong token costs it a try, a minute gives one back.

use std::collections::HashMap;
use std::net::IpAddr;

/// Tries that an address has at once.
pub(crate) const TRIES: u32 = 10;
/// Seconds after which one comes back.
pub(crate) const BACK_S: u64 = 60;
/// Most addresses that are remembered; beyond them nobody who is new has a try until some are forgotten.
pub(crate) const MOST_ADDRESSES: usize = 4096;

/// What each address has used up.
#[derive(Debug, Default)]
pub struct Attempts(HashMap<IpAddr, (u32, u64)>);

impl Attempts {
    /// What stands for an address: networks of IPv6 are given to one customer by /64.
    fn key(address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let mut bytes = address.octets();
                bytes[8..].fill(0);
                IpAddr::from(bytes)
            }
            address @ IpAddr::V4(_) => address,
        }
    }

    /// How many seconds it must wait before it may try; 0: it may.
    pub fn wait_s(&mut self, address: IpAddr, now_s: u64) -> u64 {
        let key = Self::key(address);
        if let Some((used, since_s)) = self.0.get_mut(&key) {
            let back = now_s.saturating_sub(*since_s) / BACK_S;
            *used = used.saturating_sub(u32::try_from(back).unwrap_or(u32::MAX));
            *since_s += back * BACK_S;
            if *used == 0 {
                self.0.remove(&key);
            }
        }
        match self.0.get(&key) {
            Some((used, since_s)) if *used >= TRIES => (since_s + BACK_S).saturating_sub(now_s).max(1),
            None if self.0.len() >= MOST_ADDRESSES => {
                self.0.retain(|_, (used, since_s)| now_s.saturating_sub(*since_s) / BACK_S < u64::from(*used));
                if self.0.len() >= MOST_ADDRESSES { BACK_S } else { 0 }
            }
            _ => 0,
        }
    }

    /// A try was wrong.
    pub fn failed(&mut self, address: IpAddr, now_s: u64) {
        let (used, _) = self.0.entry(Self::key(address)).or_insert((0, now_s));
        *used = (*used + 1).min(TRIES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: an address tries wrong tokens as fast as it can, another one does not, a third has a whole IPv6 network, and very many
    /// try once. Guarantees: ten tries, then one a minute; others are not stopped by it; a network is one address; memory is bounded.
    #[test]
    fn tries_are_bounded() {
        let mut attempts = Attempts::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let (bad, good) = (address("10.0.0.1"), address("10.0.0.2"));
        let tried = |attempts: &mut Attempts, address, from: u64, to: u64| {
            (from..to)
                .filter(|now| {
                    let may = attempts.wait_s(address, *now) == 0;
                    if may {
                        attempts.failed(address, *now);
                    }
                    may
                })
                .count()
        };
        assert_eq!(tried(&mut attempts, bad, 0, 50), 10);
        assert_eq!(tried(&mut attempts, bad, 50, 650), 10);
        assert_eq!(attempts.wait_s(good, 50), 0);
        assert_eq!(tried(&mut attempts, address("::ffff:10.0.0.1"), 650, 651), 0);
        assert_eq!(attempts.wait_s(bad, 100_000), 0);
        for number in 0..10u64 {
            let network = IpAddr::from((0x2001_0db8_u128 << 96 | u128::from(number)).to_be_bytes());
            attempts.failed(network, 100_000);
        }
        assert!(attempts.wait_s(address("2001:db8::ffff"), 100_000) > 0);
        for number in 0..10_000u32 {
            let one = IpAddr::from(number.to_be_bytes());
            if attempts.wait_s(one, 100_000) == 0 {
                attempts.failed(one, 100_000);
            }
        }
        assert_eq!(attempts.0.len(), MOST_ADDRESSES);
        assert_eq!(attempts.wait_s(good, 200_000), 0);
    }
}
