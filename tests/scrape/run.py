"""The same targets are scraped by lightship, which sends them to a Prometheus by remote write, and by a Prometheus itself: the
Python client library with every kind of metric, as text and as OpenMetrics, and Debian's node exporter where it is there. Both
must have the same series, labels and values, and the same of them after a target died.

    python3 run.py --agent PATH --prometheus PATH [--node-exporter PATH]

Needs the packages of requirements.txt. Prints one line per check and `scrape: N passed, N failed`; exits 0 when all passed.
"""

import argparse
import atexit
import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "support"))
from ports import free_ports  # noqa: E402
from programs import Program  # noqa: E402

# What serves every kind of metric, with values that do not change.
TARGET = '''
import sys
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary, start_http_server
from prometheus_client.core import GaugeHistogramMetricFamily, HistogramMetricFamily, SummaryMetricFamily, UnknownMetricFamily

registry = CollectorRegistry()
counter = Counter("requests", "Requests, \\\\ and \\n all.", ["path"], registry=registry)
counter.labels("/a\\"b\\\\c\\nd").inc(5)
counter.labels("/\\u00e9").inc(1.5, {"trace_id": "0af7651916cd43dd8448eb211c80319c"})
gauge = Gauge("temperature_celsius", "A gauge.", ["room"], unit="celsius", registry=registry)
for room, value in (("a", -1.25), ("b", float("nan")), ("c", float("inf"))):
    gauge.labels(room).set(value)
histogram = Histogram("latency_seconds", "A histogram.", ["code"], buckets=(0.005, 0.5, 1, 1e6), registry=registry)
for code in ("200", "500"):
    for value in (0.001, 0.3, 0.7, 5, 5e7):
        histogram.labels(code).observe(value)
summary = Summary("size_bytes", "A summary.", registry=registry)
summary.observe(12)
Info("build", "An info.", registry=registry).info({"version": "1", "tag": "x"})
Enum("state", "A state set.", states=["on", "off"], registry=registry).state("off")


class Rare:
    def collect(self):
        yield SummaryMetricFamily("rpc_seconds", "Quantiles.", count_value=7, sum_value=3.5)
        family = GaugeHistogramMetricFamily("queue", "A gauge histogram.", labels=["q"])
        family.add_metric(["x"], [("1.0", 3), ("+Inf", 5)], 12)
        yield family
        family = UnknownMetricFamily("odd", "Of no type.", labels=["job", "instance"])
        family.add_metric(["mine", "here"], 3)
        yield family
        family = HistogramMetricFamily("no_sum", "Without a sum.")
        family.add_metric([], [("1.0", 3), ("+Inf", 5)], None)
        yield family


registry.register(Rare())
server, thread = start_http_server(int(sys.argv[1]), "127.0.0.1", registry)
thread.join()
'''

INTERVAL = 2
JOBS = """\
  global: {{ scrape_interval: {interval}s, scrape_timeout: 1s }}
  scrape_configs:
    - job_name: kinds
      static_configs: [{{ targets: ["127.0.0.1:{kinds}"], labels: {{ site: hull }} }}]
      metric_relabel_configs:
        - {{ source_labels: [__name__], regex: ".+_created", action: drop }}
    - job_name: text
      scrape_protocols: [ PrometheusText0.0.4 ]
      honor_labels: true
      static_configs: [{{ targets: ["127.0.0.1:{kinds}"] }}]
      relabel_configs:
        - {{ source_labels: [__address__], regex: "(.*):.*", target_label: host, replacement: "${{1}}" }}
        - {{ source_labels: [__address__], modulus: 1000, target_label: shard, action: hashmod }}
      metric_relabel_configs:
        - {{ source_labels: [le], regex: "1.0", action: drop }}
        - {{ source_labels: [__name__], regex: "size_(.*)", target_label: __name__, replacement: "length_${{1}}" }}
        - {{ regex: tag, action: labeldrop }}
    - job_name: node
      static_configs: [{{ targets: ["127.0.0.1:{node}"] }}]
    - job_name: dead
      static_configs: [{{ targets: ["127.0.0.1:{dead}"] }}]
"""

AGENT = """\
version: 0
device: {{ id: scrape-1 }}
data_dir: {data}
sources:
 prometheus:
{jobs}
journal: {{ commit_delay: 200ms }}
destinations:
  - {{ name: store, type: prometheus, url: "http://127.0.0.1:{store}" }}
admin: {{ listen: "127.0.0.1:0" }}
"""

passed = failed = 0


def check(name, fault):
    global passed, failed
    if fault:
        failed += 1
        print(f"FAILED  {name}: {fault}")
    else:
        passed += 1
        print(f"passed  {name}")


def start(command, log):
    child = subprocess.Popen([str(word) for word in command], stdout=open(log, "w"), stderr=subprocess.STDOUT)
    atexit.register(child.kill)
    return child


def series(port, job):
    """What a Prometheus has of a job now: labels as text, and the value."""
    query = urllib.parse.urlencode({"query": '{job="%s"}' % job})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=5) as answer:
        found = json.load(answer)["data"]["result"]
    return {json.dumps(one["metric"], sort_keys=True): one["value"][1] for one in found}


def name_of(key):
    return json.loads(key)["__name__"]


def both(scraper, store, job, ready):
    """What both have, once both are ready, and the names that only the scrape through lightship adds are left out."""
    end = time.monotonic() + 40
    while True:
        try:
            one, other = series(scraper, job), series(store, job)
            one = {key: value for key, value in one.items()}
            other = {key: value for key, value in other.items() if name_of(key) != "target_info"}
            if (ready(one) and ready(other)) or time.monotonic() > end:
                return one, other
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.5)


def difference(one, other, values):
    missing, more = sorted(one.keys() - other.keys()), sorted(other.keys() - one.keys())
    wrong = [key for key in one.keys() & other.keys() if values(name_of(key)) and one[key] != other[key]]
    if missing or more or wrong:
        shown = [f"{key}: {one[key]} and {other[key]}" for key in wrong[:5]]
        return f"{len(missing)} missing {missing[:5]}, {len(more)} too many {more[:5]}, {len(wrong)} differ {shown}"
    return None


def is_own(name):
    return name in ("up", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--agent", required=True)
    parser.add_argument("--prometheus", required=True)
    parser.add_argument("--node-exporter")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="lightship-scrape-"))
    kinds, node, dead, scraper, store = free_ports(5)
    target = start([sys.executable, "-c", TARGET, kinds], directory / "target.log")
    exporter = None
    if options.node_exporter:
        command = [options.node_exporter, f"--web.listen-address=127.0.0.1:{node}"]
        exporter = start(command, directory / "node.log")
    jobs = JOBS.format(interval=INTERVAL, kinds=kinds, node=node, dead=dead)
    for name, port, text in (("scraper", scraper, "\n".join(line[2:] for line in jobs.split("\n"))), ("store", store, "")):
        (directory / name).mkdir()
        (directory / f"{name}.yml").write_text(text)
        command = [options.prometheus, f"--config.file={directory}/{name}.yml", f"--storage.tsdb.path={directory}/{name}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--web.enable-remote-write-receiver"]
        start(command, directory / f"{name}.log")
    config = directory / "lightship.yaml"
    config.write_text(AGENT.format(data=directory / "agent", jobs=jobs, store=store))
    agent = Program([options.agent, "run", "--config", config], directory / "agent", directory / "agent.log")

    def full(found):
        return sum(not is_own(name_of(key)) for key in found) > 8

    one, other = both(scraper, store, "kinds", full)
    check(f"OpenMetrics: {len(one)} series, labels and values", difference(one, other, lambda name: not name.startswith("scrape_") or is_own(name)))
    one, other = both(scraper, store, "text", full)
    check(f"text, relabelled: {len(one)} series, labels and values", difference(one, other, lambda name: not name.startswith("scrape_") or is_own(name)))
    if exporter:
        one, other = both(scraper, store, "node", full)
        steady = ("node_uname_info", "node_memory_MemTotal_bytes", "node_boot_time_seconds", "node_cpu_info", "node_time_zone_offset_seconds")
        check(f"node exporter: {len(one)} series and labels", difference(one, other, lambda name: name in steady or name == "up"))
    one, other = both(scraper, store, "dead", lambda found: found)
    check("a target that is not there", difference(one, other, is_own))
    for child in filter(None, (target, exporter)):
        child.kill()
    for job in ("kinds", "text") + (("node",) if exporter else ()):
        one, other = both(scraper, store, job, lambda found: all(name_of(key) == "up" or name_of(key).startswith("scrape_") for key in found))
        check(f"{job} after its target died: {len(one)} series", difference(one, other, is_own))
    status = json.loads(urllib.request.urlopen(f"http://{agent.addresses['admin']}/status").read())
    told = json.dumps(status["sources"])
    check("status tells what is wrong in words", None if "Connection refused" in told or "cannot reach" in told else told)
    check("the agent ends by itself", agent.stop())
    print(f"scrape: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
