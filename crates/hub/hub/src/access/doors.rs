//! Who is known: tokens of principals, sessions of the page, and the token of `--token-file`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ::access::audit::Kind;
use ::access::{Action, Attempts, Digest, Identity, Principal, Principals, Role, Sessions};
use axum::http::{HeaderMap, Method, header};
use base64::Engine;

use super::audit::AuditLog;
use super::file::{self, Stamp};
use crate::clock;
use crate::refusal::Refusal;

/// The name under which what the token of `--token-file` does stands in the audit log.
const FILE_TOKEN: &str = "token-file";
/// Of the page's cookie, where the page has TLS and where it has none. A browser takes `__Host-` over TLS only, and from no other host.
const COOKIES: [&str; 2] = ["__Host-lightship", "lightship"];

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// `None`: nobody has to say who they are.
    pub(crate) identity: Option<Identity>,
}

impl Caller {
    /// The only device that it may speak for.
    pub(crate) fn device(&self) -> Option<&str> {
        self.identity.as_ref().and_then(|identity| identity.device.as_deref())
    }

    /// Its name, for the audit log.
    pub(crate) fn name(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.name.as_str())
    }
}

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignInError {
    /// The token is not known, has ended, or may not read.
    Wrong,
    /// Too many tries were wrong: how many seconds to wait.
    Wait(u64),
}

struct Known {
    principals: Principals,
    stamp: Option<Stamp>,
}

/// Everything that lets somebody in.
pub(crate) struct Doors {
    path: PathBuf,
    known: RwLock<Known>,
    file_token: Option<String>,
    sessions: Mutex<Sessions>,
    attempts: Mutex<Attempts>,
    pub(crate) audit: AuditLog,
    /// Whether the page has TLS.
    pub(crate) tls: bool,
}

fn now_s() -> u64 {
    clock::now_ns() / 1_000_000_000
}

impl Doors {
    /// The doors of a data directory.
    ///
    /// # Errors
    /// When the file of principals or the audit log cannot be read.
    pub(crate) fn open(
        data_dir: &Path,
        file_token: Option<String>,
        tls: bool,
    ) -> anyhow::Result<(Self, Option<String>)> {
        let path = file::path(data_dir);
        let stamp = file::stamp(&path)?;
        let known = RwLock::new(Known { principals: file::read(&path)?, stamp });
        let (audit, broken) = AuditLog::open(data_dir)?;
        audit.write(Kind::Start, None, None, concat!("lightship-hub ", env!("CARGO_PKG_VERSION")))?;
        let (sessions, attempts) = (Mutex::default(), Mutex::default());
        Ok((Self { path, known, file_token, sessions, attempts, audit, tls }, broken))
    }

    /// Reads the file of principals again when it changed; what there is to say. Blocks. A file that cannot be read, or is gone, lets
    /// nobody in who was not let in before, and keeps nobody out who was.
    pub(crate) fn look_again(&self) -> Option<String> {
        let stamp = match file::stamp(&self.path) {
            Ok(stamp) => stamp,
            Err(error) => return Some(format!("cannot look at {}: {error}", self.path.display())),
        };
        if stamp == self.known.read().unwrap_or_else(PoisonError::into_inner).stamp {
            return None;
        }
        let read = file::read(&self.path);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let said = match (stamp, read) {
            (None, _) => {
                format!("{} is gone: who was known stays known until the hub starts again", self.path.display())
            }
            (_, Err(error)) => format!("{error:#}: who was known stays known"),
            (_, Ok(principals)) => {
                let said = format!("{} principals are known now", principals.all().len());
                known.principals = principals;
                said
            }
        };
        known.stamp = stamp;
        drop(known);
        match self.audit.write(Kind::Access, None, None, &said) {
            Ok(()) => Some(said),
            Err(error) => Some(format!("{said}; {error:#}")),
        }
    }

    /// Whether nobody has to say who they are to ask.
    pub(crate) fn is_open(&self) -> bool {
        self.known.read().unwrap_or_else(PoisonError::into_inner).principals.is_empty()
    }

    /// All principals.
    pub(crate) fn principals(&self) -> Vec<Principal> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).principals.all().to_vec()
    }

    /// Whose secret it is.
    pub(crate) fn identify(&self, secret: &[u8]) -> Option<Identity> {
        if self.file_token.as_ref().is_some_and(|token| Digest::of(token.as_bytes()) == Digest::of(secret)) {
            return Some(Identity { name: FILE_TOKEN.to_owned(), role: Role::Sender, device: None });
        }
        self.known.read().unwrap_or_else(PoisonError::into_inner).principals.identify(secret, now_s())
    }

    /// Whether a request may do something, and who asks.
    ///
    /// # Errors
    /// [`Refusal::Token`] when it does not say who asks, [`Refusal::Forbidden`] when that one may not.
    pub(crate) fn allow(&self, method: &Method, headers: &HeaderMap, action: Action) -> Result<Caller, Refusal> {
        let is_open = self.is_open();
        // Without principals only what comes in and what changes devices is guarded, where there is a token for it.
        let is_free = is_open && (matches!(action, Action::Read | Action::Administer) || self.file_token.is_none());
        if is_free {
            return Ok(Caller { identity: None });
        }
        let identity = self.known_caller(method, headers)?;
        // Before there were roles, the token of the file was for both.
        let may = identity.may(action) || (identity.name == FILE_TOKEN && action == Action::Operate);
        if !may {
            return Err(Refusal::Forbidden(format!(
                "{} is a {} and may not do this",
                identity.name,
                identity.role.name()
            )));
        }
        Ok(Caller { identity: Some(identity) })
    }

    /// Who asks, whatever they may.
    ///
    /// # Errors
    /// See [`Self::allow`].
    pub(crate) fn who(&self, method: &Method, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if self.is_open() {
            return Ok(Caller { identity: None });
        }
        Ok(Caller { identity: Some(self.known_caller(method, headers)?) })
    }

    /// Whose token or session a request shows.
    fn known_caller(&self, method: &Method, headers: &HeaderMap) -> Result<Identity, Refusal> {
        let identity = match secret(headers) {
            Some(secret) => self.identify(&secret),
            None => self.session(method, headers)?,
        };
        identity.ok_or(Refusal::Token)
    }

    /// Who has signed in with this browser.
    fn session(&self, method: &Method, headers: &HeaderMap) -> Result<Option<Identity>, Refusal> {
        let Some(secret) = cookie(headers) else { return Ok(None) };
        let now_s = now_s();
        let found = {
            let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
            sessions.find(secret.as_bytes(), now_s).map(|session| session.token)
        };
        let Some(token) = found else { return Ok(None) };
        // A browser sends the cookie with what other pages make it send, too.
        if !matches!(*method, Method::GET | Method::HEAD) && !is_same_origin(headers) {
            return Err(Refusal::Forbidden("another web page asked for this: its origin is not the hub's".into()));
        }
        Ok(self.known.read().unwrap_or_else(PoisonError::into_inner).principals.holder(&token, now_s))
    }

    /// Begins a session for the holder of a token: the cookie's value, and who it is.
    ///
    /// # Errors
    /// [`SignInError`].
    pub(crate) fn sign_in(&self, token: &[u8], address: IpAddr) -> Result<(String, Identity), SignInError> {
        let now_s = now_s();
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = attempts.wait_s(address, now_s);
        if wait > 0 {
            return Err(SignInError::Wait(wait));
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut random = [0; 32];
        let identity = known.principals.identify(token, now_s).filter(|one| one.may(Action::Read));
        let (Some(identity), Ok(())) = (identity, getrandom::fill(&mut random)) else {
            attempts.failed(address, now_s);
            return Err(SignInError::Wrong);
        };
        let secret = Digest::of(&random).to_string();
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.begin(secret.as_bytes(), &identity.name, Digest::of(token), now_s);
        Ok((secret, identity))
    }

    /// Ends the session of a browser; whose it was.
    pub(crate) fn sign_out(&self, headers: &HeaderMap) -> Option<String> {
        let secret = cookie(headers)?;
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).end(secret.as_bytes())
    }

    /// The header that gives a browser its session, or takes it.
    pub(crate) fn set_cookie(&self, secret: Option<&str>) -> String {
        let (name, secure) = if self.tls { (COOKIES[0], "; Secure") } else { (COOKIES[1], "") };
        let life = if secret.is_some() { "" } else { "; Max-Age=0" };
        format!("{name}={}; Path=/; HttpOnly; SameSite=Strict{secure}{life}", secret.unwrap_or_default())
    }

    /// Writes an entry of the audit log on a thread that may block.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when it cannot be written: what is not in the log is not done.
    pub(crate) async fn record(
        self: &Arc<Self>,
        kind: Kind,
        (principal, address): (Option<&str>, IpAddr),
        what: String,
    ) -> Result<(), Refusal> {
        let (doors, principal) = (Arc::clone(self), principal.map(str::to_owned));
        let written = tokio::task::spawn_blocking(move || match kind {
            Kind::Refused => doors.audit.refused(principal.as_deref(), address, &what),
            kind => doors.audit.write(kind, principal.as_deref(), Some(address), &what),
        });
        let busy = |why: String| Refusal::Busy(model::Refusal::NoRoom, why);
        written.await.map_err(|error| busy(error.to_string()))?.map_err(|error| busy(format!("{error:#}")))
    }
}

/// The token of a request: as a bearer's, or as the password of a name, which is not looked at.
fn secret(headers: &HeaderMap) -> Option<Vec<u8>> {
    let given = headers.get(header::AUTHORIZATION)?.as_bytes();
    if let Some(token) = given.strip_prefix(b"Bearer ") {
        return Some(token.to_vec());
    }
    let pair =
        given.strip_prefix(b"Basic ").and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let password = pair.and_then(|pair| {
        let colon = pair.iter().position(|byte| *byte == b':')?;
        Some(pair[colon + 1..].to_vec())
    });
    // What cannot be read is a wrong secret, and not none: a cookie does not stand in for it.
    Some(password.unwrap_or_default())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| COOKIES.contains(name)).map(|(_, value)| value)
}

/// Whether a browser says that the hub's own page asks (Fetch Standard, "Origin header").
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => {
            let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        _ => false,
    }
}
