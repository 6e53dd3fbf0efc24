#!/usr/bin/env bash
# Builds in Nix's sandbox and builds again, and compares: bash nix/offline/check.sh [--evaluate] [--plant] [--arch ARCH]...
#   --evaluate   only evaluates, which holds every input against its pinned hash
#   --plant      puts the time of the build into the program first; the comparison then has to fail
# Needs Debian's nix-bin (installed when this is root); prints SKIPPED where it cannot be had.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

evaluate=no plant=no archs=()
while [ $# -gt 0 ]; do
  case $1 in
  --evaluate) evaluate=yes ;;
  --plant) plant=yes ;;
  --arch) archs+=("$2") && shift ;;
  *) echo "check: no such option: $1" >&2 && exit 2 ;;
  esac
  shift
done
[ ${#archs[@]} -gt 0 ] || archs=(x86_64 aarch64)

if ! command -v nix-build >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends nix-bin >/dev/null || true
  fi
  if ! command -v nix-build >/dev/null; then
    echo "nix: SKIPPED, nothing was evaluated: nix-build is not installed, and cannot be here"
    exit 0
  fi
fi
# Debian's Nix keeps its store for root alone; the sandbox is a real one all the same: no network, no files of the machine.
export NIX_CONFIG="build-users-group =
sandbox = true
sandbox-fallback = false
substitute = false"

if ! collected=$(bash "$here/collect.sh"); then
  echo "nix: SKIPPED, nothing was evaluated: an input cannot be had any more (see above)"
  [ "$evaluate" = yes ]
  exit
fi
inputs=$(tail -n 1 <<<"$collected")
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
source=$copy/source
mkdir "$source"
git -C "$root" ls-files -z --cached --others --exclude-standard |
  (cd "$root" && while IFS= read -r -d '' file; do [ ! -f "$file" ] || printf '%s\0' "$file"; done) |
  tar -C "$root" --null -cf - -T - | tar -C "$source" -xf -
revision=$(git -C "$root" rev-parse HEAD)
[ -z "$(git -C "$root" status --porcelain --untracked-files=no)" ] || revision=$revision+changes
epoch=$(git -C "$root" log -1 --format=%ct)

# The flake cannot be built without nixpkgs; that it is Nix and locked can be said anywhere.
nix-instantiate --parse "$root/flake.nix" >/dev/null
python3 "$root/nix/check-flake.py"

# How many inputs a derivation has says that none was left out.
echo "nix: $(nix --version), $(grep -c '"' "$here/inputs.json") inputs and $(cat "$source/Cargo.lock" "$here/std.lock" | grep -c '^checksum') crates pinned by hash"
differ=0
for arch in "${archs[@]}"; do
  arguments=("$here/default.nix" --arg inputs "$inputs" --arg source "$source" --argstr arch "$arch"
    --argstr revision "$revision" --argstr epoch "$epoch" --argstr plant "$plant")
  derivation=$(nix-instantiate "${arguments[@]}" 2>/dev/null || nix-instantiate --show-trace "${arguments[@]}")
  echo "nix: lightship for $arch: evaluated, every input has its pinned hash: $derivation"
  [ "$evaluate" = no ] || continue
  out=$(nix-build --no-out-link "${arguments[@]}")
  if nix-build --no-out-link --check "${arguments[@]}" >/dev/null; then
    echo "nix: lightship for $arch: built twice in the sandbox, identical"
    cat "$out/SHA256SUMS"
  else
    echo "nix: lightship for $arch: DIFFERS between two builds"
    differ=1
  fi
done
exit "$differ"
