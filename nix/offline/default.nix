# `cargo xtask dist` in Nix's sandbox, from inputs that are pinned by hash and nothing else: no nixpkgs, no network, and
# nothing of this machine but its kernel. `bash nix/offline/check.sh` collects the inputs and builds.
{
  # The directory that collect.sh filled.
  inputs,
  # A copy of the repository's files.
  source,
  # The commit and its time.
  revision,
  epoch,
  # "lightship" or "lightship-hub", and "x86_64" or "aarch64".
  program ? "lightship",
  arch ? "x86_64",
  # "yes": with the time of the build inside, which `--check` has to notice.
  plant ? "no",
}:
let
  pins = builtins.fromJSON (builtins.readFile ./inputs.json);
  file =
    name:
    builtins.path {
      inherit name;
      path = inputs + "/${name}";
      recursive = false;
      sha256 = pins.${name};
    };
  directory =
    name:
    builtins.path {
      inherit name;
      path = inputs + "/${name}";
      sha256 = pins.${name};
    };
  # Crates are pinned by the lock files that cargo itself goes by.
  crates =
    lock:
    builtins.filter (package: package ? checksum)
      (builtins.fromTOML (builtins.readFile lock)).package;
  crate =
    package:
    let
      name = "${package.name}-${package.version}";
      archive = builtins.path {
        name = "${name}.crate";
        path = inputs + "/crates/${name}.crate";
        recursive = false;
        sha256 = package.checksum;
      };
    in
    "${name} ${package.checksum} ${archive}\n";
  list = builtins.toFile "crates" (
    builtins.concatStringsSep "" (map crate (crates (source + "/Cargo.lock") ++ crates ./std.lock))
  );
  busybox = directory "busybox";
  common = {
    system = "x86_64-linux";
    builder = "${busybox}/busybox";
    inherit busybox;
    toolchain = directory "toolchain";
    setup = ./setup.sh;
  };
  # The inputs, unpacked.
  base = derivation (
    common
    // {
      name = "lightship-inputs";
      args = [ "ash" ./unpack.sh ];
      libraries = map file [ "libc6.deb" "libgcc.deb" "zlib.deb" ];
      rustSource = file "rust-src.deb";
      standardLock = ./std.lock;
      zig = file "ziglang.whl";
      inherit list repository;
    }
  );
  repository = builtins.path {
    name = "lightship-source";
    path = source;
  };
  # The repository's task runner, which knows how everything is built.
  xtask = derivation (
    common
    // {
      name = "lightship-xtask";
      args = [ "ash" ./xtask.sh ];
      inherit base repository;
    }
  );
in
derivation (
  common
  // {
    name = "${program}-${arch}";
    args = [ "ash" ./dist.sh ];
    inherit base repository xtask program arch revision epoch plant;
  }
)
