//! A whole hub: opened, bound, served, stopped.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use serde_json::json;
use store::{Options, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::{self, Doors};
use crate::app::App;
use crate::health::damage_line;
use crate::log::Kind;
use crate::memory::Shares;
use crate::tls::{self, TlsFiles};
use crate::{api, clock, health, jaeger_api, link_api, loki_api, otlp_api, prometheus_api, server, tempo_api, ui};

/// How often what is known of devices is saved, and the compactor looks whether memory is short.
const TICK: Duration = Duration::from_secs(1);
/// Most time between two runs of the compactor.
const MAX_COMPACT_EVERY: Duration = Duration::from_secs(30);

/// How a hub runs.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Address of queries, UI and OTLP.
    pub http: String,
    /// Address of the link.
    pub link: String,
    /// File with the token that intake asks for.
    pub token_file: Option<PathBuf>,
    /// The operator's certificate; else one is made.
    pub tls: Option<TlsFiles>,
    /// Further names of the made certificate.
    pub tls_names: Vec<String>,
    /// How the store works; what it may hold are shares of `memory`.
    pub store: Options,
    /// Bytes that the whole hub may take, at least 256 MiB.
    pub memory: usize,
    /// Whether the link may listen beyond this machine although no token is asked for.
    pub insecure_no_token: bool,
    /// Whether queries and page may be reached from beyond this machine without TLS, and without principals.
    pub insecure_plain_http: bool,
    /// Whether queries and page have TLS, with the link's certificate; they do in any case where they can be reached from beyond this
    /// machine.
    pub http_tls: bool,
    /// Connections of each port at one time.
    pub connections: usize,
    /// How long a connection may be silent.
    pub idle: Duration,
}

/// Whether an address is reached from this machine only.
fn is_local(address: &str) -> bool {
    address.parse::<SocketAddr>().map_or_else(
        |_| address.rsplit_once(':').is_some_and(|(host, _)| host == "localhost"),
        |address| address.ip().is_loopback(),
    )
}

impl Config {
    /// Whether queries and page have TLS.
    pub fn has_http_tls(&self) -> bool {
        self.http_tls || (!is_local(&self.http) && !self.insecure_plain_http)
    }
}

/// Refuses to be reached from beyond this machine without what protects it, unless the operator said so in words.
fn check_exposure(config: &Config) -> anyhow::Result<()> {
    let nobody = access::file::read(&access::file::path(&config.data_dir))?.is_empty();
    if !is_local(&config.link) && nobody && config.token_file.is_none() && !config.insecure_no_token {
        bail!(
            "--link {} can be reached from beyond this machine, and nothing asks devices who they are; make a token with \
             lightship-hub token add --role sender, give --token-file, or say --insecure-no-token",
            config.link
        );
    }
    if !is_local(&config.http) && nobody && !config.insecure_plain_http {
        bail!(
            "--http {} can be reached from beyond this machine, and nothing asks who queries; make a token with \
             lightship-hub token add --data-dir {} --name YOU --role admin, or say --insecure-plain-http",
            config.http,
            config.data_dir.display()
        );
    }
    Ok(())
}

/// A running hub.
pub struct Hub {
    /// Bound address of queries, UI and OTLP.
    pub http: SocketAddr,
    /// Whether that has TLS.
    pub http_tls: bool,
    /// Bound address of the link.
    pub link: SocketAddr,
    /// The authority that devices trust, if the certificate was made here.
    pub ca: Option<PathBuf>,
    app: Arc<App>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Reads a token file: one line, which may end with a line break.
fn read_token(path: &Path) -> anyhow::Result<String> {
    let token = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the token from {} (--token-file)", path.display()))?;
    let token = token.trim();
    if token.is_empty() {
        bail!("{} holds no token; write one line into it, or leave --token-file away", path.display());
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("{}: the token has spaces or letters that cannot stand in a header", path.display());
    }
    Ok(token.to_owned())
}

async fn bind(address: &str, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!("another program uses it; stop it or choose another {option}"),
            std::io::ErrorKind::PermissionDenied => format!("not allowed; choose a port above 1023 with {option}"),
            _ => format!("give {option} as ADDRESS:PORT of this machine"),
        };
        anyhow::anyhow!("cannot listen on {address}: {error}; {remedy}")
    })
}

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(path: &Path, content: &str) -> anyhow::Result<()> {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, content)
        .and_then(|()| std::fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Checks everything that a start needs but the ports: data directory, stored data, token, certificate. Changes
/// nothing: the database is read from a copy among the system's temporary files.
///
/// # Errors
/// What a start would fail with, with what to do.
pub fn check(config: &Config) -> anyhow::Result<Vec<String>> {
    check_exposure(config)?;
    if let Some(path) = &config.token_file {
        read_token(path)?;
    }
    let dir = &config.data_dir;
    match &config.tls {
        Some(files) => drop(tls::server_config(files)?),
        None => tls::check_made(&dir.join("tls"), &config.tls_names)?,
    }
    if !dir.try_exists().with_context(|| format!("cannot look at {} (--data-dir)", dir.display()))? {
        let parent = dir.ancestors().find(|one| one.is_dir());
        let parent =
            parent.with_context(|| format!("{} has no directory to be made in (--data-dir)", dir.display()))?;
        check_writable(parent)?;
        return Ok(Vec::new());
    }
    check_writable(dir)?;
    let scratch = Scratch::new()?;
    let damages = store::inspect(dir, &scratch.0).map_err(|error| store_error(dir, error))?;
    Ok(damages.iter().map(damage_line).collect())
}

/// Whether files could be made in a directory, as far as its mode tells: nothing is written for it.
fn check_writable(dir: &Path) -> anyhow::Result<()> {
    let found = std::fs::metadata(dir).with_context(|| format!("cannot look at {} (--data-dir)", dir.display()))?;
    if !found.is_dir() {
        bail!("{} is no directory (--data-dir)", dir.display());
    }
    if found.permissions().readonly() {
        bail!("{} cannot be written (--data-dir)", dir.display());
    }
    Ok(())
}

/// A directory among the system's temporary files, which goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> anyhow::Result<Self> {
        let number = getrandom::u64().map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
        let dir = std::env::temp_dir().join(format!("lightship-hub-check-{number:016x}"));
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is a temporary file of the system's.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Mends a data directory; what was done, and what is still missing.
///
/// # Errors
/// When the directory is in use, or cannot be written.
pub fn repair(dir: &Path, accept_loss: bool) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let repaired = store::repair(dir, accept_loss).map_err(|error| store_error(dir, error))?;
    let wrong = repaired.damages.iter().filter(|damage| !damage.accepted).map(damage_line).collect();
    Ok((repaired.lines, wrong))
}

fn store_error(dir: &Path, error: StoreError) -> anyhow::Error {
    match error {
        StoreError::Locked { .. }
        | StoreError::DatabaseGone { .. }
        | StoreError::ForeignDatabase { .. }
        | StoreError::DatabaseDamaged { .. } => anyhow::anyhow!("{error}"),
        error => anyhow::Error::new(error).context(format!("cannot open the store in {}", dir.display())),
    }
}

struct Prepared {
    store: Store,
    doors: Doors,
    tls: Arc<rustls::ServerConfig>,
    ca: Option<PathBuf>,
}

fn prepare(config: &Config) -> anyhow::Result<Prepared> {
    let token = config.token_file.as_deref().map(read_token).transpose()?;
    let dir = &config.data_dir;
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {} (--data-dir)", dir.display()))?;
    let (files, ca) = match &config.tls {
        Some(files) => (files.clone(), None),
        None => {
            let made = dir.join("tls");
            (tls::self_made(&made, &config.tls_names, clock::now_ns())?, Some(made.join("ca.pem")))
        }
    };
    let tls = tls::server_config(&files)?;
    let options = Shares::of(config.memory).of_store(&config.store);
    let store = Store::open(dir, options).map_err(|error| store_error(dir, error))?;
    for damage in store.damages() {
        eprintln!("lightship-hub: {}", damage_line(&damage));
    }
    let (doors, broken) = Doors::open(dir, token, config.has_http_tls())?;
    if let Some(broken) = broken {
        eprintln!("lightship-hub: the audit log is not as it was written: {broken}");
    }
    Ok(Prepared { store, doors, tls, ca })
}

/// Starts a hub and returns when it listens.
///
/// # Errors
/// What is wrong, with what to do about it.
pub async fn start(config: Config) -> anyhow::Result<Hub> {
    check_exposure(&config)?;
    let http = bind(&config.http, "--http").await?;
    let link = bind(&config.link, "--link").await?;
    let data_dir = config.data_dir.clone();
    let compact_every = config.store.compact_after.clamp(TICK, MAX_COMPACT_EVERY);
    let limits = server::Limits { connections: config.connections, idle: config.idle };
    let certificates = (config.tls.clone(), data_dir.join("tls"), config.tls_names.clone());
    let (http_tls, memory) = (config.has_http_tls(), config.memory);
    let prepared = tokio::task::spawn_blocking(move || prepare(&config)).await??;
    let app = App::new(prepared.store, prepared.doors, data_dir.clone(), memory)?;
    let (http_at, link_at) = (http.local_addr()?, link.local_addr()?);
    let addresses = json!({"http": http_at.to_string(), "link": link_at.to_string()});
    write_whole(&data_dir.join("addresses.json"), &format!("{addresses}\n"))?;
    let (stop, stopped) = watch::channel(false);
    let (certificate, tls) = watch::channel(prepared.tls);
    let links = link_api::routes(Arc::clone(&app));
    let pages: Router = Router::new()
        .merge(api::routes())
        .merge(prometheus_api::routes())
        .merge(jaeger_api::routes())
        .merge(loki_api::routes())
        .merge(tempo_api::routes())
        .merge(otlp_api::routes())
        .merge(health::routes())
        .merge(access::sign_in::routes())
        .merge(ui::routes())
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&app), access::guard::guard))
        .with_state(Arc::clone(&app));
    let tasks = vec![
        tokio::spawn(server::serve(
            http,
            pages,
            http_tls.then(|| tls.clone()),
            Arc::clone(&app),
            limits,
            stopped.clone(),
        )),
        tokio::spawn(server::serve(link, links, Some(tls), Arc::clone(&app), limits, stopped.clone())),
        tokio::spawn(renew(Arc::clone(&app), certificates, certificate, stopped.clone())),
        tokio::spawn(keep_house(Arc::clone(&app), compact_every, stopped)),
    ];
    Ok(Hub { http: http_at, http_tls, link: link_at, ca: prepared.ca, app, stop, tasks })
}

impl Hub {
    /// Answers what is in flight, then closes the store.
    pub async fn stop(self) {
        let Self { app, stop, tasks, .. } = self;
        // Nobody listens any more only if all tasks have ended.
        let _ = stop.send(true);
        app.end_queries();
        for task in tasks {
            let _ = task.await;
        }
        // Closing joins the writer and syncs the database.
        let _ = tokio::task::spawn_blocking(move || drop(app)).await;
    }
}

/// How often certificates are looked at.
const RENEW_EVERY: Duration = Duration::from_secs(3600);

/// Takes renewed certificates without a restart: those that the operator replaced, and those made here that are about to
/// expire.
async fn renew(
    app: Arc<App>,
    (files, dir, names): (Option<TlsFiles>, PathBuf, Vec<String>),
    certificate: watch::Sender<Arc<rustls::ServerConfig>>,
    mut stop: watch::Receiver<bool>,
) {
    let files = Arc::new((files, dir, names));
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEW_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let of_thread = Arc::clone(&files);
        let loaded = tokio::task::spawn_blocking(move || {
            let (files, dir, names) = &*of_thread;
            let files = match files {
                Some(files) => files.clone(),
                None => tls::self_made(dir, names, clock::now_ns())?,
            };
            tls::server_config(&files)
        });
        match loaded.await {
            Ok(Ok(config)) => drop(certificate.send_replace(config)),
            Ok(Err(error)) => app.log.say(Kind::Disk, &format!("the link goes on with its old certificate: {error:#}")),
            Err(error) => app.log.say(Kind::Disk, &format!("the link goes on with its old certificate: {error}")),
        }
    }
}

/// How much of the packs is looked at for damage with each run of the compactor: 1 TB in three days.
const SCRUB_BYTES: u64 = 128 << 20;
/// Longest wait between two tries to open the database again after a failed write.
const MAX_REVIVE_WAIT: Duration = Duration::from_secs(30);

/// Saves what is known of devices, runs the compactor, looks at stored data, and goes on after a failed write.
async fn keep_house(app: Arc<App>, compact_every: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut since_compaction = Duration::ZERO;
    let (mut wait, mut waited) = (TICK, Duration::ZERO);
    let mut said = HashSet::new();
    for damage in app.store.damages() {
        said.insert((damage.pack, damage.block));
    }
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if app.store.health().is_err() {
            waited += TICK;
            if waited >= wait {
                (waited, wait) = (Duration::ZERO, (wait * 2).min(MAX_REVIVE_WAIT));
                let shared = Arc::clone(&app);
                match tokio::task::spawn_blocking(move || shared.store.revive()).await {
                    Ok(Ok(())) => {
                        app.log.say(Kind::Disk, "the database is open again: intake goes on");
                        wait = TICK;
                    }
                    Ok(Err(error)) => app.log.say(Kind::Disk, &format!("intake still stopped: {error}")),
                    Err(error) => app.log.say(Kind::Disk, &format!("opening the database failed: {error}")),
                }
            }
            continue;
        }
        since_compaction += TICK;
        let is_time = since_compaction >= compact_every || app.store.wants_compaction();
        if is_time {
            since_compaction = Duration::ZERO;
        }
        let shared = Arc::clone(&app);
        let worked = tokio::task::spawn_blocking(move || {
            if let Some(said) = shared.doors.look_again() {
                shared.log.say_of(Kind::Identity, "access", &said);
            }
            shared.store.save_devices()?;
            if is_time {
                shared.store.compact(clock::now_ns())?;
                shared.store.scrub(SCRUB_BYTES);
            }
            Ok::<_, StoreError>(())
        });
        if let Ok(Err(error)) = worked.await {
            app.counters.compaction_errors.fetch_add(1, Ordering::Relaxed);
            app.log.say(Kind::Disk, &error.to_string());
        }
        for damage in app.store.damages() {
            if said.insert((damage.pack, damage.block)) {
                app.log.say(Kind::Damage, &damage_line(&damage));
            }
        }
    }
}
