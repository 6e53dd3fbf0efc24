#!/usr/bin/env bash
# Prints where Mosquitto is: Debian's package, as it is in bookworm. Nothing is built: without it, or with `--cached` alike, it says how to
# get it.
set -euo pipefail
version=2.0.11
found=$(command -v mosquitto || ls /usr/sbin/mosquitto 2>/dev/null || true)
if [ -z "$found" ]; then
  echo "no mosquitto; apt-get install mosquitto=$version-1.2+deb12u2" >&2
  exit 3
fi
# It has no option that only tells the version.
has=$("$found" -h 2>&1 | head -1 || true)
if [ "$has" != "mosquitto version $version" ]; then
  echo "$found is '$has', not version $version" >&2
  exit 3
fi
echo "$found"
