"""Every attack at once, beside an honest producer. The honest one must lose nothing and hardly wait; both programs stay in
their memory, count every refusal, and are well in the end.

    python3 run.py --agent PATH --hub PATH [--seconds S] [--report FILE]

Prints one line per check and `hostile: N passed, N failed`; exits 0 when all passed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "clients"), str(HERE.parent / "support")]
from checks import Checks  # noqa: E402
from ports import free_ports  # noqa: E402
from programs import Program  # noqa: E402
from recorder import Recorder  # noqa: E402

RATE = 500
AGENT_LIMIT = 12 << 20
HUB_LIMIT = 512 << 20
# One `Retry-After` of a second, the least that HTTP can say, and the request itself.
LONGEST_WAIT_S = 1.25
SETTLE_SECONDS = 90
DEVICE = "victim"

CONFIGURATION = """\
version: 0
memory: {limit}
device: {{ id: {device} }}
data_dir: {data}
sources:
  otlp: {{ grpc: "127.0.0.1:{ports[0]}", http: "127.0.0.1:{ports[1]}" }}
sampling:
  decision_wait: 2s
  memory: 512KiB
  policies:
    - {{ name: errors, type: status_code, status_code: {{ status_codes: [ERROR] }} }}
recorder: {{ memory: 1MiB }}
journal: {{ budget: 256MiB, commit_delay: 500ms }}
destinations:
  - {{ name: hub, type: hub, url: "https://{link}", ca_file: {ca}, heartbeat: 1s, max_backoff: 2s }}
  - {{ name: recorder, type: otlp, url: "{recorder}", protocol: http/protobuf }}
admin: {{ listen: "127.0.0.1:{ports[2]}" }}
"""


def get(address, path):
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def refusals(text, families):
    """reason -> count, of these families of counters together."""
    found = {}
    for line in text.splitlines():
        if line.split("{")[0] in families and 'reason="' in line:
            reason = line.split('reason="')[1].split('"')[0]
            found[reason] = found.get(reason, 0) + float(line.rsplit(" ", 1)[1])
    return {reason: count for reason, count in found.items() if count}


def spans_of(recorder):
    """Ids of the honest spans at the recording server, with how often each came."""
    found = {}
    for request in recorder.requests():
        for group in getattr(request, "resource_spans", ()):
            name = next((pair.value.string_value for pair in group.resource.attributes if pair.key == "service.name"), "")
            if name != "honest":
                continue
            for scope in group.scope_spans:
                for span in scope.spans:
                    one = (span.trace_id + span.span_id).hex()
                    found[one] = found.get(one, 0) + 1
    return found


def honest_spans_in(hub):
    """How many honest spans the hub shows, in all traces. Frames that went out again under a new epoch are stored twice; their
    spans are shown once."""
    spans, after = 0, ""
    while True:
        page = json.loads(get(hub, f"/api/v0/traces?service=honest&start=0&limit=5000{after}")[1])
        spans += sum(trace["spans"] for trace in page["traces"])
        if not page.get("next"):
            return spans
        after = f"&after={page['next']}"


def settled(agent):
    status = json.loads(get(agent.addresses["admin"], "/status")[1])
    waiting = [one for one in status["destinations"] if one["queued_records"]]
    return not sum(status["ledger"]["pending"].values()) and not waiting, status


def counters(arguments, agent, hub):
    """Where each program counts what it refuses, and under which reasons something must be."""
    agent_families = ("lightship_refused_requests_total", "lightship_rejected_records_total")
    return (
        ("agent", agent.addresses["admin"], agent_families, arguments.agent_reasons),
        ("hub", hub.addresses["http"], ("lightship_hub_refused_total",), arguments.hub_reasons),
    )


def drill(arguments, directory, checks):
    recorder = Recorder()
    hub_dir = directory / "hub"
    hub = Program(
        [arguments.hub, "run", "--data-dir", hub_dir, "--http", "127.0.0.1:0", "--link", "127.0.0.1:0",
         "--memory", str(HUB_LIMIT >> 20), *arguments.hub_option],
        hub_dir, directory / "hub.log",
    )
    config = directory / "lightship.yaml"
    ca = hub_dir / "tls" / "ca.pem"
    config.write_text(CONFIGURATION.format(
        limit="12MiB", ports=free_ports(3), device=DEVICE, data=directory / "agent", link=hub.addresses["link"], ca=ca, recorder=recorder.url
    ))
    agent = Program([arguments.agent, "run", "--config", config], directory / "agent", directory / "agent.log")
    places = {
        "otlp_grpc": agent.addresses["otlp_grpc"], "otlp_http": agent.addresses["otlp_http"],
        "admin": agent.addresses["admin"], "hub_http": hub.addresses["http"], "hub_link": hub.addresses["link"],
        "ca": str(ca), "device": DEVICE, "only": arguments.only,
    }
    ids = directory / "honest.ids"
    honest = subprocess.Popen(
        [sys.executable, str(HERE / "producer.py"), "--url", f"http://{places['otlp_http']}", "--seconds",
         str(arguments.seconds), "--rate", str(RATE), "--ids", str(ids)],
        stdout=subprocess.PIPE, text=True,
    )
    attackers = subprocess.Popen(
        [sys.executable, str(HERE / "attacks.py"), json.dumps(places), str(arguments.seconds)],
        stdout=subprocess.PIPE, text=True,
    )
    try:
        said = honest.communicate(timeout=arguments.seconds + 120)[0]
        attacked = attackers.communicate(timeout=120)[0]
    finally:
        honest.kill()
        attackers.kill()
    producer, attacks = json.loads(said), json.loads(attacked)
    # A new epoch is a new life, whose counters begin at 0: what was counted before is added.
    sampled = [refusals(get(address, "/metrics")[1], families) for _, address, families, _ in counters(arguments, agent, hub)]
    for name, answers in attacks["answers"].items():
        print(f"       {name}: {answers}")
    print(f"       honest producer: {producer}")

    for name, program in (("agent", agent), ("hub", hub)):
        checks.check(f"the {name} runs", program.child.poll() is None, f"exit code {program.child.poll()}")
    end = time.monotonic() + SETTLE_SECONDS
    while agent.child.poll() is None and not settled(agent)[0] and time.monotonic() < end:
        time.sleep(0.5)
    if agent.child.poll() is not None:
        checks.check("the agent goes on when the attacks are over", False, f"exit code {agent.child.poll()}")
        return
    whole, status = settled(agent)
    checks.check("everything taken in is delivered", whole, "" if whole else json.dumps(status["destinations"]))
    acknowledged = set(ids.read_text().split())
    arrived = spans_of(recorder)
    missing = [one for one in acknowledged if one not in arrived]
    checks.check("the honest producer was refused nothing for good", producer["not_taken"] == 0, producer["not_taken"])
    checks.check("every acknowledged span arrived", not missing, f"{len(missing)} of {len(acknowledged)} are missing")
    twice = [one for one in acknowledged if arrived.get(one, 0) > 1]
    checks.check("none arrived twice", not twice, f"{len(twice)} came more than once")
    in_hub = honest_spans_in(hub.addresses["http"])
    if in_hub != len(acknowledged):
        print(f"       the agent's ledger: {json.dumps(status['ledger']['destinations'])}")
        print(f"       its destinations: {json.dumps(status['destinations'])}")
        lost = json.loads(get(hub.addresses["http"], "/api/v0/ledger")[1])
        print(f"       the hub's ledger: {json.dumps([one for one in lost['devices'] if one['device'] == DEVICE])}")
    checks.check("the hub has every one of them once", in_hub == len(acknowledged), f"{in_hub} of {len(acknowledged)}")
    longest = producer["longest_s"]
    checks.check(f"the honest producer waited at most {LONGEST_WAIT_S} s", longest <= LONGEST_WAIT_S, f"{longest} s")
    checks.check("the books balance", status["ledger"]["difference"] == 0, status["ledger"]["difference"])
    report = {"seconds": arguments.seconds, "producer": producer, "spans": len(acknowledged), "attacks": attacks["answers"]}
    for name, program, limit in (("agent", agent, AGENT_LIMIT), ("hub", hub, HUB_LIMIT)):
        peak = program.high_water()
        report[f"{name}_peak_bytes"], report[f"{name}_limit_bytes"] = peak, limit
        checks.check(f"the {name} stayed in its memory", peak and peak <= limit, f"{(peak or 0) / 2**20:.1f} of {limit >> 20} MiB")
    for before, (name, address, families, wanted) in zip(sampled, counters(arguments, agent, hub)):
        found = before | refusals(get(address, "/metrics")[1], families)
        report[f"{name}_refused"] = found
        print(f"       {name} refused: {found}")
        absent = [reason for reason in wanted if reason not in found]
        checks.check(f"the {name} counted each kind of attack", not absent, f"nothing under {', '.join(absent)}" if absent else "")
    frames = get(hub.addresses["http"], "/metrics")[1]
    aside = [line for line in frames.splitlines() if "frames_total" in line and "quarantined" in line and not line.endswith(" 0")]
    checks.check("the hub kept frames under taken identities aside", aside or arguments.only)
    for name, address in (("agent", agent.addresses["admin"]), ("hub", hub.addresses["http"])):
        code, text = get(address, "/healthz")
        checks.check(f"the {name} is well", code == 200, text.strip()[:500])
    forged = [line for line in (directory / "hub.log").read_text().splitlines() if line.startswith("level=error forged")]
    checks.check("no line of the hub's log is forged", not forged)
    for name, program in (("agent", agent), ("hub", hub)):
        why = program.stop()
        checks.check(f"the {name} ends when it is told to", why is None, why or "")
    report["commit"] = arguments.commit
    if arguments.report:
        arguments.report.write_text(json.dumps(report, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", required=True, type=Path)
    parser.add_argument("--hub", required=True, type=Path)
    parser.add_argument("--hub-option", action="append", default=[])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--commit", default="")
    parser.add_argument("--only", help="attacks, by their names with commas between them")
    arguments = parser.parse_args()
    arguments.agent_reasons = [] if arguments.only else AGENT_REASONS
    arguments.hub_reasons = [] if arguments.only else HUB_REASONS
    for variable in [name for name in os.environ if name.startswith("OTEL_") or name.lower().endswith("_proxy")]:
        del os.environ[variable]
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="lightship-hostile-") as made:
        directory = Path(made)
        ended = False
        try:
            drill(arguments, directory, checks)
            ended = True
        finally:
            if not ended or checks.failed:
                for log in sorted(directory.glob("*.log")):
                    print(f"--- {log.name}\n{log.read_text()[-4000:]}")
    print(f"hostile: {checks.passed} passed, {checks.failed} failed")
    return 0 if checks.holds() else 1


# What the attacks must be counted under.
AGENT_REASONS = [
    "too_large", "undecodable", "malformed", "too_deep", "invalid_trace_id", "wrong_signal", "key_reused", "too_slow",
    "idle_connection", "unsupported_content_type", "unknown_path", "method_not_allowed", "host_not_allowed",
    "origin_not_allowed",
]
HUB_REASONS = [
    "too_large", "malformed", "too_deep", "invalid_trace_id", "wrong_signal", "invalid_name", "unsupported_content_type",
]

if __name__ == "__main__":
    sys.exit(main())
