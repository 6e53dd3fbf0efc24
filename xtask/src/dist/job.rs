//! One thing to build, and a cargo that builds only that.

use crate::dist::place::{Arch, Place, Program};
use crate::dist::toolchain::Toolchain;
use std::process::Command;

/// What of the environment cargo may see of itself: where it gets packages from, and how. All else of it would change
/// the build.
const KEPT: [&str; 6] =
    ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];

/// How the program is linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// Position-independent (static-pie): the kernel puts it at another address at each start.
    Pie,
    /// At fixed addresses; only to be measured against the other.
    Fixed,
}

/// One thing to build.
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) arch: Arch,
    pub(crate) linkage: Linkage,
    /// The features instead of the usual ones.
    pub(crate) features: Option<&'static str>,
}

impl Job {
    pub(crate) fn feature_arguments(&self) -> Vec<String> {
        match self.features {
            None => Vec::new(),
            Some(features) => vec!["--no-default-features".to_owned(), format!("--features={features}")],
        }
    }
}

/// A cargo that takes nothing from its environment that could change what it builds.
pub(crate) fn cargo(place: &Place, toolchain: &Toolchain) -> Command {
    let bin = toolchain.root.join("bin");
    let mut command = Command::new(bin.join("cargo"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let cargo = text.starts_with("CARGO_") && !KEPT.iter().any(|kept| text.starts_with(kept));
        let flags = ["RUST", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "LDFLAGS", "CC_", "AR_"];
        if cargo || flags.iter().any(|start| text.starts_with(start)) || ["CC", "CXX", "AR"].contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command
        .current_dir(&place.source)
        // `cargo xtask` sets it, and a compiler that finds its libraries elsewhere takes that for its toolchain.
        .env_remove("LD_LIBRARY_PATH")
        .env("CARGO_HOME", &place.cargo_home)
        .env("CARGO_TARGET_DIR", place.work.join("target"))
        .env("RUSTC", bin.join("rustc"))
        // The standard library is built from source, which a stable toolchain has to be allowed to.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("SOURCE_DATE_EPOCH", place.epoch.to_string());
    command
}
