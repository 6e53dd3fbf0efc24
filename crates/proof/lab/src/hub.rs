//! A hub that the lab starts.

use crate::program::{Program, path_text};
use anyhow::{Context, Result};
use serde::Deserialize;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Deserialize)]
struct Addresses {
    http: SocketAddr,
    link: SocketAddr,
}

/// A running hub; it is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Hub {
    program: Program,
    /// Where its page and query API are.
    pub(crate) http: SocketAddr,
    /// Where devices dial.
    pub(crate) link: SocketAddr,
    /// The certificate authority of the link.
    pub(crate) ca: PathBuf,
}

impl Hub {
    /// Starts one on free loopback ports, with its data under `directory`.
    pub(crate) async fn start(directory: &Path, binary: &Path) -> Result<Self> {
        let data = directory.join("hub");
        fs::create_dir_all(&data).with_context(|| format!("cannot create {}", data.display()))?;
        let arguments = ["run", "--data-dir", path_text(&data)?, "--http", "127.0.0.1:0", "--link", "127.0.0.1:0"];
        let mut program = Program::start("lightship-hub", binary, &arguments, &directory.join("hub.log"))?;
        let addresses: Addresses = program.wrote(&data.join("addresses.json")).await?;
        Ok(Self { program, http: addresses.http, link: addresses.link, ca: data.join("tls/ca.pem") })
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(self) -> Result<()> {
        self.program.stop().await
    }
}
