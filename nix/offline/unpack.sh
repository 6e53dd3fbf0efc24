# Unpacks the inputs: libraries as a root directory has them, the compilers, the crates as cargo reads a directory of them.
set -eu
"$busybox/busybox" mkdir -p /bin
"$busybox/busybox" --install -s /bin
export PATH=/bin
mkdir -p "$out/root" "$out/inputs" "$out/vendor"
for library in $libraries; do
  dpkg-deb -x "$library" "$out/root"
done
rm -rf "$out/root/usr/share"

mkdir /build/rust
dpkg-deb -x "$rustSource" /build/rust
library=$(echo /build/rust/usr/src/rustc-*/library)
cmp "$library/Cargo.lock" "$standardLock"
# Below the names that `cargo xtask dist` looks for.
version=$(sed -n 's/^const RUST_SRC: &str = "\(.*\)";/\1/p' "$repository/xtask/src/dist/inputs.rs")
mkdir "$out/inputs/rust-src-$version"
cp -r "$library" "$out/inputs/rust-src-$version/library"
version=$(sed -n 's/^pub(crate) const ZIG: &str = "\(.*\)";/\1/p' "$repository/xtask/src/dist/inputs.rs")
mkdir "$out/inputs/ziglang-$version"
unzip -q "$zig" -d "$out/inputs/ziglang-$version"
chmod +x "$out/inputs/ziglang-$version/ziglang/zig"

while read -r name checksum archive; do
  # The same crate in both lock files is one directory.
  [ -d "$out/vendor/$name" ] && continue
  tar -xzf "$archive" -C "$out/vendor"
  echo "{\"files\":{},\"package\":\"$checksum\"}" >"$out/vendor/$name/.cargo-checksum.json"
done <"$list"
