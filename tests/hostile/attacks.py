"""Attacks on the agent and the hub, each in a thread of its own until the end. Every one is bounded in what it opens and how
fast it goes, stays on the loopback interface, and counts what it was answered.

    python3 attacks.py PLACES_JSON SECONDS        prints one JSON line: attack -> answer -> how often
"""

import gzip
import http.client
import json
import os
import random
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import zlib
from collections import Counter

import link
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
# Sockets that one attack holds at once.
SILENT = 80


class Attack:
    """What one attack needs: where to, until when, and a place to count answers."""

    def __init__(self, places, until, answers):
        self.places, self.until, self.answers = places, until, answers

    def over(self):
        return time.monotonic() >= self.until

    def post(self, url, body, headers=PROTOBUF, path="/v1/traces", method="POST"):
        split = urllib.parse.urlsplit(url)
        try:
            connection = http.client.HTTPConnection(split.netloc, timeout=5)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            self.answers[str(answer.status)] += 1
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            self.answers[type(error).__name__] += 1

    def socket(self, address):
        host, port = address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=5)


def both(attack):
    """The addresses that take OTLP over HTTP."""
    return [f"http://{attack.places['otlp_http']}", f"http://{attack.places['hub_http']}"]


def silent_connections(attack):
    """Sockets that say nothing: on every port, some after a TLS handshake, some after the first bytes of a request."""
    held = []
    ports = ["otlp_grpc", "otlp_http", "admin", "hub_http", "hub_link"]
    while not attack.over():
        try:
            port = random.choice(ports)
            one = attack.socket(attack.places[port])
            kind = random.randrange(3)
            if port == "hub_link" and kind:
                context = ssl.create_default_context(cafile=attack.places["ca"])
                one = context.wrap_socket(one, server_hostname="127.0.0.1")
            elif kind == 1:
                one.sendall(b"POST /v1/traces HTTP/1.1\r\nhost: x\r\n")
            elif kind == 2 and port == "otlp_grpc":
                one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
            held.append(one)
            attack.answers["opened"] += 1
        except OSError as error:
            attack.answers[type(error).__name__] += 1
        if len(held) > SILENT:
            held.pop(random.randrange(len(held))).close()
        time.sleep(0.05)


def bodies_that_do_not_come(attack):
    """Heads of large bodies, then nothing, or a byte now and then."""
    held = []
    while not attack.over():
        for place in ("otlp_http", "hub_http"):
            try:
                one = attack.socket(attack.places[place])
                one.sendall(
                    b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"
                    b"content-length: 250000\r\n\r\n\n"
                )
                held.append(one)
                attack.answers["sent head"] += 1
            except OSError as error:
                attack.answers[type(error).__name__] += 1
        for one in held[:]:
            try:
                one.sendall(b"\0")
            except OSError:
                attack.answers["closed by the server"] += 1
                held.remove(one)
        if len(held) > SILENT:
            held.pop(0).close()
        time.sleep(0.3)


def early_answers(attack):
    """Large bodies to requests that are answered from their head."""
    body = bytes(3_000_000)
    while not attack.over():
        for url in both(attack):
            attack.post(url, body, PROTOBUF, "/v2/traces")
            attack.post(url, body, {"content-type": "text/plain"})
        time.sleep(1.0)


def bombs(attack):
    """Few bytes that inflate to many."""
    zeros = bytes(128 << 20)
    bodies = {"gzip": gzip.compress(zeros, 9), "deflate": zlib.compress(zeros, 9)}
    bodies["x-gzip"] = gzip.compress(bodies["gzip"], 9)
    del zeros
    while not attack.over():
        for url in both(attack):
            for encoding, body in bodies.items():
                attack.post(url, body, PROTOBUF | {"content-encoding": encoding})
        time.sleep(0.5)


def spans(count, **fields):
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    for _ in range(count):
        fields_now = {"trace_id": os.urandom(16), "span_id": os.urandom(8), "name": "x"} | fields
        scope.spans.add(**fields_now)
    return message


def nesting(attack):
    """Values that go down and down, in protobuf and in JSON."""
    message = spans(1)
    value = message.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep").value
    for _ in range(60):
        value = value.kvlist_value.values.add(key="k").value
    body = message.SerializeToString()

    def field(number, content):
        length, out = len(content), b""
        while length > 127:
            out, length = out + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + out + bytes([length]) + content

    deep = b""
    for _ in range(5000):
        deep = field(5, field(1, deep))
    far = field(1, field(2, field(2, field(1, b"\1" * 16) + field(2, b"\2" * 8) + field(9, field(1, b"k") + field(2, deep)))))
    text = b'{"resourceSpans":' + b'[{"a":' * 50_000 + b"1" + b"}]" * 50_000 + b"}"
    while not attack.over():
        for url in both(attack):
            attack.post(url, body)
            attack.post(url, far)
            attack.post(url, text, JSON)
        time.sleep(0.5)


def counts(attack):
    """As many records as fit: spans without anything, empty points of exponential histograms, empty resources. Twice 100,000 of
    each, then a tenth of that every few seconds: what an honest device could never send, and a hub can still store."""

    def bodies(count):
        empty_spans = spans(0)
        scope = empty_spans.resource_spans[0].scope_spans[0]
        points = ExportMetricsServiceRequest()
        metric = points.resource_metrics.add().scope_metrics.add().metrics.add(name="empty")
        groups = ExportLogsServiceRequest()
        for _ in range(count):
            scope.spans.add()
            metric.exponential_histogram.data_points.add()
            groups.resource_logs.add()
        return [(path, body.SerializeToString()) for path, body in zip(PATHS, (empty_spans, groups, points))]

    for count in (100_000, 100_000):
        post_all(attack, bodies(count))
    few = bodies(10_000)
    while not attack.over():
        time.sleep(5.0)
        post_all(attack, few)


PATHS = ("/v1/traces", "/v1/logs", "/v1/metrics")


def post_all(attack, bodies):
    for url in both(attack):
        for path, body in bodies:
            attack.post(url, body, PROTOBUF, path)
            attack.post(url, gzip.compress(body), PROTOBUF | {"content-encoding": "gzip"}, path)


def names(attack):
    """New services, operations and metrics with every request, in bytes that are no text."""
    number = 0
    while not attack.over():
        message = ExportTraceServiceRequest()
        for _ in range(50):
            number += 1
            group = message.resource_spans.add()
            group.resource.attributes.add(key="service.name").value.string_value = f"service-{number}"
            group.scope_spans.add().spans.add(trace_id=os.urandom(16), span_id=os.urandom(8), name=f"operation-{number}")
        for url in both(attack):
            attack.post(url, message.SerializeToString().replace(b"operation", b"op\xff\xferation"[:9]))
        metrics = ExportMetricsServiceRequest()
        scope = metrics.resource_metrics.add().scope_metrics.add()
        for _ in range(50):
            number += 1
            scope.metrics.add(name=f"metric-{number}").gauge.data_points.add(as_int=1, time_unix_nano=time.time_ns())
        for url in both(attack):
            attack.post(url, metrics.SerializeToString(), PROTOBUF, "/v1/metrics")
        time.sleep(0.2)


def wrong_requests(attack):
    """Ids of the wrong length, another signal, keys used again, lanes that a producer may not choose, bytes at random."""
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=time.time_ns())
    record.attributes.add(key="lightship.lane").value.string_value = "mission"
    record.body.string_value = "x" * 1000
    metrics = ExportMetricsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="m").gauge.data_points.add(as_int=1)
    while not attack.over():
        for url in both(attack):
            attack.post(url, spans(2, trace_id=bytes(16)).SerializeToString())
            attack.post(url, spans(2, trace_id=b"short").SerializeToString())
            attack.post(url, metrics.SerializeToString())
            attack.post(url, spans(1).SerializeToString(), PROTOBUF | {"idempotency-key": "the same"})
            attack.post(url, logs.SerializeToString(), PROTOBUF, "/v1/logs")
            attack.post(url, random.randbytes(500))
            attack.post(url, random.randbytes(500), PROTOBUF | {"content-encoding": "gzip"})
            attack.post(url, b"", PROTOBUF, method="DELETE")
            attack.post(url, spans(1).SerializeToString(), {"content-type": "application/xml"})
        time.sleep(0.2)


def web_pages(attack):
    """What a page in somebody's browser can send to an address on this machine."""
    cross = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "content-type": "text/plain"}
    while not attack.over():
        admin = f"http://{attack.places['admin']}"
        attack.post(admin, b"", cross, "/sampling/incident?for=1h")
        attack.post(admin, b"", cross, "/sampling/keep-route?route=*&for=1h")
        attack.post(admin, b"", {"host": "evil.example"}, "/status", method="GET")
        time.sleep(0.5)


def linked(attack, number, body, what):
    one = link.Link(attack.places["hub_link"], attack.places["ca"])
    try:
        status, answer = one.post(what, body)
        attack.answers[f"{number} {status}"] += 1
        return status, answer
    except (OSError, http.client.HTTPException) as error:
        attack.answers[f"{number} {type(error).__name__}"] += 1
        return 0, None


def device_names(attack):
    """Devices that nobody has: many, long, with line ends."""
    number = 0
    while not attack.over():
        number += 1
        for name in (f"ghost-{number}", f"ghost-{number}\nlevel=error forged", "g" * 60_000, ""):
            linked(attack, "hello", link.hello(name, number, [(link.LOGS, 1)]), "hello")
        time.sleep(0.1)


def gaps_and_frames(attack):
    """Blocks of gap records, a sequence at the end of all numbers, a frame in the name of another device."""
    sequence = 1
    while not attack.over():
        frames, first = [], sequence
        for _ in range(100):
            gap = [link.LOGS, sequence, sequence, 0, 1, 1, 2]
            frames.append(link.frame("gapper", 7, link.LOGS, sequence, [(5, gap)]))
            sequence += 1
        linked(attack, "gaps", link.block(7, link.LOGS, first, frames), "blocks")
        far = 2**64 - 2
        linked(attack, "far", link.block(9, link.LOGS, far, [link.frame("otlp", 9, link.LOGS, far, [])]), "blocks")
        log = ExportLogsServiceRequest()
        log.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1)
        stolen = link.frame("gapper", 7, link.LOGS, 1, [(2, log.SerializeToString())])
        linked(attack, "other content", link.block(7, link.LOGS, 1, [stolen]), "blocks")
        linked(attack, "junk", random.randbytes(2000), "blocks")
        time.sleep(0.5)


def clone(attack):
    """Another device under the victim's name and epoch, ahead of it in its lanes (traces): its frames take the identities."""
    taken = 0
    while not attack.over():
        time.sleep(3.0)
        try:
            with_hub = http.client.HTTPConnection(attack.places["hub_http"], timeout=5)
            with_hub.request("GET", "/api/v0/devices")
            devices = json.load(with_hub.getresponse())["devices"]
        except (OSError, ValueError, http.client.HTTPException) as error:
            attack.answers[type(error).__name__] += 1
            continue
        victims = [one for one in devices if one["device"] == attack.places["device"]]
        if not victims or taken >= 3:
            continue
        victim = victims[0]
        lanes = {one["lane"]: one for one in victim["lanes"]}
        if "traces" not in lanes:
            continue
        epoch, following = int(victim["epoch"], 16), int(lanes["traces"]["next_expected"]) + 1
        body = spans(1, name="not of this device").SerializeToString()
        stolen = link.frame(attack.places["device"], epoch, 2, following, [(1, body)])
        linked(attack, "clone", link.block(epoch, 2, following, [stolen]), "blocks")
        taken += 1


def queries(attack):
    """Answers as large and slow as can be asked for, by clients that do not wait for them."""
    end = time.time_ns()
    start = end - 24 * 3600 * 10**9
    paths = [
        f"/api/v0/metrics/range?name=traces.span.metrics.calls&func=rate&start={start}&end={end}&step=8s",
        f"/api/v0/logs?q=body~%22(a*)*b%22&limit=10000&start={start}&end={end}",
        f"/api/v0/traces?limit=10000&start={start}&end={end}",
        f"/api/v0/traces?q=%7C+stats+count+by+name,service,trace&start={start}&end={end}",
        "/api/v0/coverage?start=0",
        "/api/v0/metrics/range?name=x&step=1ns",
    ]
    while not attack.over():
        for path in paths:
            try:
                one = attack.socket(attack.places["hub_http"])
                one.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
                if random.random() < 0.3:
                    attack.answers[one.recv(12).decode("latin-1")[9:12]] += 1
                else:
                    attack.answers["left"] += 1
                one.close()
            except OSError as error:
                attack.answers[type(error).__name__] += 1
        time.sleep(0.2)


ATTACKS = [
    silent_connections, bodies_that_do_not_come, early_answers, bombs, nesting, counts, names, wrong_requests, web_pages,
    device_names, gaps_and_frames, clone, queries,
]


def main():
    places, seconds = json.loads(sys.argv[1]), float(sys.argv[2])
    wanted = [one for one in ATTACKS if not places.get("only") or one.__name__ in places["only"]]
    until, answers, threads = time.monotonic() + seconds, {}, []
    for one in wanted:
        answers[one.__name__] = Counter()
        threads.append(threading.Thread(target=one, args=(Attack(places, until, answers[one.__name__]),), daemon=True))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, until - time.monotonic()) + 20)
    late = [one.__name__ for one, thread in zip(wanted, threads) if thread.is_alive()]
    print(json.dumps({"answers": answers, "died": late}), flush=True)
    # Sockets that an attack still holds must not keep the process.
    os._exit(0)


main()
