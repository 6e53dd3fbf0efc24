//! An image: layers, how to run them, and for which machine.

use crate::{Error, Layer};
use oci_spec::image::{Arch, ConfigBuilder, HistoryBuilder, ImageConfigurationBuilder, Os, RootFsBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The machine that an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Platform {
    /// `linux/amd64`
    Amd64,
    /// `linux/arm64/v8`
    Arm64,
}

impl Platform {
    pub(crate) fn arch(self) -> Arch {
        match self {
            Self::Amd64 => Arch::Amd64,
            Self::Arm64 => Arch::ARM64,
        }
    }

    pub(crate) fn variant(self) -> Option<&'static str> {
        match self {
            Self::Amd64 => None,
            Self::Arm64 => Some("v8"),
        }
    }
}

/// An image for one machine.
#[derive(Debug, Clone)]
pub struct Image {
    /// The machine.
    pub platform: Platform,
    /// What it is made of, the lowest first.
    pub layers: Vec<Layer>,
    /// User and group, by number.
    pub user: u32,
    /// The program and the arguments that it always gets.
    pub entrypoint: Vec<String>,
    /// The arguments that it gets unless others are given.
    pub arguments: Vec<String>,
    /// `PORT/tcp`
    pub ports: Vec<String>,
    /// Directories whose content outlives the container.
    pub volumes: Vec<String>,
    /// The directory that it starts in.
    pub directory: String,
    /// A command that succeeds while the program is well. Docker and what follows it run it; the specification itself
    /// has no such field, and others ignore it.
    pub health: Vec<String>,
    /// Annotations of the manifest, and labels of the configuration.
    pub annotations: BTreeMap<String, String>,
    /// When it was made: the time of the source, in seconds since 1970.
    pub epoch: u64,
}

impl Image {
    /// The configuration document.
    pub(crate) fn configuration(&self) -> Result<Value, Error> {
        let config = ConfigBuilder::default()
            .user(format!("{0}:{0}", self.user))
            .entrypoint(self.entrypoint.clone())
            .cmd(self.arguments.clone())
            .exposed_ports(self.ports.clone())
            .volumes(self.volumes.clone())
            .working_dir(self.directory.clone())
            .labels(self.annotations.clone().into_iter().collect::<std::collections::HashMap<_, _>>())
            .build()?;
        let diff_ids = self.layers.iter().map(|layer| format!("sha256:{}", layer.diff_id)).collect::<Vec<_>>();
        let made = created(self.epoch)?;
        let history = HistoryBuilder::default().created(made.clone()).created_by("cargo xtask dist").build()?;
        let document = ImageConfigurationBuilder::default()
            .created(made)
            .architecture(self.platform.arch())
            .os(Os::Linux)
            .config(config)
            .rootfs(RootFsBuilder::default().typ("layers").diff_ids(diff_ids).build()?)
            .history(vec![history; self.layers.len()])
            .build()?;
        let mut document = serde_json::to_value(document)?;
        if let Some(variant) = self.platform.variant() {
            document["variant"] = variant.into();
        }
        if !self.health.is_empty() {
            let command: Vec<&str> = std::iter::once("CMD").chain(self.health.iter().map(String::as_str)).collect();
            document["config"]["Healthcheck"] = json!({ "Test": command });
        }
        Ok(document)
    }
}

/// Seconds since 1970 as RFC 3339 writes them.
pub(crate) fn created(epoch: u64) -> Result<String, Error> {
    let seconds = i64::try_from(epoch).map_err(|_| Error::Time(epoch))?;
    let time = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| Error::Time(epoch))?;
    time.format(&Rfc3339).map_err(|_| Error::Time(epoch))
}
