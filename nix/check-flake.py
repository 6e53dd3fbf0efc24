"""Holds flake.lock against flake.nix: every input is locked, by revision and hash. Prints one line; exits 1 otherwise."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main():
    lock = json.loads((ROOT / "flake.lock").read_text())
    locked = {name: node for name, node in lock["nodes"].items() if name != lock["root"]}
    block = re.search(r"^  inputs = \{\n(.*?)^  \};", (ROOT / "flake.nix").read_text(), re.DOTALL | re.MULTILINE)
    inputs = set(re.findall(r"^    ([a-z-]+)(?:\.url)? = ", block.group(1), re.MULTILINE)) if block else set()
    faults = [f"{name} is in flake.nix and not locked" for name in inputs - set(lock["nodes"][lock["root"]]["inputs"])]
    faults += [f"{name} is locked and not in flake.nix" for name in set(locked) - inputs]
    for name, node in locked.items():
        entry = node.get("locked", {})
        if not re.fullmatch(r"[0-9a-f]{40}", entry.get("rev", "")):
            faults.append(f"{name} has no revision")
        if not re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", entry.get("narHash", "")):
            faults.append(f"{name} has no narHash")
    if not inputs:
        faults.append("flake.nix has no inputs that this check can read")
    print("flake: " + ("; ".join(sorted(faults)) or f"{len(locked)} inputs, each locked by revision and hash"))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
