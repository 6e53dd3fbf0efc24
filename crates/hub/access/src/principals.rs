//! The file that says who is known: JSON, written by `lightship-hub token`, read again when it changes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::role::{Action, Role};
use crate::token::Digest;

/// Most principals in a file.
pub(crate) const MOST_PRINCIPALS: usize = 10_000;
/// Most tokens of one of them.
pub(crate) const MOST_TOKENS: usize = 8;
/// Longest name, bytes.
const LONGEST_NAME: usize = 128;
/// The only version.
const VERSION: u32 = 0;

/// What is wrong with a file, or with a change of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// It is not the JSON that belongs there.
    #[error("{0}")]
    Malformed(String),
    /// A newer hub wrote it.
    #[error("version {0} is not known here; this hub reads version {VERSION}")]
    Version(u32),
    /// A name that cannot be one.
    #[error("principal {0:?}: a name has 1 to {LONGEST_NAME} letters, digits, '.', '_', '-', '@'")]
    Name(String),
    /// The same name or token twice.
    #[error("principal {0}: its name or a token of it stands there twice")]
    Twice(String),
    /// More than there may be.
    #[error("{0}: more than {1}")]
    TooMany(&'static str, usize),
    /// No such principal or token.
    #[error("there is no {0}")]
    Unknown(String),
    /// A bound to a device for one that does more than send.
    #[error("principal {0}: only a sender is bound to a device")]
    Device(String),
}

/// What is kept of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptToken {
    /// Its digest.
    pub sha256: Digest,
    /// When it was made, seconds since the Unix epoch.
    pub created_s: u64,
    /// When it ends, seconds since the Unix epoch; absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u64>,
}

/// Somebody who is known: a person, a program or a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Its name, unique in the file.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// A sender's only device; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Several are good at once, so that one can be replaced without a pause.
    #[serde(default)]
    pub tokens: Vec<KeptToken>,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    principals: Vec<Principal>,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// A sender's only device.
    pub device: Option<String>,
}

impl Identity {
    /// Whether it may do something.
    pub fn may(&self, action: Action) -> bool {
        self.role.may(action)
    }
}

/// Everybody who is known.
#[derive(Debug, Clone, Default)]
pub struct Principals {
    all: Vec<Principal>,
    /// Digest to place in `all` and in its tokens. Looking one up takes a time that tells of a digest, not of a token.
    tokens: HashMap<Digest, (usize, usize)>,
}

impl Principals {
    /// Reads the file's content.
    ///
    /// # Errors
    /// [`AccessError`], with the principal where it is one's fault.
    pub fn parse(content: &str) -> Result<Self, AccessError> {
        let file: File = serde_json::from_str(content).map_err(|error| AccessError::Malformed(error.to_string()))?;
        if file.version != VERSION {
            return Err(AccessError::Version(file.version));
        }
        Self::of(file.principals)
    }

    fn of(all: Vec<Principal>) -> Result<Self, AccessError> {
        if all.len() > MOST_PRINCIPALS {
            return Err(AccessError::TooMany("principals", MOST_PRINCIPALS));
        }
        let mut tokens = HashMap::new();
        let mut names = std::collections::HashSet::new();
        for (place, one) in all.iter().enumerate() {
            let letters = one.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
            if one.name.is_empty() || one.name.len() > LONGEST_NAME || !letters {
                return Err(AccessError::Name(one.name.clone()));
            }
            if one.device.is_some() && one.role != Role::Sender {
                return Err(AccessError::Device(one.name.clone()));
            }
            if one.tokens.len() > MOST_TOKENS {
                return Err(AccessError::TooMany("tokens of a principal", MOST_TOKENS));
            }
            let is_new = names.insert(one.name.as_str());
            let all_new = one
                .tokens
                .iter()
                .enumerate()
                .all(|(number, token)| tokens.insert(token.sha256, (place, number)).is_none());
            if !is_new || !all_new {
                return Err(AccessError::Twice(one.name.clone()));
            }
        }
        Ok(Self { all, tokens })
    }

    /// The file's content.
    pub fn to_json(&self) -> String {
        let file = File { version: VERSION, principals: self.all.clone() };
        // A list of texts and numbers always has a form in JSON.
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Whether nobody is known.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All of them.
    pub fn all(&self) -> &[Principal] {
        &self.all
    }

    /// Whose secret it is; `None` when it is nobody's, or has ended.
    pub fn identify(&self, secret: &[u8], now_s: u64) -> Option<Identity> {
        self.holder(&Digest::of(secret), now_s)
    }

    /// Whose token has this digest; `None` when it is nobody's, or has ended.
    pub fn holder(&self, digest: &Digest, now_s: u64) -> Option<Identity> {
        let (place, number) = *self.tokens.get(digest)?;
        let one = self.all.get(place)?;
        let token = one.tokens.get(number)?;
        if token.expires_s.is_some_and(|end| end <= now_s) {
            return None;
        }
        Some(Identity { name: one.name.clone(), role: one.role, device: one.device.clone() })
    }

    /// Gives a principal a token, and makes the principal where it is new. One that is known keeps its role and device unless they are the
    /// same.
    ///
    /// # Errors
    /// [`AccessError`] when the file would not be one.
    pub fn add_token(
        &mut self,
        name: &str,
        (role, device): (Role, Option<&str>),
        token: KeptToken,
    ) -> Result<(), AccessError> {
        let mut all = self.all.clone();
        match all.iter_mut().find(|one| one.name == name) {
            Some(one) if one.role == role && one.device.as_deref() == device => one.tokens.push(token),
            Some(_) => return Err(AccessError::Twice(name.to_owned())),
            None => all.push(Principal {
                name: name.to_owned(),
                role,
                device: device.map(str::to_owned),
                tokens: vec![token],
            }),
        }
        *self = Self::of(all)?;
        Ok(())
    }

    /// Takes a principal out, or only those of its tokens whose digests begin with `digest`.
    ///
    /// # Errors
    /// [`AccessError::Unknown`].
    pub fn revoke(&mut self, name: &str, digest: Option<&str>) -> Result<usize, AccessError> {
        let mut all = self.all.clone();
        let unknown = || AccessError::Unknown(format!("principal {name}"));
        let place = all.iter().position(|one| one.name == name).ok_or_else(unknown)?;
        let gone = match digest {
            None => all.remove(place).tokens.len(),
            Some(digest) => {
                let tokens = &mut all[place].tokens;
                let before = tokens.len();
                tokens.retain(|token| digest.is_empty() || !token.sha256.to_string().starts_with(digest));
                if tokens.len() == before {
                    return Err(AccessError::Unknown(format!("token of {name} whose digest begins with {digest:?}")));
                }
                before - tokens.len()
            }
        };
        *self = Self::of(all)?;
        Ok(gone)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::token::Token;

    fn kept(byte: u8, expires_s: Option<u64>) -> KeptToken {
        KeptToken { sha256: Token::new(&[byte; 32]).digest(), created_s: 1, expires_s }
    }

    fn secret(byte: u8) -> Vec<u8> {
        Token::new(&[byte; 32]).text().as_bytes().to_vec()
    }

    /// Scenario: two tokens of one program, one of which ends; a device's; a principal is taken out. Guarantees: several are good at
    /// once, an ended one is nobody's at that second, a revoked one at once, and the file says the same after a round (P10).
    #[test]
    fn tokens_come_and_go() {
        let mut all = Principals::default();
        all.add_token("grafana", (Role::Viewer, None), kept(1, None)).unwrap();
        all.add_token("grafana", (Role::Viewer, None), kept(2, Some(100))).unwrap();
        all.add_token("ship-1", (Role::Sender, Some("ship-1")), kept(3, None)).unwrap();
        let mut all = Principals::parse(&all.to_json()).unwrap();
        assert_eq!(all.identify(&secret(1), 1000).unwrap().name, "grafana");
        assert_eq!(all.identify(&secret(2), 99).unwrap().role, Role::Viewer);
        assert_eq!(all.identify(&secret(2), 100), None);
        assert_eq!(all.identify(&secret(3), 0).unwrap().device.as_deref(), Some("ship-1"));
        assert_eq!(all.identify(b"", 0), None);
        let first = kept(1, None).sha256.to_string();
        assert_eq!(all.revoke("grafana", Some(&first[..12])), Ok(1));
        assert_eq!(all.identify(&secret(1), 0), None);
        assert!(all.identify(&secret(2), 0).is_some());
        assert_eq!(all.revoke("grafana", None), Ok(1));
        assert!(all.identify(&secret(2), 0).is_none() && all.all().len() == 1);
        assert!(matches!(all.revoke("grafana", None), Err(AccessError::Unknown(_))));
    }

    /// Scenario: files that no hub wrote: of a newer version, with a name or token twice, a name that would break a log line, a role
    /// that is none, a key too many, a viewer that is bound to a device. Guarantees: each is refused with its reason; nobody is let in
    /// by half of a file (P10).
    #[test]
    fn a_wrong_file_is_refused_whole() {
        let principal = |name: &str, role: &str, more: &str| format!(r#"{{"name":{name:?},"role":"{role}"{more}}}"#);
        let parse = |version: u32, principals: &[String]| {
            let text = format!(r#"{{"version":{version},"principals":[{}]}}"#, principals.join(","));
            Principals::parse(&text).map(drop)
        };
        let good = principal("a", "viewer", "");
        assert_eq!(parse(0, std::slice::from_ref(&good)), Ok(()));
        assert_eq!(parse(1, std::slice::from_ref(&good)), Err(AccessError::Version(1)));
        assert_eq!(parse(0, &[good.clone(), good.clone()]), Err(AccessError::Twice("a".into())));
        assert_eq!(parse(0, &[principal("a\nb", "viewer", "")]), Err(AccessError::Name("a\nb".into())));
        assert_eq!(parse(0, &[principal("a", "viewer", r#","device":"x""#)]), Err(AccessError::Device("a".into())));
        for wrong in [principal("a", "root", ""), principal("a", "viewer", r#","x":1"#)] {
            assert!(matches!(parse(0, &[wrong]), Err(AccessError::Malformed(_))));
        }
        let token = serde_json::to_string(&kept(1, None)).unwrap();
        let tokens = |count: usize| format!(r#","tokens":[{}]"#, vec![token.clone(); count].join(","));
        assert_eq!(parse(0, &[principal("a", "viewer", &tokens(2))]), Err(AccessError::Twice("a".into())));
        assert!(matches!(parse(0, &[principal("a", "viewer", &tokens(9))]), Err(AccessError::TooMany(_, 8))));
        assert!(Principals::parse("").is_err());
    }

    /// Scenario: a token for a known name with another role. Guarantees: nobody's role changes by the way.
    #[test]
    fn a_role_does_not_change_by_the_way() {
        let mut all = Principals::default();
        all.add_token("a", (Role::Viewer, None), kept(1, None)).unwrap();
        assert!(matches!(all.add_token("a", (Role::Admin, None), kept(2, None)), Err(AccessError::Twice(_))));
        assert_eq!(all.all()[0].role, Role::Viewer);
    }
}
