//! Browsers that have signed in. The secret of a session is kept as its digest, as a token is.

use std::collections::HashMap;

use crate::token::Digest;

/// Most sessions; beyond them the one that was used least lately ends.
pub(crate) const MOST_SESSIONS: usize = 1024;
/// How long a session lasts, seconds.
pub(crate) const LIFE_S: u64 = 12 * 3600;
/// How long it lasts unused, seconds.
pub(crate) const IDLE_S: u64 = 3600;

/// A browser that has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The principal; what it may do is asked of the principals each time.
    pub name: String,
    /// The token that it was opened with: when that ends, so does the session.
    pub token: Digest,
    began_s: u64,
    used_s: u64,
}

impl Session {
    fn is_over(&self, now_s: u64) -> bool {
        now_s.saturating_sub(self.began_s) >= LIFE_S || now_s.saturating_sub(self.used_s) >= IDLE_S
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<Digest, Session>);

impl Sessions {
    /// Begins one under a new secret: what a browser had before is not taken on, so that nobody can fix it beforehand.
    pub fn begin(&mut self, secret: &[u8], name: &str, token: Digest, now_s: u64) {
        self.0.retain(|_, session| !session.is_over(now_s));
        if self.0.len() >= MOST_SESSIONS {
            let oldest = self.0.iter().min_by_key(|(_, session)| session.used_s).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.0.remove(&digest));
        }
        let session = Session { name: name.to_owned(), token, began_s: now_s, used_s: now_s };
        self.0.insert(Digest::of(secret), session);
    }

    /// The session of a secret, which is used now.
    pub fn find(&mut self, secret: &[u8], now_s: u64) -> Option<&Session> {
        let digest = Digest::of(secret);
        if self.0.get(&digest).is_some_and(|session| session.is_over(now_s)) {
            self.0.remove(&digest);
        }
        let session = self.0.get_mut(&digest)?;
        session.used_s = now_s;
        Some(session)
    }

    /// Ends one; whose it was.
    pub fn end(&mut self, secret: &[u8]) -> Option<String> {
        self.0.remove(&Digest::of(secret)).map(|session| session.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a session is used, left alone, used to its end, ended; and more begin than there may be. Guarantees: it ends an hour after
    /// its last use, after half a day in any case, at once on demand, and the least used makes room (P10).
    #[test]
    fn sessions_end() {
        let token = Digest::of(b"token");
        let mut all = Sessions::default();
        all.begin(b"a", "ann", token, 0);
        assert_eq!(all.find(b"a", IDLE_S - 1).map(|session| session.name.as_str()), Some("ann"));
        assert!(all.find(b"b", 0).is_none());
        assert!(all.find(b"a", 2 * IDLE_S - 1).is_none());
        all.begin(b"a", "ann", token, 0);
        let used = (0..LIFE_S).step_by(1800).all(|now| all.find(b"a", now).is_some());
        assert!(used && all.find(b"a", LIFE_S).is_none());
        all.begin(b"a", "ann", token, 0);
        assert_eq!(all.end(b"a").as_deref(), Some("ann"));
        assert!(all.find(b"a", 1).is_none());
        for number in 0..=MOST_SESSIONS as u64 {
            all.begin(&number.to_be_bytes(), "ann", token, number.min(1));
        }
        assert_eq!(all.0.len(), MOST_SESSIONS);
        assert!(all.find(&0u64.to_be_bytes(), 1).is_none());
    }
}
