//! The compilers of a build: a toolchain that can build the standard library, and wrappers around the C compiler.

use crate::dist::inputs::Inputs;
use crate::dist::place::{Arch, Place, Program};
use crate::tools::output;
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compilers, ready to be used.
pub(crate) struct Toolchain {
    /// Has `bin/cargo` and `bin/rustc`.
    pub(crate) root: PathBuf,
    /// The C library that is linked in.
    pub(crate) libc: Libc,
    /// The directory of the wrappers.
    wrappers: PathBuf,
}

/// Which C library is linked in.
pub(crate) enum Libc {
    /// musl, with a standard library built from source.
    Musl {
        /// The C compiler and linker.
        zig: PathBuf,
    },
    /// That of this machine, by `+crt-static`: where the source of the standard library cannot be had.
    Glibc,
}

impl Toolchain {
    pub(crate) fn target(&self, arch: Arch) -> String {
        match self.libc {
            Libc::Musl { .. } => format!("{}-unknown-linux-musl", arch.name()),
            Libc::Glibc => format!("{}-unknown-linux-gnu", arch.name()),
        }
    }

    /// What compiles and links C for an architecture.
    pub(crate) fn cc(&self, arch: Arch) -> PathBuf {
        self.wrappers.join(format!("cc-{}", arch.name()))
    }

    /// What makes archives of objects.
    pub(crate) fn ar(&self) -> PathBuf {
        self.wrappers.join("ar")
    }
}

/// The toolchain of this repository together with the source of its standard library, and Zig as C compiler.
pub(crate) fn musl(place: &Place, inputs: &Inputs) -> Result<Toolchain> {
    let root = place.work.join("toolchain");
    // The library comes last: where it is, the toolchain is whole.
    let library = root.join("lib/rustlib/src/rust/library");
    if !library.is_dir() {
        let sysroot = sysroot(place)?;
        for part in ["bin", "lib", "libexec"] {
            copy(&sysroot.join(part), &root.join(part))?;
        }
        let begun = library.with_file_name("library.begun");
        copy(&inputs.library, &begun)?;
        fs::rename(&begun, &library).with_context(|| format!("cannot make {}", library.display()))?;
    }
    let toolchain =
        Toolchain { root, libc: Libc::Musl { zig: inputs.zig.clone() }, wrappers: place.work.join("wrappers") };
    for arch in Arch::ALL {
        let compiler = format!("{} cc -target {}-linux-musl", inputs.zig.display(), arch.name());
        script(&toolchain.cc(arch), &compiler_script(&compiler))?;
    }
    script(&toolchain.ar(), &format!("#!/bin/sh\nexec {} ar \"$@\"\n", inputs.zig.display()))?;
    Ok(toolchain)
}

/// The toolchain of this repository as it is, and this machine's C compiler.
pub(crate) fn plain(place: &Place) -> Result<Toolchain> {
    let root = place.work.join("toolchain-plain");
    // The compiler comes last: where it is, the toolchain is whole.
    if !root.join("bin").is_dir() {
        let sysroot = sysroot(place)?;
        for part in ["lib", "libexec", "bin"] {
            copy(&sysroot.join(part), &root.join(part))?;
        }
    }
    let toolchain = Toolchain { root, libc: Libc::Glibc, wrappers: place.work.join("wrappers-plain") };
    script(&toolchain.cc(Arch::X86_64), &compiler_script("cc"))?;
    script(&toolchain.ar(), "#!/bin/sh\nexec ar \"$@\"\n")?;
    Ok(toolchain)
}

/// Leaves out what Zig does not know, says "static-pie" in its words (it takes the usual word and links at fixed
/// addresses), and puts the list of dependencies into the program, and into nothing else that is linked.
fn compiler_script(compiler: &str) -> String {
    let programs = Program::ALL.map(|program| {
        let file = program.name().replace('-', "_");
        format!("*/{}/deps/{file}-*", program.profile())
    });
    // For arm64 rustc compiles position-independent code, and then asks for fixed addresses.
    let pie = match compiler {
        "cc" => "",
        _ => "\n    -static-pie) argument=-pie ;;\n    -no-pie) [ \"$LIGHTSHIP_LINKAGE\" = fixed ] || argument=-pie ;;",
    };
    format!(
        "#!/bin/sh
output=
linked=
for argument do
  shift
  case $output in -o) linked=$argument ;; esac
  output=$argument
  case $argument in
    --target=*|-m64|-Wl,--no-undefined-version|-Wl,--fix-cortex-a53-843419) continue ;;{pie}
  esac
  set -- \"$@\" \"$argument\"
done
case $linked in
  *.o) ;;
  {programs}) set -- \"$@\" \"$LIGHTSHIP_DEPENDENCY_LIST\" ;;
esac
exec {compiler} \"$@\"
",
        programs = programs.join("|")
    )
}

fn script(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, executable).with_context(|| format!("cannot make {} executable", path.display()))
}

/// Where the toolchain that rust-toolchain.toml names is.
fn sysroot(place: &Place) -> Result<PathBuf> {
    let printed = output(Command::new("rustc").current_dir(&place.source).args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(printed.trim()))
}

/// Puts a copy of a directory in the place of what was there.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<()> {
    if to.is_dir() {
        fs::remove_dir_all(to).with_context(|| format!("cannot remove {}", to.display()))?;
    }
    copy(from, to)
}

/// Copies a directory; files by hard links where they can be had.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let entry = entry.with_context(|| format!("cannot read {}", from.display()))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else if !target.is_file() && fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).with_context(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}
