//! Addresses and networks.

use std::net::IpAddr;

/// Addresses: one, a range, or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses {
    first: IpAddr,
    last: IpAddr,
}

impl Addresses {
    /// `10.0.0.1`, `10.0.0.1-10.0.0.9`, `10.0.0.0/8`, and the same of IPv6.
    ///
    /// # Errors
    /// When it is none of these.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let failed = || format!("ip: invalid pattern: {text}");
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| failed());
        if let Some((network, bits)) = text.split_once('/') {
            let bits: u32 = bits.parse().map_err(|_| failed())?;
            let mask = |size: u32| u128::MAX.checked_shl(size - bits).unwrap_or(0);
            return match address(network)? {
                IpAddr::V4(own) if bits <= 32 => {
                    let (own, mask) = (u32::from(own), mask(32) as u32);
                    let (first, last) = (own & mask, own | !mask);
                    Ok(Self { first: IpAddr::V4(first.into()), last: IpAddr::V4(last.into()) })
                }
                IpAddr::V6(own) if bits <= 128 => {
                    let (own, mask) = (u128::from(own), mask(128));
                    let (first, last) = (own & mask, own | !mask);
                    Ok(Self { first: IpAddr::V6(first.into()), last: IpAddr::V6(last.into()) })
                }
                _ => Err(failed()),
            };
        }
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (address(first)?, address(last)?),
            None => (address(text)?, address(text)?),
        };
        if first.is_ipv4() != last.is_ipv4() || first > last {
            return Err(failed());
        }
        Ok(Self { first, last })
    }

    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Whether a text is one of them.
    pub(crate) fn is(&self, text: &str) -> bool {
        text.parse().is_ok_and(|address| self.has(address))
    }

    /// Whether a line holds one of them.
    pub(crate) fn is_in(&self, line: &str) -> bool {
        let words = line.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':');
        words.filter(|word| word.contains(['.', ':'])).any(|word| {
            let word = word.trim_end_matches('.');
            // An address with a port, or with a colon behind it.
            self.is(word) || word.rsplit_once(':').is_some_and(|(address, _)| self.is(address))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: addresses, ranges and networks of both kinds, in lines and alone, and what is none. Promise: found where they are.
    #[test]
    fn addresses_are_found() {
        let network = Addresses::new("10.1.0.0/16").unwrap();
        assert!(network.is("10.1.255.255") && !network.is("10.2.0.0") && !network.is("::1"));
        assert!(network.is_in("from 10.1.2.3:8080 to 1.1.1.1"));
        assert!(!network.is_in("from 10.2.2.3 version 1.2.3"));
        assert!(Addresses::new("10.0.0.1-10.0.0.9").unwrap().is("10.0.0.5"));
        assert!(Addresses::new("2001:db8::/32").unwrap().is_in("[2001:db8::7] said"));
        assert!(Addresses::new("0.0.0.0/0").unwrap().is("255.1.1.1"));
        for wrong in ["", "x", "10.0.0.1/33", "::1/129", "10.0.0.9-10.0.0.1", "1.1.1.1-::1", "10.0.0.1/x"] {
            assert!(Addresses::new(wrong).is_err(), "{wrong}");
        }
    }
}
