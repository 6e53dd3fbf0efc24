#!/usr/bin/env bash
# Collects what the derivations in this directory build from, through the ordinary clients (apt, pip, cargo, rustup), into
# one directory: bash nix/offline/collect.sh [DIRECTORY]. Their digests are pinned in inputs.json, in Cargo.lock and in
# std.lock; `--pin` writes inputs.json anew after a version here was changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

pin=no
if [ "${1-}" = --pin ]; then
  pin=yes
  shift
fi
cache=${LIGHTSHIP_CI_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lightship}
inputs=${1:-$cache/nix-inputs}
mkdir -p "$inputs"

rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$root/rust-toolchain.toml")

# What was collected for other pins is collected anew.
stale() {
  local name=$1 wanted
  wanted=$(sed -n "s/.*\"$name\": \"\(.*\)\".*/\1/p" "$here/inputs.json")
  [ "$pin" = no ] && [ -f "$inputs/$name" ] && [ "$(sha256sum <"$inputs/$name" | cut -d' ' -f1)" != "$wanted" ]
}
for name in libc6.deb libgcc.deb zlib.deb rust-src.deb ziglang.whl; do
  ! stale "$name" || rm "$inputs/$name"
done
if [ -d "$inputs/toolchain" ] && ! "$inputs/toolchain/bin/rustc" --version | grep -q "^rustc $rust "; then
  rm -rf "$inputs/toolchain"
fi

# Where this machine's apt gets Debian from.
debian_archive() {
  local known=(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian')
  [ -n "$("${known[@]}")" ] || apt-get -qq update >&2
  "${known[@]}" | head -n 1
}

# debian RELEASE PACKAGE VERSION FILE: one package of a release that this machine need not use.
debian() {
  local release=$1 package=$2 version=$3 file=$inputs/$4 apt
  [ -f "$file" ] && return
  apt=$(mktemp -d)
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(debian_archive) $release main" >"$apt/sources"
  local options=(-qq -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Dir::Etc::sourcelist=$apt/sources"
    -o Dir::Etc::sourceparts=- -o Dir::State::status=/dev/null -o APT::Sandbox::User=root)
  (cd "$apt" && apt-get "${options[@]}" update && apt-get "${options[@]}" download "$package=$version") || {
    echo "collect: $package $version is not in Debian's $release any more: pin another version in collect.sh" >&2
    exit 1
  }
  mv "$apt"/*.deb "$file"
  rm -rf "$apt"
}

# The C library that the compilers and build scripts run on, and a shell.
debian trixie libc6 2.41-12+deb13u4 libc6.deb
debian trixie libgcc-s1 14.2.0-19 libgcc.deb
debian trixie zlib1g 1:1.3.dfsg+really1.3.1-1+b1 zlib.deb
debian trixie busybox-static 1:1.37.0-6+b9 busybox.deb
# The source of the standard library; the same version stands in xtask/src/dist/inputs.rs.
debian trixie-backports rust-src 1.95.0+dfsg1-2~bpo13+1 rust-src.deb

if [ ! -d "$inputs/busybox" ]; then
  dpkg-deb --extract "$inputs/busybox.deb" "$inputs/busybox.begun"
  mkdir "$inputs/busybox.only"
  find "$inputs/busybox.begun" -type f -name busybox -exec mv {} "$inputs/busybox.only/" \;
  mv "$inputs/busybox.only" "$inputs/busybox"
  rm -rf "$inputs/busybox.begun"
fi

# The C compiler and linker.
zig=ziglang-0.15.2-py3-none-manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64.whl
if [ ! -f "$inputs/ziglang.whl" ]; then
  fetched=$(mktemp -d)
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$fetched" ziglang==0.15.2
  mv "$fetched/$zig" "$inputs/ziglang.whl"
  rm -rf "$fetched"
fi

# The Rust toolchain: only the files that rustup's own manifests of these parts name, without manuals.
if [ ! -d "$inputs/toolchain" ]; then
  sysroot=$(cd "$root" && rustc --print sysroot)
  mkdir "$inputs/toolchain.begun"
  for part in rustc rust-std cargo; do
    sed -n 's/^file://p' "$sysroot/lib/rustlib/manifest-$part-x86_64-unknown-linux-gnu"
    sed -n 's/^dir://p' "$sysroot/lib/rustlib/manifest-$part-x86_64-unknown-linux-gnu"
  done | grep -v -e '^share/' -e '^etc/' | sort -u | tar -C "$sysroot" -cf - -T - | tar -C "$inputs/toolchain.begun" -xf -
  mv "$inputs/toolchain.begun" "$inputs/toolchain"
fi

# Every crate that the two lock files name, as published.
mkdir -p "$inputs/crates"
home=${CARGO_HOME:-$HOME/.cargo}
crates() {
  awk -F'"' '/^name = /{n=$2} /^version = /{v=$2} /^checksum = /{print n "-" v}' "$1"
}
missing=no
for crate in $(crates "$root/Cargo.lock") $(crates "$here/std.lock"); do
  [ -f "$inputs/crates/$crate.crate" ] || missing=yes
done
if [ "$missing" = yes ]; then
  (cd "$root" && cargo fetch --locked --quiet)
  std=$(mktemp -d)
  dpkg-deb --extract "$inputs/rust-src.deb" "$std"
  cmp "$std/usr/src/rustc-$rust/library/Cargo.lock" "$here/std.lock"
  (cd "$std/usr/src/rustc-$rust/library/sysroot" && RUSTC_BOOTSTRAP=1 cargo fetch --locked --quiet)
  rm -rf "$std"
  for crate in $(crates "$root/Cargo.lock") $(crates "$here/std.lock"); do
    [ -f "$inputs/crates/$crate.crate" ] || cp "$home"/registry/cache/*/"$crate.crate" "$inputs/crates/"
  done
fi

if [ "$pin" = yes ]; then
  {
    echo '{'
    for file in libc6.deb libgcc.deb zlib.deb rust-src.deb ziglang.whl; do
      echo "  \"$file\": \"$(nix-hash --flat --type sha256 "$inputs/$file")\","
    done
    echo "  \"busybox\": \"$(nix-hash --type sha256 "$inputs/busybox")\","
    echo "  \"toolchain\": \"$(nix-hash --type sha256 "$inputs/toolchain")\""
    echo '}'
  } >"$here/inputs.json"
fi
echo "$inputs"
