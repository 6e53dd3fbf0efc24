#!/usr/bin/env bash
# Fetches log files that others published: those that the parsers of Elastic's Filebeat are tested with, of some hundred programs, from
# its Go module at a pinned version into Go's module cache. Prints the module's name and the directory. Nothing of it is committed.
# usage: tests/corpus/fetch.sh
set -euo pipefail

module=github.com/elastic/beats/v7
version=v7.17.29
sum=h1:xZD9AOJSheSUy96zjPo3K1UlwM2ROihnosUfTctGmv8=
if ! command -v go >/dev/null 2>&1; then
  echo "go is not installed (https://go.dev/dl)" >&2
  exit 1
fi
told=$(cd "$(mktemp -d)" && GOFLAGS=-mod=mod go mod download -json "$module@$version")
field() { printf '%s\n' "$told" | sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p"; }
if [ "$(field Sum)" != "$sum" ]; then
  echo "$module $version is not what it was: $(field Sum) instead of $sum" >&2
  exit 1
fi
echo "$module $version, *.log"
field Dir
