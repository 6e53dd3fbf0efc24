//! What a server is shown, and whom it is believed: in files that are read again when they change, so that a token, a certificate or an
//! authority is renewed without a restart.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, header};
use rustls::ClientConfig;
use tokio::time::Instant;

use crate::proxy::basic;
use crate::tls::TlsFiles;

/// Files are looked at again at most so often.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// The most bytes of a token or a header's value.
const MAX_VALUE: u64 = 64 << 10;

/// Where the credentials of a destination are.
#[derive(Debug, Clone, Default)]
pub struct CredentialFiles {
    /// Certificate authorities to trust (PEM); absent: those of the system.
    pub ca_file: Option<PathBuf>,
    /// What the client shows of itself: its certificate with those between it and an authority, and its private key (PEM).
    pub client: Option<(PathBuf, PathBuf)>,
    /// What goes in the header `authorization`: its scheme, and the file of what stands behind.
    pub authorization: Option<(String, PathBuf)>,
    /// The user that the server knows, and its password.
    pub basic: Option<(String, PathBuf)>,
    /// A bearer token.
    pub token_file: Option<PathBuf>,
    /// The user that a proxy knows, and its password.
    pub proxy: Option<(String, PathBuf)>,
    /// Further headers: name, and value or `file:PATH`.
    pub headers: Vec<(String, String)>,
}

/// The credentials of a destination: what its files say, or said when they were last good. All of its connections share them.
#[derive(Default)]
pub struct Credentials {
    tls: Option<RefCell<Watched<Arc<ClientConfig>>>>,
    headers: RefCell<Vec<(HeaderName, Watched<HeaderValue>)>>,
    proxy: Option<RefCell<Watched<HeaderValue>>>,
    looked: Cell<Option<Instant>>,
    changes: Cell<u64>,
    is_news: Cell<bool>,
}

impl Credentials {
    /// Reads all that are there; `tls`: whether a connection is encrypted.
    ///
    /// # Errors
    /// The key or file, and what is wrong with it.
    pub fn read(files: &CredentialFiles, tls: bool) -> Result<Self, String> {
        let tls = match tls {
            true => {
                let files = TlsFiles::find(files.ca_file.as_deref(), files.client.as_ref());
                let files = files.map_err(|error| error.to_string())?;
                let paths = files.paths();
                let read = move || files.read().map_err(|error| error.to_string());
                Some(RefCell::new(Watched::new(paths, Box::new(read))?))
            }
            false => None,
        };
        let mut headers = Vec::new();
        if let Some(path) = files.token_file.clone() {
            headers.push((header::AUTHORIZATION, Watched::value("token_file".to_owned(), bearer, path)?));
        }
        if let Some((scheme, path)) = files.authorization.clone() {
            let form = move |secret: &str| plain(&format!("{scheme} {secret}"));
            headers.push((header::AUTHORIZATION, Watched::value("credentials_file".to_owned(), form, path)?));
        }
        if let Some((user, path)) = files.basic.clone() {
            let form = move |password: &str| Some(basic(&user, password));
            headers.push((header::AUTHORIZATION, Watched::value("password_file".to_owned(), form, path)?));
        }
        for (name, value) in &files.headers {
            let wrong = |what: &str| format!("headers.{name}: this is no {what} of an HTTP header");
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("name"))?;
            let value = match value.strip_prefix("file:") {
                Some(path) => Watched::value(format!("headers.{name}"), plain, path.into())?,
                None => Watched::fixed(plain(value.trim()).ok_or_else(|| wrong("value"))?),
            };
            headers.push((parsed, value));
        }
        let proxy = match files.proxy.clone() {
            Some((user, path)) => {
                let form = move |password: &str| Some(basic(&user, password));
                Some(RefCell::new(Watched::value("proxy_password_file".to_owned(), form, path)?))
            }
            None => None,
        };
        Ok(Self { tls, headers: RefCell::new(headers), proxy, ..Self::default() })
    }

    /// Looks whether files changed, at most every few seconds, and reads those again.
    pub fn look(&self) {
        let now = Instant::now();
        if self.looked.get().is_some_and(|last| now.duration_since(last) < LOOK_AGAIN) {
            return;
        }
        self.looked.set(Some(now));
        let tls = self.tls.as_ref().is_some_and(|tls| tls.borrow_mut().look());
        let proxy = self.proxy.as_ref().is_some_and(|proxy| proxy.borrow_mut().look());
        let headers = self.headers.borrow_mut().iter_mut().filter_map(|(_, value)| value.look().then_some(())).count();
        if tls || proxy || headers > 0 {
            self.changes.set(self.changes.get() + 1);
            self.is_news.set(true);
        }
    }

    /// What a connection is made with; `None` where none is encrypted.
    pub fn tls(&self) -> Option<Arc<ClientConfig>> {
        self.tls.as_ref().map(|tls| Arc::clone(&tls.borrow().value))
    }

    /// What goes with each request beside the protocol's own headers.
    pub fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        self.headers.borrow().iter().map(|(name, value)| (name.clone(), value.value.clone())).collect()
    }

    /// The token, for a protocol that has it in a place of its own.
    pub fn token(&self) -> Option<String> {
        let headers = self.headers.borrow();
        let (_, value) = headers.iter().find(|(name, _)| name == header::AUTHORIZATION)?;
        value.value.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned)
    }

    /// What a proxy is shown, where its password is in a file.
    pub(crate) fn proxy(&self) -> Option<HeaderValue> {
        self.proxy.as_ref().map(|proxy| proxy.borrow().value.clone())
    }

    /// How often files were found changed so far.
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Whether the last change is to be told: true once.
    pub fn is_news(&self) -> bool {
        self.is_news.take()
    }

    /// What is wrong with files whose last good contents are used on; empty when all are as they are on disk.
    pub fn faults(&self) -> String {
        let mut out = String::new();
        let mut tell = |fault: &Option<String>| {
            if let Some(fault) = fault {
                // Writing into a String cannot fail.
                let _written = write!(out, "{}{fault}", if out.is_empty() { "" } else { "; " });
            }
        };
        if let Some(tls) = &self.tls {
            tell(&tls.borrow().fault);
        }
        if let Some(proxy) = &self.proxy {
            tell(&proxy.borrow().fault);
        }
        self.headers.borrow().iter().for_each(|(_, value)| tell(&value.fault));
        out
    }
}

/// What tells a file from what it was: file, size, times of change. `None`: it cannot be looked at.
type Stamp = Option<[u64; 6]>;

/// What was made of files.
struct Watched<T> {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
    read: Box<dyn Fn() -> Result<T, String>>,
    value: T,
    /// Why what is there now is not used.
    fault: Option<String>,
}

impl<T> Watched<T> {
    fn new(paths: Vec<PathBuf>, read: Box<dyn Fn() -> Result<T, String>>) -> Result<Self, String> {
        // First looked at, then read: what changes in between is found changed.
        let stamps = paths.iter().map(stamp).collect();
        let value = read()?;
        Ok(Self { paths, stamps, read, value, fault: None })
    }

    /// Reads files that changed; whether there were any.
    fn look(&mut self) -> bool {
        if self.paths.iter().map(stamp).eq(self.stamps.iter().copied()) {
            return false;
        }
        self.stamps = self.paths.iter().map(stamp).collect();
        match (self.read)() {
            Ok(value) => (self.value, self.fault) = (value, None),
            Err(why) => self.fault = Some(why),
        }
        true
    }
}

impl Watched<HeaderValue> {
    fn fixed(value: HeaderValue) -> Self {
        Self {
            paths: Vec::new(),
            stamps: Vec::new(),
            value: value.clone(),
            read: Box::new(move || Ok(value.clone())),
            fault: None,
        }
    }

    /// A header's value, made by `form` of what is in a file that a key names.
    fn value(key: String, form: impl Fn(&str) -> Option<HeaderValue> + 'static, path: PathBuf) -> Result<Self, String> {
        let file = path.clone();
        let read = move || {
            let fail = |why: &dyn std::fmt::Display| format!("{key} {}: {why}", file.display());
            let mut text = String::new();
            let opened = std::fs::File::open(&file).map_err(|error| fail(&error))?;
            opened.take(MAX_VALUE + 1).read_to_string(&mut text).map_err(|error| fail(&error))?;
            if text.len() as u64 > MAX_VALUE {
                return Err(fail(&"it is longer than 64 KiB"));
            }
            // Whoever writes it anew may have emptied it first.
            let text = text.trim();
            if text.is_empty() {
                return Err(fail(&"it is empty"));
            }
            form(text).ok_or_else(|| fail(&"this is no value of an HTTP header"))
        };
        Self::new(vec![path], Box::new(read))
    }
}

fn plain(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn bearer(token: &str) -> Option<HeaderValue> {
    plain(&format!("Bearer {token}"))
}

fn stamp(path: &PathBuf) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()].map(i64::cast_unsigned);
    Some([found.ino(), found.len(), times[0], times[1], times[2], times[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a token and a header in files that are replaced, emptied, removed, and put back. Guarantees: the new value is used; what
    /// cannot be used leaves the last good one, and is told by file and reason until it is mended (D8).
    #[test]
    fn d8_tokens_and_headers_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let (token, tenant) = (directory.path().join("token"), directory.path().join("tenant"));
        std::fs::write(&token, "one\n").unwrap();
        std::fs::write(&tenant, "vessels").unwrap();
        let mut files = CredentialFiles { token_file: Some(token.clone()), ..CredentialFiles::default() };
        files.headers = vec![("x-tenant".into(), format!("file:{}", tenant.display())), ("x-fixed".into(), "a".into())];
        let credentials = Credentials::read(&files, false).unwrap();
        let now = || {
            credentials.looked.set(None);
            credentials.look();
            let values = credentials.headers();
            values.iter().map(|(_, value)| value.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(",")
        };
        assert_eq!((now().as_str(), credentials.changes()), ("Bearer one,vessels,a", 0));
        // Replaced as a whole, as renewers do.
        let beside = directory.path().join("token.new");
        std::fs::write(&beside, "two").unwrap();
        std::fs::rename(&beside, &token).unwrap();
        std::fs::write(&tenant, "fleet").unwrap();
        assert_eq!((now().as_str(), credentials.changes()), ("Bearer two,fleet,a", 1));
        for bad in [&b""[..], b"\xff", b"a\nb", &[b'x'; 1 << 17]] {
            std::fs::write(&token, bad).unwrap();
            assert_eq!(now(), "Bearer two,fleet,a");
            assert!(credentials.faults().starts_with("token_file /"), "{}", credentials.faults());
        }
        std::fs::remove_file(&token).unwrap();
        assert_eq!(now(), "Bearer two,fleet,a");
        let told = credentials.changes();
        assert_eq!((now().as_str(), credentials.changes()), ("Bearer two,fleet,a", told), "told once");
        std::fs::write(&token, "three").unwrap();
        assert_eq!((now().as_str(), credentials.faults().as_str()), ("Bearer three,fleet,a", ""));
    }

    /// Scenario: headers and files that are none, at the start. Guarantees: the key is named.
    #[test]
    fn d8_what_is_wrong_at_the_start_is_told() {
        let header = |name: &str, value: &str| {
            let headers = vec![(name.to_owned(), value.to_owned())];
            Credentials::read(&CredentialFiles { headers, ..CredentialFiles::default() }, false).err().unwrap()
        };
        assert!(header("no name", "x").starts_with("headers.no name: "));
        assert!(header("x", "a\nb").contains("no value"));
        assert!(header("x", "file:/nowhere").starts_with("headers.x /nowhere: "));
    }
}
