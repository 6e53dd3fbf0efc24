"""Two hours of a vessel behind a link that is down, with a kill in the middle, to real backends at once: metrics, log records and traces
each to their own. Everything must be there afterwards, once, while live data flows.

    python3 run.py --agent PATH [--hours H] [--build] [--require NAME,..] [--report FILE] [--page FILE]

Time is compressed at the source: records carry their true times, and come as fast as the agent takes them. Backends that are not built
are skipped, and that is said in the last lines; `--build` builds them (tests/backends). Prints one line per check and
`interop: N passed, N failed, N skipped`; exits 0 when none failed.
"""

import argparse
import atexit
import json
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
import backends  # noqa: E402
import brokers  # noqa: E402
import page  # noqa: E402
import vessel  # noqa: E402
from checks import Checks  # noqa: E402
from link import Link  # noqa: E402
from peers import PATHS, Collector  # noqa: E402
from ports import free_ports  # noqa: E402
from programs import Program  # noqa: E402

DEVICE = "vessel-1"
# Steps of ten seconds before the link goes down, and live steps of a second while the drain goes on.
BEFORE = 30
LIVE_S = 30
DRAIN_S = 300

CONFIGURATION = """\
version: 0
device: {{ id: {device} }}
data_dir: {data}
sources:
  otlp: {{ http: "127.0.0.1:{ports[0]}" }}
sampling: {{ decision_wait: 1s, policies: [] }}
red: {{ enabled: false }}
recorder: {{ memory: 2MiB, files: 16MiB }}
journal: {{ budget: 64MiB, commit_delay: 200ms }}
destinations:
{destinations}
admin: {{ listen: "127.0.0.1:{ports[1]}" }}
"""


def post(port, path, message, key):
    """Sends a request until it is taken, as an SDK does; its key says that it is the same one."""
    body = json.dumps(message).encode()
    headers = {"content-type": "application/json", "idempotency-key": key}
    for _ in range(600):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("nothing was taken for a minute")


def send(port, step, at_ns, began_ns):
    post(port, "/v1/metrics", vessel.metrics(step, at_ns, began_ns), f"m{step}")
    post(port, "/v1/logs", vessel.logs(step, at_ns), f"l{step}")
    post(port, "/v1/traces", vessel.traces(step, at_ns), f"t{step}")


class Agent:
    """The program, with what is sent to it."""

    def __init__(self, binary, directory, destinations):
        self.command = [binary, "run", "--config", directory / "lightship.yaml"]
        self.data, self.log = directory / "data", directory / "agent.log"
        self.ports = free_ports(2)
        text = CONFIGURATION.format(
            device=DEVICE, data=self.data, ports=self.ports, destinations="\n".join(f"  - {one}" for one in destinations)
        )
        (directory / "lightship.yaml").write_text(text)
        self.start()

    def start(self):
        self.program = Program(self.command, self.data, self.log)

    def kill(self):
        self.program.child.send_signal(signal.SIGKILL)
        self.program.child.wait()
        (self.data / "addresses.json").unlink()

    def step(self, step, at_ns, began_ns):
        send(self.ports[0], step, at_ns, began_ns)

    def status(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}/status", timeout=20) as answer:
            return json.loads(answer.read())

    def waiting(self):
        status = self.status()
        waiting = {one["name"]: one["queued_records"] for one in status["destinations"] if one["queued_records"]}
        pending = sum(status["ledger"]["pending"].values())
        return waiting if not pending else {"undecided": pending, **waiting}


def start(arguments):
    """Every backend that is there, each behind a link, and the names of those that are not."""
    running, skipped = [], []
    with tempfile.TemporaryDirectory() as directory:
        atexit.register(lambda: [one.stop() for one, _ in running])
        for kind in (*backends.ALL, *brokers.ALL):
            binary = kind.binary() or (backends.build(kind) if arguments.build else None)
            if binary is None:
                skipped.append(kind)
                continue
            print(f"       starting {binary.name}", flush=True)
            one = kind(Path(directory), binary)
            running.append((one, Link(one.port)))
        yield running, skipped, Path(directory)


def drill(arguments, running, directory, checks):
    hours = arguments.hours
    outage = int(hours * 3600 / vessel.STEP_S)
    agent = Agent(arguments.agent, directory, [one.destination.format(port=link.port) for one, link in running])
    now = time.time_ns()
    began = now - (outage + BEFORE) * vessel.STEP_S * 10**9

    def at(step):
        return began + step * vessel.STEP_S * 10**9

    for step in range(BEFORE):
        agent.step(step, at(step), began)
    end = time.monotonic() + 30
    while agent.waiting() and time.monotonic() < end:
        time.sleep(0.2)
    checks.check("everything is there before the link goes down", not agent.waiting(), str(agent.waiting() or ""))

    for _, link in running:
        link.cut()
    print(f"       the link is down: {hours} h of the vessel come, and the agent is killed in the middle", flush=True)
    for step in range(BEFORE, BEFORE + outage):
        if step == BEFORE + outage // 2:
            agent.kill()
            agent.start()
        agent.step(step, at(step), began)
    # What is undecided is decided, so that the backlog is on disk.
    time.sleep(3)
    backlog = {one["name"]: (one["queued_records"], one["queued_bytes"]) for one in agent.status()["destinations"]}
    bytes_before = {one.name: link.bytes for one, link in running}

    for _, link in running:
        link.restore()
    back = time.monotonic()
    print("       the link is back, and live data flows", flush=True)
    steps, first_live, drained, lags = BEFORE + outage, {}, {}, {one.name: [] for one, _ in running}
    live_from = steps
    while time.monotonic() - back < DRAIN_S:
        sent_at = time.time()
        agent.step(steps, time.time_ns(), began)
        steps += 1
        for one, _ in running:
            newest = one.newest_s(time.time())
            if newest >= time.time() - (time.monotonic() - back) - 0.001:
                first_live.setdefault(one.name, time.monotonic() - back)
                lags[one.name].append(time.time() - newest)
        waiting = agent.waiting()
        for one, _ in running:
            own = [name for name in waiting if name.split(".")[0] == one.name or name == "undecided"]
            if not own or all(waiting[name] < 200 for name in own if name != "undecided"):
                drained.setdefault(one.name, time.monotonic() - back)
        if len(drained) == len(running) and steps - live_from >= LIVE_S:
            break
        time.sleep(max(0.0, 1.0 - (time.time() - sent_at)))
    end = time.monotonic() + DRAIN_S
    while agent.waiting() and time.monotonic() < end:
        time.sleep(0.5)
    checks.check("everything goes out once the link is back", not agent.waiting(), str(agent.waiting() or ""))
    status = agent.status()
    checks.check("the books balance", status["ledger"]["difference"] == 0, str(status["ledger"]["difference"]))
    rejected = {one["name"]: one["rejected"] for one in status["ledger"]["destinations"] if one["rejected"]}
    checks.check("nothing is refused for good", not rejected, str(rejected or ""))

    rows = []
    for one, link in running:
        found, missing, twice = one.whole(steps, time.time(), int(hours) + 3)
        what = f"{found} {one.signal} of {steps} steps, {missing} missing, {twice} more than once"
        once = not twice or not one.can_tell
        checks.check(f"{one.name} {one.version} has everything{' once' if one.can_tell else ''}", not missing and once, what)
        queued = backlog.get(f"{one.name}.{one.signal}", (0, 0))
        lag = sorted(lags[one.name])
        rows.append({
            "backend": one.name, "version": one.version, "signal": one.signal, "needs": one.says,
            "found": found, "missing": missing, "more_than_once": twice,
            "backlog_records": queued[0], "backlog_bytes": queued[1],
            "sent_bytes": link.bytes - bytes_before[one.name],
            "first_live_s": round(first_live.get(one.name, -1.0), 1),
            "drained_s": round(drained.get(one.name, -1.0), 1),
            "live_lag_p99_s": round(lag[int(len(lag) * 0.99)], 2) if lag else None,
        })
    problem = agent.program.stop()
    checks.check("the agent ends by itself", problem is None, problem or "")
    return rows, steps


def peer(arguments, running, directory):
    """The same outage for a Collector: what each backend has in the end. Nothing of it is judged."""
    outage = int(arguments.hours * 3600 / vessel.STEP_S)
    # It exports OTLP, which brokers do not take.
    running = [(one, link) for one, link in running if one.name in PATHS]
    collector = Collector(arguments.collector, directory, running)
    began = time.time_ns() - (outage + BEFORE) * vessel.STEP_S * 10**9
    steps = BEFORE + outage
    for step in range(steps):
        if step == BEFORE:
            time.sleep(3)
            for _, link in running:
                link.cut()
        if step == BEFORE + outage // 2:
            collector.kill()
            collector.start()
        send(collector.ports[0], step, began + step * vessel.STEP_S * 10**9, began)
    for _, link in running:
        link.restore()
    for _ in range(LIVE_S):
        send(collector.ports[0], steps, time.time_ns(), began)
        steps += 1
        time.sleep(1)
    rows, end = [], time.monotonic() + 120
    for one, _ in running:
        before = None
        # Until nothing more comes.
        while (found := one.whole(steps, time.time(), int(arguments.hours) + 3)) != before and time.monotonic() < end:
            before = found
            time.sleep(5)
        print(f"       {collector.name}: {one.name} has {found[0]} {one.signal}, {found[1]} missing, {found[2]} more than once", flush=True)
        rows.append({
            "backend": one.name, "version": one.version, "signal": one.signal,
            "found": found[0], "missing": found[1], "more_than_once": found[2],
        })
    collector.stop()
    return {"name": collector.name, "steps": steps, "backends": rows}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--require", default="")
    parser.add_argument("--collector", help="the Collector of tests/collector: the same outage for it, beside")
    parser.add_argument("--commit", default="")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--page", type=Path)
    arguments = parser.parse_args()
    checks = Checks()
    peers = []
    if arguments.collector:
        for running, _, directory in start(arguments):
            print("       the same outage for a Collector, whose queues are in files", flush=True)
            peers.append(peer(arguments, running, directory))
            for one, _ in running:
                one.stop()
            running.clear()
    for running, skipped, directory in start(arguments):
        if not running:
            print("no backend is built: run tests/backends/build-victoria-logs.sh, or this with --build")
        rows, steps = drill(arguments, running, directory, checks) if running else ([], 0)
        wanted = [name for name in arguments.require.split(",") if name]
        missing = [kind.name for kind in skipped if kind.name in wanted]
        if wanted:
            checks.check("the backends that are asked for are there", not missing, ", ".join(missing))
        for kind in skipped:
            print(f"SKIPPED {kind.name}: it is not built (tests/backends/{kind.script}; about {kind.minutes} minutes, once)")
        report = {
            "commit": arguments.commit, "hours": arguments.hours, "steps": steps, "passed": not checks.failed,
            "skipped": [kind.name for kind in skipped], "backends": rows, "peers": peers,
        }
        if arguments.report:
            arguments.report.write_text(json.dumps(report, indent=1) + "\n")
        if arguments.page:
            arguments.page.write_text(page.of(report))
        for one, _ in running:
            one.stop()
        running.clear()
    print(f"interop: {checks.passed} passed, {checks.failed} failed, {len(report['skipped'])} skipped")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
