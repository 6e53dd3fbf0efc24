//! One program for one architecture: cargo, with everything fixed that could find its way into the bits.

use crate::dist::audit;
use crate::dist::job::{Job, Linkage, cargo};
use crate::dist::packages::Linked;
use crate::dist::place::Place;
use crate::dist::toolchain::{Libc, Toolchain};
use crate::tools::run;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// Builds it; gives the program's path.
pub(crate) fn build(place: &Place, toolchain: &Toolchain, job: &Job, packages: &[Linked]) -> Result<PathBuf> {
    let (name, profile) = (job.program.name(), job.program.profile());
    let target = toolchain.target(job.arch);
    eprintln!("dist: {name} for {target}, of {}", place.revision);
    // The sources of dependencies are there before their directories are named to the compiler.
    run(cargo(place, toolchain).args(["fetch", "--locked", "--target", &target]))?;
    let list = audit::object_file(place, job.arch, name, packages)?;
    let paths = paths(place, toolchain)?;
    let under = target.replace('-', "_");
    let upper = under.to_uppercase();
    let mut command = cargo(place, toolchain);
    command
        .args(["build", "--locked", "--profile", profile, "--package", name, "--target", &target])
        .args(job.feature_arguments())
        .env("LIGHTSHIP_DEPENDENCY_LIST", &list)
        .env("LIGHTSHIP_LINKAGE", if job.linkage == Linkage::Fixed { "fixed" } else { "pie" })
        .env(format!("CC_{under}"), toolchain.cc(job.arch))
        .env(format!("AR_{under}"), toolchain.ar())
        .env(format!("CFLAGS_{under}"), c_flags(job, &paths))
        .env(format!("CARGO_TARGET_{upper}_LINKER"), toolchain.cc(job.arch))
        .env(format!("CARGO_TARGET_{upper}_RUSTFLAGS"), rust_flags(toolchain, job, &paths));
    if let Libc::Musl { .. } = toolchain.libc {
        command
            .arg(format!("-Zbuild-std=std,{}", job.program.panic_crate()))
            .args(std_features(job))
            .env("ZIG_GLOBAL_CACHE_DIR", place.work.join("zig-cache"))
            .env("ZIG_LOCAL_CACHE_DIR", place.work.join("zig-cache"));
    }
    if let Some(jobs) = place.jobs {
        command.args(["--jobs", &jobs.to_string()]);
    }
    run(&mut command)?;
    Ok(place.work.join("target").join(target).join(profile).join(name))
}

/// The directories that differ from build to build, each with the name that stands for it in what is built.
fn paths(place: &Place, toolchain: &Toolchain) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut paths = vec![(place.source.clone(), "/src"), (toolchain.root.clone(), "/toolchain")];
    // The name of a registry's directory depends on where the registry is reached.
    let registries = place.cargo_home.join("registry/src");
    if registries.is_dir() {
        let entries = fs::read_dir(&registries).with_context(|| format!("cannot read {}", registries.display()))?;
        paths.extend(entries.flatten().map(|entry| (entry.path(), "/crates")));
    }
    // Sources that lie on this machine take the registry's place.
    paths.extend(std::env::var_os("LIGHTSHIP_VENDORED").map(|directory| (PathBuf::from(directory), "/crates")));
    Ok(paths)
}

/// A program that nobody unwinds has no use for what prints backtraces: the standard library leaves it out, and is made small.
fn std_features(job: &Job) -> Option<&'static str> {
    (job.program.panic_crate() == "panic_abort").then_some("-Zbuild-std-features=optimize_for_size")
}

/// Ways of zstd to compress that the device does not use: it has one level, 3, whose way is `dfast`.
const NOT_OF_THE_DEVICE: [&str; 6] = ["GREEDY", "LAZY", "LAZY2", "BTLAZY2", "BTOPT", "BTULTRA"];

fn c_flags(job: &Job, paths: &[(PathBuf, &'static str)]) -> String {
    let maps = paths.iter().map(|(path, name)| format!(" -ffile-prefix-map={}={name}", path.display()));
    let mut flags = String::from("-g0");
    if job.program.panic_crate() == "panic_abort" {
        flags.push_str(" -fno-asynchronous-unwind-tables -fno-unwind-tables");
        flags.extend(NOT_OF_THE_DEVICE.map(|way| format!(" -DZSTD_EXCLUDE_{way}_BLOCK_COMPRESSOR")));
    }
    flags.extend(maps);
    flags
}

fn rust_flags(toolchain: &Toolchain, job: &Job, paths: &[(PathBuf, &'static str)]) -> String {
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    if let Libc::Musl { .. } = toolchain.libc {
        // The C compiler brings the C library and the start files.
        flags.push("-Clink-self-contained=no".to_owned());
    }
    if job.program.panic_crate() == "panic_abort" {
        // Nobody unwinds: the tables for it are a tenth of the program, and the program has no names to print anyway.
        flags.push("-Cforce-unwind-tables=no".to_owned());
    }
    if job.linkage == Linkage::Fixed {
        flags.push("-Crelocation-model=static".to_owned());
    }
    flags.extend(paths.iter().map(|(path, name)| format!("--remap-path-prefix={}={name}", path.display())));
    flags.join(" ")
}
