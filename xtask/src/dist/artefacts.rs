//! What ships, in one directory: programs, their bills of materials, licence texts, checksums and a summary.

use crate::dist::elf;
use crate::dist::images::{self, Built};
use crate::dist::inputs::{self, sha256};
use crate::dist::job::Job;
use crate::dist::licences::{self, Licences};
use crate::dist::packages::Linked;
use crate::dist::place::{Arch, Place, Program};
use crate::dist::sbom::{self, PagePackage};
use crate::dist::toolchain::{Libc, Toolchain};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The file of checksums, which names every other file.
pub(crate) const CHECKSUMS: &str = "SHA256SUMS";

/// The directory being filled.
pub(crate) struct Artefacts {
    directory: PathBuf,
    page: Vec<PagePackage>,
    licences: Licences,
    programs: Vec<Value>,
    images: Vec<Value>,
}

impl Artefacts {
    /// Begins an empty directory.
    pub(crate) fn new(directory: &Path, place: &Place) -> Result<Self> {
        if directory.is_dir() {
            fs::remove_dir_all(directory).with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let lock = place.source.join("ui/package-lock.json");
        let lock = fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
        Ok(Self {
            directory: directory.to_path_buf(),
            page: sbom::page_packages(&lock)?,
            licences: Licences::default(),
            programs: Vec::new(),
            images: Vec::new(),
        })
    }

    /// Takes a built program.
    pub(crate) fn add(&mut self, job: &Job, toolchain: &Toolchain, built: &Path, packages: &[Linked]) -> Result<()> {
        let libc = match toolchain.libc {
            Libc::Musl { .. } => "musl",
            Libc::Glibc => "glibc",
        };
        let name = format!("{}-{}-linux-{libc}", job.program.name(), job.arch.name());
        let path = self.directory.join(&name);
        fs::copy(built, &path).with_context(|| format!("cannot copy {}", built.display()))?;
        set_mode(&path, 0o755)?;
        elf::check_static_pie(&path)?;
        let digest = sha256(&path)?;
        let bill = sbom::bill(job.program, job.arch, &toolchain.libc, &digest, packages, &self.page)?;
        self.write(&format!("{name}.cdx.json"), &bill)?;
        packages.iter().for_each(|package| self.licences.add(package));
        let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        let version = packages.iter().find(|package| package.root).map(|package| package.version.as_str());
        self.programs.push(json!({
            "program": job.program.name(), "version": version, "architecture": job.arch.name(), "libc": libc, "file": name,
            "bytes": bytes, "sha256": digest, "packages": packages.len(),
        }));
        Ok(())
    }

    /// Writes what tells of the whole: licence texts, the summary, and last the checksums of everything.
    pub(crate) fn finish(mut self, place: &Place, toolchain: &Toolchain) -> Result<()> {
        let read = |path: PathBuf| fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()));
        self.gather_licences(place, toolchain);
        let licences = self.licences.text(&read(place.source.join("LICENSE"))?)?;
        self.write("LICENCES.txt", &licences)?;
        for program in Program::ALL {
            self.add_images(place, program, &licences)?;
        }
        let compiler = match toolchain.libc {
            Libc::Musl { .. } => json!({"rust": inputs::RUST, "zig": inputs::ZIG, "musl": inputs::MUSL}),
            Libc::Glibc => json!({"rust": inputs::RUST, "libc": "that of the building machine"}),
        };
        let summary = json!({
            "revision": place.revision, "source_date_epoch": place.epoch, "built_with": compiler,
            "programs": self.programs, "images": self.images,
        });
        let summary = serde_json::to_string_pretty(&summary).context("the summary is no JSON")?;
        self.write("dist.json", &(summary + "\n"))?;
        let checksums = checksums(&self.directory)?;
        self.write(CHECKSUMS, &checksums)?;
        eprint!("dist: {}\n{checksums}", self.directory.display());
        Ok(())
    }

    /// One archive with the images of a program for all architectures that were built of it.
    fn add_images(&mut self, place: &Place, program: Program, licences: &str) -> Result<()> {
        let of_program = self.programs.iter().filter(|built| built["program"] == program.name());
        let mut found = Vec::new();
        for built in of_program {
            let file = self.directory.join(built["file"].as_str().unwrap_or_default());
            let bill = sha256(&self.directory.join(format!("{}.cdx.json", file.display())))?;
            let arch = Arch::named(built["architecture"].as_str().unwrap_or_default())?;
            found.push((arch, file, bill, built["version"].as_str().unwrap_or_default().to_owned()));
        }
        let Some((_, _, _, version)) = found.first() else { return Ok(()) };
        let built: Vec<Built<'_>> =
            found.iter().map(|(arch, file, bill, _)| Built { arch: *arch, file, bill }).collect();
        let name = format!("{}.oci.tar", program.name());
        let path = self.directory.join(&name);
        let index = images::write(place, program, version, &built, licences, &path)?;
        set_mode(&path, 0o644)?;
        let bytes = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        let archs: Vec<&str> = built.iter().map(|built| built.arch.name()).collect();
        self.images.push(json!({
            "program": program.name(), "architectures": archs, "file": name, "bytes": bytes,
            "index": format!("sha256:{index}"), "sha256": sha256(&path)?,
        }));
        Ok(())
    }

    fn gather_licences(&mut self, place: &Place, toolchain: &Toolchain) {
        if self.programs.iter().any(|program| program["program"] == Program::Hub.name()) {
            for package in &self.page {
                let name = format!("{} {} (web page)", package.name, package.version);
                let directory = place.source.join("ui/node_modules").join(&package.name);
                self.licences.add_other(&name, package.licence.as_deref().unwrap_or("see the text"), directory);
            }
        }
        if let Libc::Musl { zig } = &toolchain.libc {
            let root = zig.parent().unwrap_or(zig);
            let musl = format!("musl {}", inputs::MUSL);
            self.licences.add_other(&musl, "MIT", root.join("lib/libc/musl"));
            self.licences.add_other(&format!("Zig {} (compiler-rt)", inputs::ZIG), "MIT", root.to_path_buf());
        }
        let std = toolchain.root.join("lib/rustlib/src/rust/library/std");
        if std.is_dir() {
            self.licences.add_other(&licences::standard_library(), "MIT OR Apache-2.0", std);
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.directory.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        set_mode(&path, 0o644)
    }
}

/// The same for everybody's umask.
fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("cannot set the mode of {}", path.display()))
}

/// What `sha256sum --check` reads, sorted by name.
fn checksums(directory: &Path) -> Result<String> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let line = |name: &String| Ok(format!("{}  {name}\n", sha256(&directory.join(name))?));
    names.iter().filter(|name| *name != CHECKSUMS).map(line).collect()
}
