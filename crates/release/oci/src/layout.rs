//! An image layout: blobs by their digest, and the index that names the images of all machines; in one archive, as
//! podman, skopeo and containerd load it.

use crate::layer::{append, digest};
use crate::{Error, Image};
use oci_spec::image::{
    Descriptor, DescriptorBuilder, ImageIndexBuilder, ImageManifestBuilder, MediaType, OciLayoutBuilder, Os,
    PlatformBuilder, Sha256Digest,
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::str::FromStr;
use tar::Builder;

/// The images of one program for all machines.
#[derive(Debug)]
pub struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    /// SHA-256 of the index of all machines, in hexadecimal.
    digest: String,
    /// `index.json`, which names that index and its tag.
    top: Vec<u8>,
    epoch: u64,
}

impl Layout {
    /// Puts images together under one tag, sorted by machine, whatever their order here.
    ///
    /// # Errors
    /// For what the image format cannot hold.
    pub fn new(mut images: Vec<Image>, tag: &str, annotations: &BTreeMap<String, String>) -> Result<Self, Error> {
        images.sort_by_key(|image| image.platform);
        let epoch = images.iter().map(|image| image.epoch).max().unwrap_or_default();
        let mut blobs = BTreeMap::new();
        let mut manifests = Vec::new();
        for image in &images {
            manifests.push(manifest(image, &mut blobs)?);
        }
        let index = ImageIndexBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageIndex)
            .manifests(manifests)
            .annotations(unsorted(annotations))
            .build()?;
        let index = keep(&mut blobs, json(&index)?);
        let named = HashMap::from([("org.opencontainers.image.ref.name".to_owned(), tag.to_owned())]);
        let descriptor = described(MediaType::ImageIndex, &index, &blobs)?.annotations(named).build()?;
        let top = ImageIndexBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageIndex)
            .manifests(vec![descriptor])
            .build()?;
        Ok(Self { top: json(&top)?, blobs, digest: index, epoch })
    }

    /// SHA-256 of the index of all machines, in hexadecimal: what a registry calls the image by.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write<W: Write>(&self, to: W) -> Result<W, Error> {
        let mut archive = Builder::new(to);
        let layout = json(&OciLayoutBuilder::default().image_layout_version("1.0.0").build()?)?;
        append(&mut archive, "oci-layout", 0o644, 0, self.epoch, &layout)?;
        append(&mut archive, "index.json", 0o644, 0, self.epoch, &self.top)?;
        for directory in ["blobs/", "blobs/sha256/"] {
            append(&mut archive, directory, 0o755, 0, self.epoch, &[])?;
        }
        for (digest, bytes) in &self.blobs {
            append(&mut archive, &format!("blobs/sha256/{digest}"), 0o644, 0, self.epoch, bytes)?;
        }
        Ok(archive.into_inner()?)
    }
}

/// Keeps what an image is made of; gives the descriptor of its manifest.
fn manifest(image: &Image, blobs: &mut BTreeMap<String, Vec<u8>>) -> Result<Descriptor, Error> {
    let config = keep(blobs, json(&image.configuration()?)?);
    let mut layers = Vec::new();
    for layer in &image.layers {
        let digest = keep(blobs, layer.bytes.clone());
        layers.push(described(MediaType::ImageLayerGzip, &digest, blobs)?.build()?);
    }
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(described(MediaType::ImageConfig, &config, blobs)?.build()?)
        .layers(layers)
        .annotations(unsorted(&image.annotations))
        .build()?;
    let manifest = keep(blobs, json(&manifest)?);
    let mut platform = PlatformBuilder::default().os(Os::Linux).architecture(image.platform.arch());
    if let Some(variant) = image.platform.variant() {
        platform = platform.variant(variant);
    }
    Ok(described(MediaType::ImageManifest, &manifest, blobs)?.platform(platform.build()?).build()?)
}

fn keep(blobs: &mut BTreeMap<String, Vec<u8>>, bytes: Vec<u8>) -> String {
    let digest = digest(&bytes);
    blobs.insert(digest.clone(), bytes);
    digest
}

fn described(kind: MediaType, digest: &str, blobs: &BTreeMap<String, Vec<u8>>) -> Result<DescriptorBuilder, Error> {
    let size = blobs.get(digest).map_or(0, Vec::len) as u64;
    Ok(DescriptorBuilder::default().media_type(kind).digest(Sha256Digest::from_str(digest)?).size(size))
}

/// The specification's types have no order; [`json`] gives it back.
fn unsorted(annotations: &BTreeMap<String, String>) -> HashMap<String, String> {
    annotations.clone().into_iter().collect()
}

/// A document with its keys sorted, which `serde_json::Value` does.
fn json(document: &impl Serialize) -> Result<Vec<u8>, Error> {
    Ok(serde_json::to_vec(&serde_json::to_value(document)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Layer, Platform};
    use serde_json::Value;
    use std::io::Read;

    fn image(platform: Platform, program: &[u8]) -> Image {
        let layer = Layer::new(vec![Entry::file("usr/bin/program", 0o755, program.to_vec())], 1_700_000_000).unwrap();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Image {
            platform,
            layers: vec![layer],
            user: 10001,
            entrypoint: words(&["/usr/bin/program"]),
            arguments: words(&["run"]),
            ports: words(&["4317/tcp", "4318/tcp"]),
            volumes: words(&["/var/lib/program"]),
            directory: "/".to_owned(),
            health: words(&["/usr/bin/program", "status"]),
            annotations: ["c", "a", "b", "e", "d"].map(|key| (key.to_owned(), "value".to_owned())).into(),
            epoch: 1_700_000_000,
        }
    }

    fn layout(images: Vec<Image>) -> Vec<u8> {
        let annotations = [("z".to_owned(), "1".to_owned()), ("y".to_owned(), "2".to_owned())].into();
        Layout::new(images, "0.1.0", &annotations).unwrap().write(Vec::new()).unwrap()
    }

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let read = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().display().to_string(), bytes)
        });
        read.collect()
    }

    /// Scenario: images for two machines, given in both orders, each made twice (hash tables are seeded anew each time).
    /// Guarantees: the archive is the same (P12).
    #[test]
    fn the_same_images_make_the_same_archive() {
        let first = layout(vec![image(Platform::Amd64, b"one"), image(Platform::Arm64, b"two")]);
        for _ in 0..8 {
            assert!(first == layout(vec![image(Platform::Arm64, b"two"), image(Platform::Amd64, b"one")]));
        }
        assert!(first != layout(vec![image(Platform::Amd64, b"one"), image(Platform::Arm64, b"tWo")]));
    }

    /// Scenario: the archive of two machines. Guarantees: every descriptor leads to a blob of its digest and size, from
    /// index.json down to the layers; machines are named as runtimes ask for them; user, health and labels are there.
    #[test]
    fn every_descriptor_leads_to_its_blob() {
        let files = files(&layout(vec![image(Platform::Arm64, b"two"), image(Platform::Amd64, b"one")]));
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let blob = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
            let bytes = &files[&format!("blobs/sha256/{name}")];
            assert_eq!(digest(bytes), name);
            assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
            bytes.clone()
        };
        let top = parse(&files["index.json"]);
        assert_eq!(top["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "0.1.0");
        let index = parse(&blob(&top["manifests"][0]));
        let machines: Vec<_> =
            index["manifests"].as_array().unwrap().iter().map(|one| one["platform"].clone()).collect();
        assert_eq!(machines[0], serde_json::json!({"os": "linux", "architecture": "amd64"}));
        assert_eq!(machines[1], serde_json::json!({"os": "linux", "architecture": "arm64", "variant": "v8"}));
        for descriptor in index["manifests"].as_array().unwrap() {
            let manifest = parse(&blob(descriptor));
            let config = parse(&blob(&manifest["config"]));
            assert_eq!(config["architecture"], descriptor["platform"]["architecture"]);
            assert_eq!(config["config"]["User"], "10001:10001");
            assert_eq!(config["config"]["Healthcheck"]["Test"][0], "CMD");
            assert_eq!(config["config"]["Labels"]["a"], "value");
            assert_eq!(config["created"], "2023-11-14T22:13:20Z");
            let layers = manifest["layers"].as_array().unwrap();
            assert_eq!(layers.len(), config["rootfs"]["diff_ids"].as_array().unwrap().len());
            layers.iter().for_each(|layer| assert!(!blob(layer).is_empty()));
        }
        assert_eq!(files["oci-layout"], br#"{"imageLayoutVersion":"1.0.0"}"#);
    }
}
