//! A whole hub: opened, bound, served, stopped.

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

use crate::app::App;
use crate::tls::{self, TlsFiles};
use crate::{api, clock, health, link_api, otlp_api, server, ui};

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
    /// How the store works.
    pub store: Options,
}

/// A running hub.
pub struct Hub {
    /// Bound address of queries, UI and OTLP.
    pub http: SocketAddr,
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

/// Checks everything that a start needs but the ports: data directory, token, certificate.
///
/// # Errors
/// The first thing that is wrong, with what to do.
pub fn check(config: &Config) -> anyhow::Result<()> {
    prepare(config).map(drop)
}

struct Prepared {
    store: Store,
    token: Option<String>,
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
            (tls::self_made(&made, &config.tls_names)?, Some(made.join("ca.pem")))
        }
    };
    let tls = tls::server_config(&files)?;
    let store = Store::open(dir, config.store.clone()).map_err(|error| match error {
        StoreError::Locked { .. } => anyhow::anyhow!("{error}"),
        error => anyhow::Error::new(error).context(format!("cannot open the store in {}", dir.display())),
    })?;
    for error in store.unreadable_packs() {
        eprintln!("lightship-hub: {error}");
    }
    Ok(Prepared { store, token, tls, ca })
}

/// Starts a hub and returns when it listens.
///
/// # Errors
/// What is wrong, with what to do about it.
pub async fn start(config: Config) -> anyhow::Result<Hub> {
    let http = bind(&config.http, "--http").await?;
    let link = bind(&config.link, "--link").await?;
    let data_dir = config.data_dir.clone();
    let compact_every = config.store.compact_after.clamp(TICK, MAX_COMPACT_EVERY);
    let prepared = tokio::task::spawn_blocking(move || prepare(&config)).await??;
    let app = App::new(prepared.store, prepared.token)?;
    let (http_at, link_at) = (http.local_addr()?, link.local_addr()?);
    let addresses = json!({"http": http_at.to_string(), "link": link_at.to_string()});
    write_whole(&data_dir.join("addresses.json"), &format!("{addresses}\n"))?;
    let (stop, stopped) = watch::channel(false);
    let pages: Router = Router::new()
        .merge(api::routes())
        .merge(otlp_api::routes())
        .merge(health::routes())
        .merge(ui::routes())
        .with_state(Arc::clone(&app));
    let tasks = vec![
        tokio::spawn(server::serve(http, pages, None, stopped.clone())),
        tokio::spawn(server::serve(link, link_api::routes(Arc::clone(&app)), Some(prepared.tls), stopped.clone())),
        tokio::spawn(keep_house(Arc::clone(&app), compact_every, stopped)),
    ];
    Ok(Hub { http: http_at, link: link_at, ca: prepared.ca, app, stop, tasks })
}

impl Hub {
    /// Answers what is in flight, then closes the store.
    pub async fn stop(self) {
        let Self { app, stop, tasks, .. } = self;
        // Nobody listens any more only if all tasks have ended.
        let _ = stop.send(true);
        for task in tasks {
            let _ = task.await;
        }
        // Closing joins the writer and syncs the database.
        let _ = tokio::task::spawn_blocking(move || drop(app)).await;
    }
}

/// Saves what is known of devices, and runs the compactor.
async fn keep_house(app: Arc<App>, compact_every: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut since_compaction = Duration::ZERO;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        since_compaction += TICK;
        let is_time = since_compaction >= compact_every || app.store.wants_compaction();
        if is_time {
            since_compaction = Duration::ZERO;
        }
        let shared = Arc::clone(&app);
        let worked = tokio::task::spawn_blocking(move || {
            shared.store.save_devices()?;
            if is_time { shared.store.compact(clock::now_ns()).map(drop) } else { Ok(()) }
        });
        if let Ok(Err(error)) = worked.await {
            app.counters.compaction_errors.fetch_add(1, Ordering::Relaxed);
            eprintln!("lightship-hub: {error}");
        }
    }
}
