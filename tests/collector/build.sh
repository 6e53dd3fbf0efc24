#!/usr/bin/env bash
# Builds the Collector of otelcol.yaml from Go modules at their pinned versions, and prints where it is.
# usage: tests/collector/build.sh [DIRECTORY]   (default: target/collector)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
directory=${1:-$here/../../target/collector}
mkdir -p "$directory"
directory=$(cd "$directory" && pwd)
if ! command -v go >/dev/null 2>&1; then
  echo "go is not installed; the builder needs 1.25 or later (https://go.dev/dl)" >&2
  exit 1
fi
if [ ! -x "$directory/builder" ]; then
  GOFLAGS=-mod=mod CGO_ENABLED=0 GOBIN=$directory go install go.opentelemetry.io/collector/cmd/builder@v0.159.0
fi
cp "$here/otelcol.yaml" "$directory/otelcol.yaml"
(cd "$directory" && GOFLAGS='' CGO_ENABLED=0 ./builder --config otelcol.yaml) >&2
echo "$directory/out/otelcol-peer"
