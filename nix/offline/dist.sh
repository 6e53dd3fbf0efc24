# Runs the task runner: one program for one architecture.
set -eu
. "$setup"
export SOURCE_DATE_EPOCH=$epoch LIGHTSHIP_REVISION=$revision
"$xtask/xtask" dist --program "$program" --arch "$arch" --inputs "$base/inputs" --work /build/work --output "$out"
