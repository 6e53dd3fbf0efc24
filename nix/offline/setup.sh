# What every builder needs: tools, the C library where programs look for it, the compilers, and a home for cargo. The root
# directory of the sandbox is empty, and the builder's own.
"$busybox/busybox" mkdir -p /bin
"$busybox/busybox" --install -s /bin
export PATH=/bin
ln -s "$base/root/usr" /usr
ln -s usr/lib /lib
ln -s usr/lib64 /lib64
ln -s "$toolchain/bin/rustc" /bin/rustc
ln -s "$toolchain/bin/cargo" /bin/cargo
zig=$(echo "$base"/inputs/ziglang-*/ziglang/zig)
# Build scripts and procedural macros run here, on the C library of the inputs.
printf '#!/bin/sh\nexec %s cc -target x86_64-linux-gnu.2.36 "$@"\n' "$zig" >/bin/cc
chmod +x /bin/cc
export HOME=/build/home CARGO_HOME=/build/cargo-home ZIG_GLOBAL_CACHE_DIR=/build/zig ZIG_LOCAL_CACHE_DIR=/build/zig
export CARGO_NET_OFFLINE=true CARGO_TARGET_DIR=/build/target LIGHTSHIP_VENDORED=$base/vendor
mkdir -p "$HOME" "$CARGO_HOME"
cat >"$CARGO_HOME/config.toml" <<END
[source.crates-io]
replace-with = "inputs"
[source.inputs]
directory = "$base/vendor"
END
cp -r "$repository" /build/source
chmod -R u+w /build/source
cd /build/source
