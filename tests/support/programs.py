"""The real programs, started for a drill and ended with it."""

import atexit
import json
import subprocess
import time
from pathlib import Path

START_SECONDS = 30
STOP_SECONDS = 30


class Program:
    """A program that writes where it listens into `addresses.json` of a directory, and what it says into a log."""

    def __init__(self, command, directory, log):
        self.log = log
        self.child = subprocess.Popen([str(word) for word in command], stdout=open(log, "w"), stderr=subprocess.STDOUT)
        atexit.register(self.child.kill)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.addresses = json.loads((directory / "addresses.json").read_text())
                return
            except (FileNotFoundError, json.JSONDecodeError):
                if time.monotonic() > end or self.child.poll() is not None:
                    raise SystemExit(f"{command[0]} did not start:\n{log.read_text()}") from None
                time.sleep(0.1)

    def high_water(self):
        """The most memory that it ever had, bytes; `None` when it is gone."""
        try:
            text = Path(f"/proc/{self.child.pid}/status").read_text()
        except FileNotFoundError:
            return None
        rows = [line.split() for line in text.splitlines() if line.startswith("VmHWM:")]
        return int(rows[0][1]) * 1024 if rows else None

    def stop(self):
        """Ends it; says what is wrong when it does not end by itself."""
        self.child.terminate()
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return f"SIGTERM did not end it in {STOP_SECONDS} s"
        return None
