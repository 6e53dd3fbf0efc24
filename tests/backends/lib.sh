# Sourced by build-NAME.sh: builds one Go program from its module at a pinned version, once, outside the checkout.
#
# The cache is ${LIGHTSHIP_CI_CACHE:-$HOME/.cache/lightship-ci}/backends: bin/NAME-VERSION and the module that pins it. What is there is not
# built again.

# With `--cached` nothing is built: where there is none yet, the exit code is 3.

set -euo pipefail
cached=${1:-}
cache=${LIGHTSHIP_CI_CACHE:-$HOME/.cache/lightship-ci}/backends

# build NAME MODULE VERSION PACKAGE [GO BUILD FLAGS...]: prints the path of the program. $replace may hold `-replace` arguments of `go mod edit`.
build() {
  local name=$1 module=$2 version=$3 package=$4
  shift 4
  local binary=$cache/bin/$name-$version wrapper=$cache/$name-$version
  if [ ! -x "$binary" ]; then
    if [ "$cached" = --cached ]; then
      echo "no $name $version in $cache; tests/backends/build-$name.sh builds it" >&2
      exit 3
    fi
    if ! command -v go >/dev/null 2>&1; then
      echo "go is not installed; $name $version needs 1.26 or later (https://go.dev/dl)" >&2
      exit 1
    fi
    mkdir -p "$wrapper" "$cache/bin"
    echo "building $name $version; this is done once and kept in $cache" >&2
    (
      cd "$wrapper"
      # A module of its own: `go install` refuses modules with replace directives.
      [ -f go.mod ] || go mod init backend >&2
      # shellcheck disable=SC2086 # several arguments
      [ -z "${replace:-}" ] || go mod edit $replace
      GOFLAGS=-mod=mod go get -tool "$package@$version" >&2
      GOFLAGS=-mod=mod CGO_ENABLED=${cgo:-0} nice go build -trimpath "$@" -o "$binary.partial" "$package" >&2
      mv "$binary.partial" "$binary"
    )
  fi
  echo "$binary"
}
