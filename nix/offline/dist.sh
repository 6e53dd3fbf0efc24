# Runs the task runner: one program for one architecture.
set -eu
. "$setup"
if [ "$plant" = yes ]; then
  cp tests/repro/planted/build.rs crates/device/agent/build.rs
  cat tests/repro/planted/main.rs >>crates/device/agent/src/main.rs
fi
export SOURCE_DATE_EPOCH=$epoch LIGHTSHIP_REVISION=$revision
"$xtask/xtask" dist --program "$program" --arch "$arch" --inputs "$base/inputs" --work /build/work --output "$out"
