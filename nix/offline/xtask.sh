# Builds the task runner.
set -eu
. "$setup"
cargo build --locked --quiet --package xtask
mkdir "$out"
cp "$CARGO_TARGET_DIR/debug/xtask" "$out/"
