"""Runs the container images under podman: the one for arm64 answers under qemu, the one for amd64 takes OTLP while its
link is down, is killed, and delivers from its volume.

    python3 run.py --images DIRECTORY

DIRECTORY is what `cargo xtask dist` filled. Needs root; on Debian, what is missing is installed (podman, runc,
qemu-user-static). Prints one line per check; exits 0 when all passed.
"""

import argparse
import gzip
import http.server
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

PACKAGES = {"podman": "podman", "runc": "runc", "qemu-aarch64-static": "qemu-user-static"}
USER = 10001
# Architectures as dist.json and as containers name them.
NAMES = {"aarch64": "arm64", "x86_64": "amd64"}
PATIENCE_SECONDS = 30
BINFMT = Path("/proc/sys/fs/binfmt_misc")
QEMU = "/usr/bin/qemu-aarch64-static"
# The head of an ELF file for arm64, and what of it has to match (Linux's documentation of binfmt_misc).
MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"

CONFIGURATION = """\
version: 0
device: {{ id: container-1 }}
data_dir: /var/lib/lightship
sources:
  otlp: {{ grpc: 127.0.0.1:0, http: 127.0.0.1:0 }}
sampling:
  decision_wait: 1s
  policies:
    - {{ name: errors, type: status_code, status_code: {{ status_codes: [ERROR] }} }}
journal: {{ commit_delay: 200ms }}
destinations:
  - {{ name: backend, type: otlp, url: "http://127.0.0.1:{port}", protocol: http/protobuf }}
admin: {{ listen: "127.0.0.1:0" }}
"""


def skip(why):
    print(f"containers: SKIPPED, nothing was run: {why}")
    sys.exit(0)


def install():
    """What is missing comes from Debian, when that can be asked."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    os.environ["PATH"] = path
    missing = sorted({package for program, package in PACKAGES.items() if not shutil.which(program)})
    if not missing:
        return
    if not shutil.which("apt-get"):
        skip(f"there is no {', '.join(missing)}, and no apt-get to install it")
    for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]):
        done = subprocess.run(["apt-get", *words], stdout=subprocess.DEVNULL, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode != 0:
            skip(f"{', '.join(missing)} cannot be installed (apt-get {words[0]} failed)")


class Qemu:
    """Lets the kernel run programs for arm64, also inside containers; undone at the end if it was done here."""

    def __enter__(self):
        self.mounted = self.registered = False
        if not (BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
            self.mounted = True
        entries = [entry for entry in BINFMT.iterdir() if entry.name not in ("register", "status")]
        if not any("aarch64" in entry.name for entry in entries):
            # F: the kernel opens qemu now, so that it need not be inside the container. P: qemu learns the first argument.
            (BINFMT / "register").write_text(f":lightship-aarch64:M::{MAGIC}:{MASK}:{QEMU}:FP")
            self.registered = True
        return self

    def __exit__(self, *_):
        if self.registered:
            (BINFMT / "lightship-aarch64").write_text("-1")
        if self.mounted:
            subprocess.run(["umount", BINFMT], check=True)


class Podman:
    """Podman with a store of its own, and containers that may do as little as the images promise to need."""

    def __init__(self, directory):
        self.base = ["podman", "--root", f"{directory}/store", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/tmp"]
        self.base += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "file"]
        self.base += ["--runtime", shutil.which("runc")]
        self.fence = ["--read-only", "--read-only-tmpfs=false", "--cap-drop", "all", "--security-opt", "no-new-privileges"]
        self.fence += ["--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:2048"]

    def __call__(self, *words, check=True):
        done = subprocess.run([*self.base, *words], capture_output=True, text=True)
        if check and done.returncode != 0:
            raise RuntimeError(f"podman {' '.join(words)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def run(self, image, *words, options=()):
        return self("run", *self.fence, *options, image, *words)


def field(number, content):
    """A protobuf field with bytes, or with a 64-bit number of fixed size."""
    if isinstance(content, int):
        return bytes([number << 3 | 1]) + content.to_bytes(8, "little")
    size, digits = len(content), b""
    while size > 127:
        digits += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + digits + bytes([size]) + content


def trace(trace_id, now):
    """An ExportTraceServiceRequest with one span that failed (status code 2, ERROR), which the policy keeps."""
    status = bytes([3 << 3, 2])
    span = field(1, trace_id) + field(2, os.urandom(8)) + field(5, b"sounding") + field(7, now) + field(8, now + 1_000_000)
    return field(1, field(2, field(2, span + field(15, status))))


class Backend:
    """An OTLP/HTTP receiver that keeps bodies."""

    def __init__(self, port):
        bodies = self.bodies = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                bodies.append(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def until(what, check):
    """Asks again and again; the answer when there is one."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        answer = check()
        if answer:
            return answer
        time.sleep(0.2)
    raise RuntimeError(f"after {PATIENCE_SECONDS} s: not {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Test:
    """The checks, in order."""

    def __init__(self, podman, images, directory):
        self.podman, self.images, self.directory = podman, images, Path(directory)
        self.port = free_port()
        self.configuration = self.directory / "lightship.yaml"
        self.configuration.write_text(CONFIGURATION.format(port=self.port))
        self.configuration.chmod(0o644)
        self.mount = ["--volume", f"{self.configuration}:/etc/lightship/lightship.yaml:ro"]

    def load(self, program, arch):
        """Takes the image for one architecture out of the archive of all."""
        archive = self.images / f"{program}.oci.tar"
        return self.podman("pull", "--quiet", "--arch", arch, f"oci-archive:{archive}").splitlines()[-1]

    def answers(self, program, arch):
        image = self.load(program, arch)
        inspected = json.loads(self.podman("image", "inspect", image))[0]
        assert inspected["Architecture"] == arch, inspected["Architecture"]
        assert inspected["Config"]["User"] == f"{USER}:{USER}", inspected["Config"]
        said = self.podman.run(image, "--version", options=["--rm", "--network", "none"])
        assert said.startswith(f"{program} 0."), said
        return image, said

    def agent_checks(self, image):
        said = self.podman.run(image, "check", "--config", "/etc/lightship/lightship.yaml",
                               options=["--rm", "--network", "none", *self.mount])
        return said.splitlines()[-1] if said else "nothing"

    def keeps_its_data(self, image):
        """OTLP in while the link is down, SIGKILL, a new container on the same volume, and the trace arrives."""
        options = ["--detach", "--network", "host", "--volume", "lightship-data:/var/lib/lightship", *self.mount]
        first = self.podman.run(image, options=options)
        data = Path(self.podman("volume", "inspect", "--format", "{{.Mountpoint}}", "lightship-data"))
        assert data.stat().st_uid == USER, data.stat()
        addresses = lambda: json.loads((data / "addresses.json").read_text()) if (data / "addresses.json").exists() else None
        try:
            intake = until("ready", addresses)["otlp_http"]
            trace_id = os.urandom(16)
            request = urllib.request.Request(f"http://{intake}/v1/traces", data=trace(trace_id, time.time_ns()), method="POST",
                                             headers={"content-type": "application/x-protobuf"})
            assert urllib.request.urlopen(request, timeout=5).status == 200
            status = ["exec", first, "/usr/bin/lightship", "status", "--json", "--config", "/etc/lightship/lightship.yaml"]
            queued = lambda: trace_is_queued(json.loads(self.podman(*status, check=False) or "{}"))
            until("in the journal", queued)
            health = self.podman("exec", first, "/usr/bin/lightship", "status", "--config", "/etc/lightship/lightship.yaml")
            assert health, "the health check printed nothing"
        finally:
            self.podman("kill", "--signal", "KILL", first)
            self.podman("rm", "--force", first)
        (data / "addresses.json").unlink()
        backend = Backend(self.port)
        second = self.podman.run(image, options=options)
        try:
            until("delivered", lambda: any(trace_id in body for body in backend.bodies))
        finally:
            self.podman("rm", "--force", "--time", "5", second)
            backend.close()
        return f"{sum(map(len, backend.bodies))} bytes delivered after the kill"

    def hub_is_well(self, image):
        """The hub, as its image starts it, says through its own health check that it is well."""
        hub = self.podman.run(image, options=["--detach", "--network", "none", "--volume", "hub-data:/var/lib/lightship-hub"])
        try:
            return until("well", lambda: self.podman("exec", hub, "/usr/bin/lightship-hub", "health", check=False))
        finally:
            self.podman("rm", "--force", "--time", "5", hub)


def trace_is_queued(status):
    """Whether the agent holds records for its destination that it could not deliver."""
    return any(destination["queued"] > 0 for destination in status.get("ledger", {}).get("destinations", []))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    images = parser.parse_args().images
    if os.geteuid() != 0:
        skip("only root can register qemu and run containers of another user here")
    install()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="lightship-containers-") as directory, Qemu():
        podman = Podman(directory)
        test = Test(podman, images, directory)

        def step(name, work):
            nonlocal failed
            try:
                outcome = work()
                print(f"passed  {name}: {outcome[1] if isinstance(outcome, tuple) else outcome}", flush=True)
                return outcome
            except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
                failed += 1
                print(f"FAILED  {name}: {error or type(error).__name__}", flush=True)
                return None

        made = json.loads((images / "dist.json").read_text())["images"]
        archs = {image["program"]: [NAMES[arch] for arch in image["architectures"]] for image in made}
        for program in ("lightship", "lightship-hub"):
            missing = set(NAMES.values()) - set(archs.get(program, []))
            if missing:
                print(f"containers: SKIPPED {program} for {', '.join(sorted(missing))}: no such image was built")
        try:
            agent = {arch: step(f"lightship for {arch} answers", lambda: test.answers("lightship", arch))
                     for arch in archs.get("lightship", [])}
            if agent.get("arm64"):
                step("lightship for arm64 checks its configuration", lambda: test.agent_checks(agent["arm64"][0]))
            if agent.get("amd64"):
                step("lightship for amd64 keeps its data over a kill", lambda: test.keeps_its_data(agent["amd64"][0]))
            hub = {arch: step(f"lightship-hub for {arch} answers", lambda: test.answers("lightship-hub", arch))
                   for arch in archs.get("lightship-hub", [])}
            if hub.get("amd64"):
                step("lightship-hub for amd64 is well", lambda: test.hub_is_well(hub["amd64"][0]))
        finally:
            podman("rm", "--all", "--force", check=False)
            podman("volume", "rm", "--all", "--force", check=False)
    print(f"containers: {'FAILED' if failed else 'passed'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
