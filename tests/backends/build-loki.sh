#!/usr/bin/env bash
# Builds Loki 3.5.3 and prints where it is. About ten minutes on two cores, once.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
version=v3.5.3
binary=$cache/bin/loki-$version
if [ ! -x "$binary" ]; then
  if [ "$cached" = --cached ]; then
    echo "no loki $version in $cache; tests/backends/build-loki.sh builds it" >&2
    exit 3
  fi
  echo "building loki $version; this is done once and kept in $cache" >&2
  mkdir -p "$cache/bin" "$cache/loki-$version"
  # In its own module, whose replacements it needs; that of a module of the same repository names a directory which the module's archive lacks.
  source=$(go mod download -json "github.com/grafana/loki/v3@$version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp -r --no-preserve=mode "$source/." "$cache/loki-$version"
  (
    cd "$cache/loki-$version"
    go mod edit -dropreplace=github.com/grafana/loki/pkg/push
    CGO_ENABLED=0 nice go build -mod=mod -o "$binary.partial" ./cmd/loki >&2
    mv "$binary.partial" "$binary"
  )
fi
echo "$binary"
