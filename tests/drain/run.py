"""What destinations may do to each other: nothing.

    python3 run.py --agent PATH [--minutes M] [--only answers|dead|flapping] [--report FILE]

answers   one agent, a good destination, and one for each status from 300 to 599, each gRPC code, and each way to answer wrongly: what the
          agent does with a record at each of them, that all of them are told, and that the good one gets everything at once
dead      ten destinations of three kinds that are out of reach beside a good one: its delay stays what it was, and the disk is bounded
flapping  a slow link that is up for two seconds and down for three: bytes sent for each byte delivered

Prints one line per check and `drain: N passed, N failed, N skipped`; exits 0 when none failed.
"""

import argparse
import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "interop"), str(HERE.parent / "support")]
import servers  # noqa: E402
from checks import Checks  # noqa: E402
from link import Link  # noqa: E402
from ports import free_ports  # noqa: E402
from programs import Program  # noqa: E402
from servers import OK, Scripted, head  # noqa: E402

CONFIGURATION = """\
version: 0
device: {{ id: d }}
data_dir: {data}
sources: {{ otlp: {{ http: "127.0.0.1:{ports[0]}" }} }}
red: {{ enabled: false }}
journal: {{ budget: {budget}, commit_delay: 100ms }}
destinations:
{destinations}
admin: {{ listen: "127.0.0.1:{ports[1]}" }}
"""


class Agent:
    def __init__(self, binary, directory, destinations, budget="64MiB"):
        self.data, self.log, self.ports = directory / "data", directory / "log", free_ports(2)
        text = CONFIGURATION.format(
            data=self.data, ports=self.ports, budget=budget, destinations="\n".join(f"  - {one}" for one in destinations)
        )
        (directory / "lightship.yaml").write_text(text)
        self.program = Program([binary, "run", "--config", directory / "lightship.yaml"], self.data, self.log)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[1]}{path}", timeout=30) as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self.get("/status"))

    def send(self, texts):
        records = [{"timeUnixNano": str(time.time_ns()), "body": {"stringValue": text}} for text in texts]
        body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": records}]}]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[0]}/v1/logs", body, {"content-type": "application/json"}
        )
        for _ in range(100):
            try:
                with urllib.request.urlopen(request, timeout=30):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise SystemExit("the agent takes nothing")


def until(holds, seconds=30):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class Good:
    """A server that takes everything, and notes when it got each text."""

    def __init__(self, texts):
        self.texts, self.came, self.bytes = texts, {}, 0
        self.server = Scripted(self.answer)

    def answer(self, _, body):
        now = time.time()
        self.bytes += len(body)
        for text in self.texts:
            if text.encode() in body:
                self.came.setdefault(text, now)
        return OK


BLOCKED = {401, 402, 403, 404, 405, 406, 407, 410, 411, 414, 415, 421, 426, 428, 431, 451, 501, 505, 506, 510, 511, *range(300, 400)}
REFUSED = set(range(400, 500)) - BLOCKED - {408, 425, 429}
GRPC_BLOCKED, GRPC_REFUSED = {5, 7, 12, 16}, {3, 6, 9}
PAGE = b"<html>log in</html>"


def strange_answers():
    """name -> (answer, what becomes of a record)."""
    junk, html = ["content-type: application/x-protobuf"], ["content-type: text/html"]
    return {
        "page": (head(200, html, PAGE), "blocked"),
        "empty-page": (head(200, html), "blocked"),
        "garbage": (head(200, junk, b"\xff\xfe\xfd junk"), "blocked"),
        "json": (head(200, ["content-type: application/json"], b"{}"), "delivered"),
        "empty": (head(200), "delivered"),
        "partial": (head(200, junk, b"\x0a\x07\x08\x01\x12\x03bad"), "rejected"),
        "warning": (head(200, junk, b"\x0a\x05\x12\x03hmm"), "delivered"),
        "wait-seconds": (head(503, ["retry-after: 1"]), "waits"),
        "wait-decades": (head(429, ["retry-after: 1795928527"]), "waits"),
        "wait-date": (head(503, ["retry-after: Fri, 31 Dec 2099 23:59:59 GMT"]), "waits"),
        "redirect-loop": (head(307, ["location: /v1/logs"]), "blocked"),
        "redirect-away": (head(308, ["location: http://127.0.0.9:1/"]), "blocked"),
        "early-close": (servers.early_close, "waits"),
        "reset": (servers.reset, "waits"),
        "cut-answer": (servers.cut_answer, "waits"),
        "slow-loris": (servers.slow, "waits"),
        "silent": (servers.silent, "waits"),
        "no-http": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "waits"),
    }


def outcome(status, name):
    """What became of the records at a destination, and why."""
    ledger = next(one for one in status["ledger"]["destinations"] if one["name"] == f"{name}.logs")
    row = next(one for one in status["destinations"] if one["name"] == f"{name}.logs")
    if ledger["rejected"]:
        return "rejected", next(iter(row["rejected"]), "")
    if ledger["delivered"]:
        return "delivered", ""
    return ("blocked" if row["state"] == "blocked" else "waits" if row["state"] == "backoff" else row["state"]), row["last_reason"]


def answers(arguments, directory, checks):
    texts = [f"record {number};" for number in range(5)]
    good = Good(texts)
    expected, lines, alive = {}, [], []

    def add(name, port, what, protocol="http/protobuf"):
        expected[name] = what
        lines.append(
            f"{{ name: {name}, type: otlp, url: 'http://127.0.0.1:{port}', protocol: {protocol}, signals: [logs], "
            "timeout: 3s, max_backoff: 1s }"
        )

    for status in range(300, 600):
        what = "blocked" if status in BLOCKED else "rejected" if status in REFUSED else "waits"
        add(f"http-{status}", Scripted(lambda *_, status=status: head(status, [], b"words")).port, what)
    for name, (answer, what) in strange_answers().items():
        add(name, Scripted(lambda *_, answer=answer: answer).port, what)
    add("refused-port", free_ports(1)[0], "waits")
    for code in range(1, 17):
        made = servers.grpc_server(code)
        if made is None:
            checks.skip("gRPC codes: grpcio is not installed")
            break
        alive.append(made[1])
        what = "blocked" if code in GRPC_BLOCKED else "rejected" if code in GRPC_REFUSED else "waits"
        add(f"grpc-{code}", made[0], what, "grpc")
    else:
        port, server = servers.grpc_server(8, retry_info=True)
        alive.append(server)
        add("grpc-8-wait", port, "waits", "grpc")
    lines.append(f"{{ name: good, type: otlp, url: 'http://127.0.0.1:{good.server.port}', signals: [logs], max_backoff: 1s }}")
    agent = Agent(arguments.agent, directory, lines)
    began = time.time()
    for text in texts:
        agent.send([text])
        time.sleep(1)
    checks.check(f"the good one among {len(expected)} others gets everything", until(lambda: len(good.came) == len(texts)))
    worst = max((at - began - place for place, at in enumerate(good.came[text] for text in texts)), default=99)
    checks.check("and gets it within two seconds", worst < 2, f"{worst:.1f} s")

    def wrong():
        status = agent.status()
        found = {name: outcome(status, name) for name in expected}
        return {name: f"{got[0]} ({got[1]}), expected {expected[name]}" for name, got in found.items() if got[0] != expected[name]}

    ended = until(lambda: not wrong(), 60)
    checks.check("each answer means what docs/delivery.md says", ended, json.dumps(wrong(), indent=1))
    status, log, metrics = agent.status(), agent.log.read_text(), agent.get("/metrics")
    checks.check("the books balance", status["ledger"]["difference"] == 0, str(status["ledger"]["difference"]))
    untold = [name for name, what in expected.items() if what != "delivered" and f"destination {name}.logs: " not in log]
    checks.check("each of them is told in the log", not untold, ", ".join(untold))
    often = [name for name in expected if log.count(f"destination {name}.logs: ") > 6]
    checks.check("and not again and again", not often, ", ".join(often))
    uncounted = [
        name for name, what in expected.items()
        if what != "delivered" and f'destination="{name}",signal="logs",reason=' not in metrics
    ]
    checks.check("and counted by reason", not uncounted, ", ".join(uncounted))
    lost = [one["name"] for one in status["ledger"]["destinations"] if one["lost"]]
    checks.check("nothing is lost to any of them", not lost, ", ".join(lost))
    letters = list((agent.data / "dead-letters").glob("logs-*"))
    refused = [name for name, what in expected.items() if what == "rejected" and name != "partial"]
    kept = {name for name in refused if any(f"-{name}-" in letter.name for letter in letters)}
    checks.check(f"what {len(refused)} of them refuse is kept", kept == set(refused), ", ".join(set(refused) - kept))
    checks.check("the agent ends by itself", agent.program.stop() is None)
    return {"destinations": len(expected), "good_worst_s": round(worst, 2)}


def dead(arguments, directory, checks):
    """Delay of a good destination alone, then beside ten that are dead."""
    results = {}
    for name, count in (("alone", 0), ("beside", 10)):
        texts = [f"record {number};" for number in range(60)]
        good = Good(texts)
        kinds = ["type: otlp, signals: [logs]", "type: otlp, protocol: grpc, signals: [logs]", "type: loki"]
        lines = [
            f"{{ name: dead-{number}, {kinds[number % 3]}, url: 'http://127.0.0.1:{free_ports(1)[0]}', max_backoff: 1s, "
            "required: false, max_hold: { bytes: 256KiB } }"
            for number in range(count)
        ]
        lines.append(f"{{ name: good, type: otlp, url: 'http://127.0.0.1:{good.server.port}', signals: [logs] }}")
        place = directory / name
        place.mkdir()
        agent = Agent(arguments.agent, place, lines, "8MiB")
        sent = {}
        for text in texts:
            sent[text] = time.time()
            agent.send([text, "x" * 20_000])
            time.sleep(0.25)
        checks.check(f"{name}: the good one gets everything", until(lambda: len(good.came) == len(texts)))
        delays = sorted(good.came[text] - sent[text] for text in texts if text in good.came)
        results[name] = delays[len(delays) // 2]
        used = sum(file.stat().st_size for file in agent.data.rglob("*") if file.is_file())
        checks.check(f"{name}: the disk is bounded", used <= 9 << 20, f"{used >> 10} KiB")
        status = agent.status()
        checks.check(f"{name}: the books balance", status["ledger"]["difference"] == 0, status["ledger"]["difference"])
        agent.program.stop()
    more = results["beside"] - results["alone"]
    checks.check("its delay is what it was", more < 0.25, f"{results}")
    return {key: round(value, 3) for key, value in results.items()}


def flapping(arguments, directory, checks):
    """A link of 64 KiB a second that is up for two seconds and down for three."""
    texts = []
    good = Good(texts)
    link = Link(good.server.port, bytes_per_s=64 << 10)
    line = f"{{ name: good, type: otlp, url: 'http://127.0.0.1:{link.port}', signals: [logs], timeout: 5s, max_backoff: 1s }}"
    agent = Agent(arguments.agent, directory, [line])
    end, number = time.monotonic() + arguments.minutes * 60, 0
    noise = [f"{place * 2654435761 % 4294967296:08x}" for place in range(2000)]
    while time.monotonic() < end:
        up_until = time.monotonic() + 2
        while time.monotonic() < up_until:
            agent.send([f"{number} {' '.join(noise[(number * 37) % 1900:][:90])}"])
            number += 1
            time.sleep(0.1)
        link.cut()
        for _ in range(10):
            agent.send([f"{number} {' '.join(noise[(number * 37) % 1900:][:90])}"])
            number += 1
            time.sleep(0.3)
        link.restore()
    drained = until(lambda: all(not one["queued_records"] for one in agent.status()["destinations"]), 120)
    status = agent.status()
    delivered = sum(one["delivered"] for one in status["ledger"]["destinations"])
    checks.check("everything gets through", drained and delivered == number, f"{delivered} of {number}")
    share = link.bytes / max(1, link.answered_bytes)
    checks.check("at most 1.3 bytes are sent for each one delivered", share <= 1.3, f"{share:.2f}")
    agent.program.stop()
    return {"records": number, "sent_bytes": link.bytes, "sent_for_each_delivered": round(share, 3)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--commit", default="")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    checks, report = Checks(), {"commit": arguments.commit}
    for part in (answers, dead, flapping):
        if arguments.only in ("", part.__name__):
            print(f"== {part.__name__}", flush=True)
            with tempfile.TemporaryDirectory() as directory:
                report[part.__name__] = part(arguments, Path(directory), checks)
    report["passed"] = not checks.failed
    if arguments.report:
        arguments.report.write_text(json.dumps(report, indent=1) + "\n")
    print(f"drain: {checks.passed} passed, {checks.failed} failed, {checks.skipped} skipped")
    return 0 if checks.holds() else 1


if __name__ == "__main__":
    sys.exit(main())
