//! What a musl build needs beyond the Rust toolchain: the source of the standard library, and a C compiler and linker
//! for both architectures. Both come from where they are published, through the ordinary clients, pinned by digest.

use crate::tools::{output, run};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version of Rust that rust-toolchain.toml names; a test holds the two together.
pub(crate) const RUST: &str = "1.95.0";
const RUST_SRC: &str = "1.95.0+dfsg1-2~bpo13+1";
const RUST_SRC_SHA256: &str = "7b76db5b880a77f9e52975d2baa6209d2f76d2c9c2789515c3088cb960e2c83b";
/// The version of the compiler.
pub(crate) const ZIG: &str = "0.15.2";
/// The version of musl inside it.
pub(crate) const MUSL: &str = "1.2.5";
const ZIG_SHA256: &str = "806316453d1ede7174ed3fefb8e5348154629089c3bb5fe812dfd0e172fac130";

/// The unpacked inputs.
pub(crate) struct Inputs {
    /// `library/` of the Rust source.
    pub(crate) library: PathBuf,
    /// The compiler's program; its libraries lie beside it.
    pub(crate) zig: PathBuf,
}

/// Where inputs are kept between builds, outside the checkout.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let base = set("LIGHTSHIP_CI_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("lightship")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/lightship")));
    Ok(base.context("neither HOME nor XDG_CACHE_HOME is set")?.join("dist-inputs"))
}

/// Gives the inputs, fetched and unpacked when they are not there yet.
pub(crate) fn collect(cache: &Path) -> Result<Inputs> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let library = directory(cache, &format!("rust-src-{RUST_SRC}"), rust_src)?.join("library");
    let zig = directory(cache, &format!("ziglang-{ZIG}"), zig)?.join("ziglang/zig");
    Ok(Inputs { library, zig })
}

/// A directory that is there as a whole or not at all.
fn directory(cache: &Path, name: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let directory = cache.join(name);
    if directory.is_dir() {
        return Ok(directory);
    }
    let begun = cache.join(format!("{name}.begun"));
    if begun.is_dir() {
        fs::remove_dir_all(&begun).with_context(|| format!("cannot remove {}", begun.display()))?;
    }
    fs::create_dir(&begun).with_context(|| format!("cannot make {}", begun.display()))?;
    fill(&begun)?;
    fs::rename(&begun, &directory).with_context(|| format!("cannot rename {}", begun.display()))?;
    Ok(directory)
}

/// `rust-src` of trixie-backports, which is the same on every architecture.
fn rust_src(into: &Path) -> Result<()> {
    eprintln!("fetching rust-src {RUST_SRC} of Debian's trixie-backports");
    debian_package("trixie-backports", &format!("rust-src={RUST_SRC}"), into)?;
    let package = only_file(into, ".deb")?;
    verify(&package, RUST_SRC_SHA256)?;
    let unpacked = into.join("unpacked");
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&unpacked))?;
    let library = unpacked.join(format!("usr/src/rustc-{RUST}/library"));
    fs::rename(&library, into.join("library")).with_context(|| format!("the package has no {}", library.display()))?;
    fs::remove_dir_all(&unpacked).with_context(|| format!("cannot remove {}", unpacked.display()))
}

/// Where this machine's apt gets Debian from.
fn debian_archive() -> Result<String> {
    let known = || {
        let mut apt = Command::new("apt-get");
        output(apt.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian"]))
    };
    let mut archives = known()?;
    if archives.trim().is_empty() {
        // A machine whose apt was never asked has no lists yet.
        run(Command::new("apt-get").args(["--quiet=2", "update"]))?;
        archives = known()?;
    }
    archives.lines().next().map(str::to_owned).context("apt knows no archive of Debian")
}

/// Lets apt fetch one package of a release that this machine does not use, with lists of its own and its own trust.
fn debian_package(release: &str, package: &str, into: &Path) -> Result<()> {
    let apt = into.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part)).with_context(|| format!("cannot make {}", apt.display()))?;
    }
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let sources = format!("deb [signed-by={keyring}] {} {release} main\n", debian_archive()?);
    fs::write(apt.join("sources.list"), sources).with_context(|| format!("cannot write into {}", apt.display()))?;
    let settings = [
        ("Dir::State::lists", apt.join("lists")),
        ("Dir::Cache", apt.join("cache")),
        ("Dir::Etc::sourcelist", apt.join("sources.list")),
        ("Dir::Etc::sourceparts", PathBuf::from("-")),
        ("Dir::State::status", PathBuf::from("/dev/null")),
        // The package goes into a directory that apt's own user may not enter; the digest is checked afterwards.
        ("APT::Sandbox::User", PathBuf::from("root")),
    ];
    let apt_get = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.current_dir(into).arg("--quiet=2");
        for (name, value) in &settings {
            command.arg("--option").arg(format!("{name}={}", value.display()));
        }
        command.args(arguments);
        run(&mut command)
    };
    apt_get(&["update"])?;
    apt_get(&["download", package]).with_context(|| format!("{package} is not in {release} any more"))?;
    fs::remove_dir_all(&apt).with_context(|| format!("cannot remove {}", apt.display()))
}

/// The Zig compiler as Python's package index has it: a C compiler and linker for every target in one archive.
fn zig(into: &Path) -> Result<()> {
    eprintln!("fetching ziglang {ZIG} of the Python package index");
    let platform = "manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64";
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .args(["--only-binary", ":all:", "--dest"])
        .arg(into)
        .arg(format!("ziglang=={ZIG}")))?;
    let wheel = into.join(format!("ziglang-{ZIG}-py3-none-{platform}.whl"));
    verify(&wheel, ZIG_SHA256)?;
    run(Command::new("python3").args(["-m", "zipfile", "--extract"]).arg(&wheel).arg(into))?;
    run(Command::new("chmod").arg("+x").arg(into.join("ziglang/zig")))
}

/// A package that is only run, not built into anything: fetched once, whatever version the release has. Gives the
/// directory that it lies in.
pub(crate) fn fetch_package(release: &str, name: &str, cache: &Path) -> Result<PathBuf> {
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    directory(cache, name, |into| debian_package(release, name, into))
}

pub(crate) fn only_file(directory: &Path, ending: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut found = entries.flatten().map(|entry| entry.path());
    found
        .find(|path| path.to_string_lossy().ends_with(ending))
        .with_context(|| format!("no {ending} file in {}", directory.display()))
}

fn verify(path: &Path, wanted: &str) -> Result<()> {
    let found = sha256(path)?;
    if found != wanted {
        bail!("{} has the SHA-256 {found}, but {wanted} is pinned", path.display());
    }
    Ok(())
}

/// The digest of a file, in hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer).with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(&buffer[..read]);
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::root;

    /// Scenario: the repository as it is. Guarantees: the source of the standard library is of the very version of the
    /// toolchain (P12).
    #[test]
    fn the_standard_library_is_of_the_toolchain() {
        let toolchain = fs::read_to_string(root().unwrap().join("rust-toolchain.toml")).unwrap();
        assert!(toolchain.contains(&format!("channel = \"{RUST}\"")), "{toolchain}");
        assert!(RUST_SRC.starts_with(RUST));
    }

    /// Scenario: an input with one byte more. Guarantees: it is refused, with both digests (P12).
    #[test]
    fn another_input_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        fs::write(&path, "abc").unwrap();
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        verify(&path, digest).unwrap();
        fs::write(&path, "abcd").unwrap();
        let refusal = verify(&path, digest).unwrap_err().to_string();
        assert!(
            refusal.contains(digest)
                && refusal.contains("88d4266fd4e6338d13b845fcf289579d209c897823b9217da3e161936f031589")
        );
    }
}
