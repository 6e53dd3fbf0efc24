"""SDKs that nobody here wrote send to the agent, all at once, in their default batch settings: over gRPC and HTTP, in
protobuf and JSON, compressed in each way they know. Every field of every record is compared with what was sent: at an OTLP
server that records what the agent delivers, and in the hub.

    python3 run.py --agent PATH --hub PATH [--node DIR] [--go PROGRAM] [--java DIR] [--long SECONDS]

A client gives each of its batches to the agent's exporter and to one that posts it straight to a second recording server:
what that one holds is what was sent. Prints one line per check and `clients: N passed, N failed`; exits 0 when all passed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import hub as api
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, NumberDataPoint
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from recorder import Recorder, Records, shown

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from programs import Program  # noqa: E402

# Beyond a client's long span: its start and the agent's decision wait.
CLIENT_SECONDS = 120
SETTLE_SECONDS = 90
SHOWN = 5

PYTHON = [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip"), ("http", "deflate")]
NODE = [("grpc", "gzip"), ("http/protobuf", "none"), ("http/json", "none"), ("http/json", "gzip")]
GO = [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip")]
JAVA = [("grpc", "none"), ("grpc", "gzip"), ("http", "none"), ("http", "gzip")]


class Programs:
    """The hub and the agent, on free ports of the loopback interface; the agent with `init`'s file for a vessel."""

    def __init__(self, agent, hub, directory, delivered):
        hub_dir, agent_dir = directory / "hub", directory / "agent"
        options = ["--data-dir", hub_dir, "--http", "127.0.0.1:0", "--link", "127.0.0.1:0"]
        self.started = [Program([hub, "run", *options], hub_dir, directory / "hub.log")]
        self.hub = self.started[0].addresses
        made = subprocess.run([agent, "init", "--device-type", "vessel"], check=True, capture_output=True, text=True).stdout
        config = directory / "lightship.yaml"
        config.write_text(configuration(made, agent_dir, hub_dir / "tls" / "ca.pem", self.hub["link"], delivered))
        self.started.append(Program([agent, "run", "--config", config], agent_dir, directory / "agent.log"))
        self.agent = self.started[1].addresses

    def status(self):
        with urllib.request.urlopen(f"http://{self.agent['admin']}/status", timeout=10) as answer:
            return json.load(answer)

    def stop(self):
        for program in self.started:
            program.stop()

    def logs(self):
        return "\n".join(f"--- {one.log.name}\n{one.log.read_text()[-4000:]}" for one in self.started)


def configuration(made, data_dir, ca_file, link, delivered):
    """`init`'s file with this place's addresses; every trace is kept, so that all of it can be compared."""
    lines, inside = [], ""
    for line in made.splitlines():
        if line and not line.startswith((" ", "#")):
            inside = line.split(":")[0]
        key = line.strip().split(":")[0]
        if inside == "data_dir" and key == "data_dir":
            line = f"data_dir: {data_dir}"
        elif inside == "sources" and key in ("grpc", "http"):
            line = f"    {key}: 127.0.0.1:0"
        elif inside == "admin" and key == "listen":
            line = "  listen: 127.0.0.1:0"
        elif inside == "sampling" and (key == "policies" or line.startswith("    - ") or line.startswith("      ")):
            if key != "policies":
                continue
            line = "  policies:\n    - { name: everything, type: always_sample }"
        elif inside == "destinations":
            if key == "destinations":
                line = (
                    f'destinations:\n  - {{ name: hub, type: hub, url: "https://{link}", ca_file: {ca_file}, heartbeat: 1s }}\n'
                    f"  - {{ name: recorder, type: otlp, url: {delivered}, protocol: http/protobuf }}"
                )
            elif line.strip():
                continue
        lines.append(line)
    # The recorder is to have what the clients sent, and nothing else.
    return "\n".join([*lines, "telemetry: { interval: 0s }"]) + "\n"


def clients(arguments):
    """(name, command) of each client that can run here, and which kinds cannot."""
    found, skipped = [], []

    def add(language, wanted, command):
        if command is None:
            skipped.append(language)
            return
        for protocol, compression in wanted:
            name = f"{language}-{protocol}-{compression}".replace("/", "-")
            found.append((name, [*command, "--name", name, "--protocol", protocol, "--compression", compression]))

    add("python", PYTHON, [sys.executable, str(HERE / "python/client.py")])
    add("node", NODE, arguments.node and ["node", str(arguments.node / "client.mjs")])
    add("go", GO, arguments.go and [str(arguments.go)])
    libraries = arguments.java and f"{arguments.java}/clients-0.1.0.jar:{arguments.java}/libraries/*"
    add("java", JAVA, libraries and ["java", "-Xmx256m", "-cp", libraries, "Client"])
    return found, skipped


def settled(programs):
    """Whether everything that the agent took in has been delivered everywhere."""
    status = programs.status()
    pending = sum(status["ledger"]["pending"].values())
    return not pending and all(one["queued_records"] == 0 for one in status["destinations"])


def check(name, problems):
    problems = list(problems)
    print(f"{'FAILED' if problems else 'ok    '} {name}", flush=True)
    for problem in problems[:SHOWN]:
        print(f"         {problem[:2000]}")
    if len(problems) > SHOWN:
        print(f"         and {len(problems) - SHOWN} more")
    return not problems


def beside(kind, sent, delivered):
    """What was sent and not delivered, and the other way round."""
    for record in sent - delivered:
        yield f"sent {sent[record]} times, delivered {delivered[record]} times: {shown(kind, record)}"
    for record, count in (delivered - sent).items():
        yield f"delivered {count} times more than sent: {shown(kind, record)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", required=True, type=Path)
    parser.add_argument("--hub", required=True, type=Path)
    parser.add_argument("--node", type=Path)
    parser.add_argument("--go", type=Path)
    parser.add_argument("--java", type=Path)
    parser.add_argument("--long", type=float, default=60)
    parser.add_argument("--only", help="clients whose name contains this")
    arguments = parser.parse_args()
    # Nothing outside decides where telemetry goes.
    for variable in [name for name in os.environ if name.startswith("OTEL_") or name.lower().endswith("_proxy")]:
        del os.environ[variable]
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="lightship-clients-") as made:
        directory = Path(made)
        sent, delivered = Recorder(), Recorder()
        programs = Programs(arguments.agent.resolve(), arguments.hub.resolve(), directory, delivered.url)
        try:
            outcomes += drill(programs, arguments, directory, sent, delivered)
        finally:
            programs.stop()
            if not outcomes or not all(outcomes):
                print(programs.logs())
    print(f"clients: {sum(outcomes)} passed, {len(outcomes) - sum(outcomes)} failed")
    return 0 if outcomes and all(outcomes) else 1


def drill(programs, arguments, directory, sent, delivered):
    wanted, skipped = clients(arguments)
    wanted = [one for one in wanted if not arguments.only or arguments.only in one[0]]
    for language in skipped:
        print(f"  skipped  clients in {language}: its toolchain is not here")
    places = ["--agent-grpc", programs.agent["otlp_grpc"], "--agent-http", f"http://{programs.agent['otlp_http']}"]
    running = []
    for number, (name, command) in enumerate(wanted):
        # One of them has a span that lasts much longer than a decision waits.
        long = arguments.long if number == len(wanted) // 2 else 0
        log = open(directory / f"client-{name}.log", "w")
        command = [*command, *places, "--sent", sent.url, "--long", str(long)]
        running.append((name, subprocess.Popen(command, stdout=log, stderr=log)))
    print(f"{len(running)} clients run at once", flush=True)
    end = time.monotonic() + arguments.long + CLIENT_SECONDS
    for name, client in running:
        try:
            code = client.wait(max(1, end - time.monotonic()))
            said = (directory / f"client-{name}.log").read_text()
            problems = [f"it ended with {code}: {said[-1500:]}"] * bool(code) + [said] * ("did not take" in said)
        except subprocess.TimeoutExpired:
            client.kill()
            problems = ["it does not end"]
        yield check(f"{name} hands over all its batches", problems)
    end = time.monotonic() + SETTLE_SECONDS
    while not settled(programs) and time.monotonic() < end:
        time.sleep(0.5)
    yield check("everything is delivered", [] if settled(programs) else [json.dumps(programs.status())])
    was, came = Records(sent.requests()), Records(delivered.requests())
    print(
        f"{was.spans.total()} spans, {was.logs.total()} log records, {was.points.total()} points, "
        f"{was.exemplars.total()} exemplars were sent"
    )
    yield check("something of each kind was sent", [] if was.spans and was.logs and was.points else ["nothing"])
    yield check("spans at the recording server equal those sent", beside(Span, was.spans, came.spans))
    yield check("log records at the recording server equal those sent", beside(LogRecord, was.logs, came.logs))
    yield check("points at the recording server equal those sent", beside(NumberDataPoint, was.points, came.points))
    # Exemplars go out once their trace is there, with a later point of their series: the last ones find none.
    yield check("no exemplar at the recording server that was not sent", beside(Exemplar, came.exemplars & was.exemplars, came.exemplars))
    where = api.Hub(programs.hub["http"])
    yield check("traces in the hub equal those sent", api.compare_traces(where, was))
    yield check("log records in the hub equal those sent", api.compare_logs(where, was))
    yield check("series in the hub end with what was sent last", api.compare_metrics(where, was))


if __name__ == "__main__":
    sys.exit(main())
