//! `cargo xtask sign`: an Ed25519 signature of the checksum file, as cosign verifies it without a network: Sigstore's
//! bundle 0.3, and beside it the bare signature for older cosigns. One key, one file: signing twice gives the same bytes.

use crate::dist::artefacts::CHECKSUMS;
use crate::dist::inputs;
use crate::tools::{output, run, target_dir};
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signer, SigningKey};
use lexopt::prelude::{Long, Value, ValueExt};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `--key FILE` is a private key as `openssl genpkey -algorithm ed25519` makes it; the file to sign is the checksum file
/// of the last `cargo xtask dist` unless another is named.
pub(crate) fn task(options: &[String]) -> Result<()> {
    let (mut key, mut file) = (None, target_dir()?.join("dist").join(CHECKSUMS));
    let mut parser = lexopt::Parser::from_args(options);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("key") => key = Some(PathBuf::from(parser.value()?)),
            Value(path) => file = PathBuf::from(path.string()?),
            other => bail!("{}; see cargo xtask help", other.unexpected()),
        }
    }
    let key = key.context("name the private key with --key FILE (openssl genpkey -algorithm ed25519)")?;
    let pem = fs::read_to_string(&key).with_context(|| format!("cannot read {}", key.display()))?;
    let key = SigningKey::from_pkcs8_pem(&pem)
        .map_err(|error| anyhow::anyhow!("{} is no Ed25519 key in PKCS #8: {error}", key.display()))?;
    let written = sign(&key, &file)?;
    eprintln!("sign: wrote {} and {}", written.bundle.display(), written.signature.display());
    Ok(())
}

/// What is written beside a signed file.
struct Written {
    bundle: PathBuf,
    signature: PathBuf,
}

fn sign(key: &SigningKey, file: &Path) -> Result<Written> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let public = key.verifying_key().to_public_key_der().context("cannot write the public key")?;
    let signature = STANDARD.encode(key.sign(&content).to_bytes());
    let bundle = json!({
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": { "publicKey": { "hint": STANDARD.encode(Sha256::digest(public.as_bytes())) } },
        "messageSignature": {
            "messageDigest": { "algorithm": "SHA2_256", "digest": STANDARD.encode(Sha256::digest(&content)) },
            "signature": signature,
        },
    });
    let beside = |ending: &str| PathBuf::from(format!("{}.{ending}", file.display()));
    let written = Written { bundle: beside("sigstore.json"), signature: beside("sig") };
    for (path, text) in [(&written.bundle, bundle.to_string()), (&written.signature, signature)] {
        fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(written)
}

/// `cargo xtask test-signature`: Debian's cosign accepts what was signed here with a new key, and refuses what was
/// changed afterwards.
pub(crate) fn test() -> Result<()> {
    let directory = target_dir()?.join("test-signature");
    if directory.is_dir() {
        fs::remove_dir_all(&directory).with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let cosign = match cosign() {
        Ok(cosign) => cosign,
        Err(error) => {
            eprintln!("test-signature: SKIPPED, nothing was verified: Debian's cosign cannot be had: {error:#}");
            return Ok(());
        }
    };
    let version = output(Command::new("dpkg-deb").args(["--field"]).arg(&cosign.package).arg("Version"))?;
    let file = directory.join(CHECKSUMS);
    let made = target_dir()?.join("dist").join(CHECKSUMS);
    let content = fs::read(&made).with_context(|| format!("no {}; run cargo xtask dist first", made.display()))?;
    fs::write(&file, &content).with_context(|| format!("cannot write {}", file.display()))?;
    let key = new_key()?;
    let private = key.to_pkcs8_pem(LineEnding::LF).context("cannot write the private key")?;
    fs::write(directory.join("key.pem"), private.as_bytes()).context("cannot write the private key")?;
    let public = key.verifying_key().to_public_key_pem(LineEnding::LF).context("cannot write the public key")?;
    fs::write(directory.join("key.pub"), public).context("cannot write the public key")?;
    let signed = directory.join("key.pem").display().to_string();
    task(&["--key".to_owned(), signed, file.display().to_string()])?;

    let verify = || verifies(&cosign.program, &directory, &file);
    if !verify()? {
        bail!("cosign refuses what was signed; see above");
    }
    let mut tampered = content.clone();
    tampered[0] ^= 1;
    let other = new_key()?.verifying_key().to_public_key_pem(LineEnding::LF).context("cannot write a public key")?;
    for (what, path, bytes) in
        [("one bit of the file", &file, tampered), ("the key", &directory.join("key.pub"), other.into_bytes())]
    {
        let right = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        if verify()? {
            bail!("cosign accepts a signature although {what} was changed");
        }
        fs::write(path, right).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !verify()? {
        bail!("cosign refuses what it accepted before");
    }
    eprintln!("test-signature: passed: cosign {} accepts offline, and refuses another bit or key", version.trim());
    Ok(())
}

fn new_key() -> Result<SigningKey> {
    let mut seed = [0; 32];
    let random = fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut seed));
    random.context("cannot read /dev/urandom")?;
    Ok(SigningKey::from_bytes(&seed))
}

/// Whether cosign accepts the file; in a network of its own where that can be had, so that it cannot ask anyone.
fn verifies(cosign: &Path, directory: &Path, file: &Path) -> Result<bool> {
    let alone = Command::new("unshare").args(["--net", "true"]).output().is_ok_and(|done| done.status.success());
    let mut command = Command::new(if alone { "unshare".as_ref() } else { cosign.as_os_str() });
    if alone {
        command.arg("--net").arg(cosign);
    }
    command.env("HOME", directory).arg("verify-blob").arg("--key").arg(directory.join("key.pub"));
    command.arg("--bundle").arg(format!("{}.sigstore.json", file.display()));
    command.arg("--insecure-ignore-tlog=true").arg(file);
    Ok(command.status().context("cannot start cosign")?.success())
}

/// Debian's cosign, unpacked and not installed.
struct Cosign {
    program: PathBuf,
    package: PathBuf,
}

fn cosign() -> Result<Cosign> {
    // The one that reads bundles is in sid only, where versions come and go: apt's own trust has to do.
    let directory = inputs::fetch_package("sid", "cosign", &inputs::cache()?)?;
    let package = inputs::only_file(&directory, ".deb")?;
    let program = directory.join("unpacked/usr/bin/cosign");
    if !program.is_file() {
        run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(directory.join("unpacked")))?;
    }
    Ok(Cosign { program, package })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signature, Verifier};

    /// Scenario: one file signed twice with one key. Guarantees: the same bytes (P12), and a signature of the file's own
    /// bytes, in the bundle and beside it.
    #[test]
    fn signing_twice_gives_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("SHA256SUMS");
        fs::write(&file, "checksums").unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        let read =
            |written: Written| (fs::read(written.bundle).unwrap(), fs::read_to_string(written.signature).unwrap());
        let (bundle, signature) = read(sign(&key, &file).unwrap());
        assert_eq!(read(sign(&key, &file).unwrap()), (bundle.clone(), signature.clone()));
        let bytes = STANDARD.decode(signature.trim()).unwrap();
        key.verifying_key().verify(b"checksums", &Signature::from_slice(&bytes).unwrap()).unwrap();
        let bundle: serde_json::Value = serde_json::from_slice(&bundle).unwrap();
        assert_eq!(bundle["messageSignature"]["signature"], signature.trim());
    }
}
