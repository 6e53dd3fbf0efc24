//! The list of dependencies inside the program itself, where `cargo audit bin`, trivy, grype and others look for it:
//! JSON, compressed, in the section `.dep-v0`, as cargo-auditable writes it.

use crate::dist::packages::Linked;
use crate::dist::place::{Arch, Place};
use anyhow::{Context, Result};
use auditable_serde::{DependencyKind, Package, Source, VersionInfo};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, SectionFlags, SectionKind};
use std::fs;
use std::io::Write;
use std::path::PathBuf;

/// Kept by the linker although nothing refers to it (SHF_GNU_RETAIN), and not loaded into memory (no SHF_ALLOC).
const RETAIN: u64 = 1 << 21;

/// Writes an object file whose only section is the list.
pub(crate) fn object_file(place: &Place, arch: Arch, name: &str, linked: &[Linked]) -> Result<PathBuf> {
    let json = serde_json::to_vec(&list(linked)?).context("the list of dependencies is no JSON")?;
    let mut compressed = ZlibEncoder::new(Vec::new(), Compression::best());
    compressed.write_all(&json).context("cannot compress the list of dependencies")?;
    let compressed = compressed.finish().context("cannot compress the list of dependencies")?;
    let architecture = match arch {
        Arch::X86_64 => Architecture::X86_64,
        Arch::Aarch64 => Architecture::Aarch64,
    };
    let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    let section = object.add_section(Vec::new(), b".dep-v0".to_vec(), SectionKind::ReadOnlyData);
    object.section_mut(section).flags = SectionFlags::Elf { sh_flags: RETAIN };
    object.append_section_data(section, &compressed, 1);
    let path = place.work.join(format!("dependencies-{name}-{}.o", arch.name()));
    let bytes = object.write().context("cannot make the object file of the list of dependencies")?;
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn list(linked: &[Linked]) -> Result<VersionInfo> {
    let packages = linked.iter().map(|package| {
        let version = package.version.parse().with_context(|| format!("{} has no version", package.name))?;
        Ok(Package {
            name: package.name.clone(),
            version,
            source: if package.checksum.is_some() { Source::CratesIo } else { Source::Local },
            kind: DependencyKind::Runtime,
            dependencies: package.dependencies.clone(),
            root: package.root,
        })
    });
    Ok(VersionInfo { packages: packages.collect::<Result<_>>()?, format: 0 })
}
