//! Container images of the programs: from nothing but the program, its licences and its data directory; one archive per
//! program for all architectures.

use crate::dist::place::{Arch, Place, Program};
use anyhow::{Context, Result};
use oci::{Entry, Image, Layer, Layout, Platform};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The user that programs run as in containers, and its group.
const USER: u32 = 10001;

/// One built program of an image.
pub(crate) struct Built<'a> {
    pub(crate) arch: Arch,
    pub(crate) file: &'a Path,
    /// SHA-256 of its bill of materials, in hexadecimal.
    pub(crate) bill: &'a str,
}

/// Writes the archive of one program; gives the digest of its index.
pub(crate) fn write(
    place: &Place,
    program: Program,
    version: &str,
    built: &[Built<'_>],
    licences: &str,
    to: &Path,
) -> Result<String> {
    let images = built.iter().map(|built| image(place, program, version, built, licences));
    let images = images.collect::<Result<Vec<_>>>()?;
    let layout = Layout::new(images, version, &annotations(place, program, version))
        .with_context(|| format!("cannot make the images of {}", program.name()))?;
    let file = fs::File::create(to).with_context(|| format!("cannot create {}", to.display()))?;
    let file = layout.write(file).with_context(|| format!("cannot write {}", to.display()))?;
    file.sync_all().with_context(|| format!("cannot write {}", to.display()))?;
    Ok(layout.digest().to_owned())
}

fn annotations(place: &Place, program: Program, version: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("org.opencontainers.image.title", program.name()),
        ("org.opencontainers.image.version", version),
        ("org.opencontainers.image.revision", place.revision.as_str()),
        ("org.opencontainers.image.licenses", "Apache-2.0"),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn image(place: &Place, program: Program, version: &str, built: &Built<'_>, licences: &str) -> Result<Image> {
    let name = program.name();
    let path = format!("usr/bin/{name}");
    let data = format!("var/lib/{name}");
    let bits = fs::read(built.file).with_context(|| format!("cannot read {}", built.file.display()))?;
    let user = format!("{name}:x:{USER}:{USER}::/{data}:/nonexistent\n");
    let layer = Layer::new(
        vec![
            Entry::file(&path, 0o755, bits),
            Entry::file(&format!("usr/share/doc/{name}/LICENCES.txt"), 0o644, licences.as_bytes().to_vec()),
            Entry::file("etc/passwd", 0o644, user.into_bytes()),
            Entry::directory(&format!("etc/{name}"), 0o755, 0),
            Entry::directory(&data, 0o700, u64::from(USER)),
        ],
        place.epoch,
    )?;
    let mut annotations = annotations(place, program, version);
    annotations.insert("io.lightship.sbom.digest".to_owned(), format!("sha256:{}", built.bill));
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let (arguments, ports, health) = match program {
        Program::Agent => (
            words("run --config /etc/lightship/lightship.yaml"),
            words("4317/tcp 4318/tcp"),
            words("/usr/bin/lightship status --config /etc/lightship/lightship.yaml"),
        ),
        Program::Hub => (
            // The container's network is the boundary; who publishes these ports gives --token-file instead.
            words(
                "run --data-dir /var/lib/lightship-hub --http 0.0.0.0:8080 --insecure-plain-http --link 0.0.0.0:7443 \
                 --insecure-no-token",
            ),
            words("8080/tcp 7443/tcp"),
            words("/usr/bin/lightship-hub health"),
        ),
    };
    Ok(Image {
        platform: match built.arch {
            Arch::X86_64 => Platform::Amd64,
            Arch::Aarch64 => Platform::Arm64,
        },
        layers: vec![layer],
        user: USER,
        entrypoint: vec![format!("/{path}")],
        arguments,
        ports,
        volumes: vec![format!("/{data}")],
        directory: "/".to_owned(),
        health,
        annotations,
        epoch: place.epoch,
    })
}
