"""The honest producer: traces of five spans, one of them failed, at a steady rate over OTLP/HTTP. What it is told to send
again it sends again. Prints one JSON line at its end: what was acknowledged, and how long the slowest request waited.

    python3 producer.py --url URL --seconds S --rate SPANS_A_SECOND --ids FILE
"""

import argparse
import http.client
import json
import os
import time
import urllib.parse

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SERVICE = "honest"
SPANS = 50
GIVE_UP_SECONDS = 60


def request(number):
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add()
    pair = group.resource.attributes.add(key="service.name")
    pair.value.string_value = SERVICE
    scope = group.scope_spans.add()
    ids, now = [], time.time_ns()
    for trace in range(SPANS // 5):
        trace_id = os.urandom(16)
        for place in range(5):
            span = scope.spans.add(trace_id=trace_id, span_id=os.urandom(8), name=f"step {place}", kind=2)
            span.start_time_unix_nano, span.end_time_unix_nano = now, now + 1_000_000 * (place + 1)
            span.status.code = 2 if place == 0 else 0
            attribute = span.attributes.add(key="request.number")
            attribute.value.int_value = number
            ids.append((trace_id + span.span_id).hex())
    return message.SerializeToString(), ids


class Connection:
    def __init__(self, url):
        self.host, self.open = urllib.parse.urlsplit(url).netloc, None

    def post(self, body, key):
        """The status and how long to wait; 0 when there was no answer."""
        try:
            self.open = self.open or http.client.HTTPConnection(self.host, timeout=20)
            headers = {"content-type": "application/x-protobuf", "idempotency-key": key}
            self.open.request("POST", "/v1/traces", body, headers)
            answer = self.open.getresponse()
            answer.read()
            return answer.status, float(answer.getheader("retry-after", "0.1"))
        except (OSError, http.client.HTTPException):
            self.open.close()
            self.open = None
            return 0, 0.05


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--ids", required=True)
    options = parser.parse_args()
    connection, waits, refused, lost = Connection(options.url), [], {}, 0
    begin = time.monotonic()
    with open(options.ids, "w") as acknowledged:
        for number in range(int(options.seconds * options.rate / SPANS)):
            due = begin + number * SPANS / options.rate
            time.sleep(max(0, due - time.monotonic()))
            body, ids = request(number)
            first, key = time.monotonic(), f"honest-{number}-{os.getpid()}"
            while True:
                status, again = connection.post(body, key)
                waited = time.monotonic() - first
                if status == 200:
                    acknowledged.write("".join(f"{one}\n" for one in ids))
                    waits.append(waited)
                    break
                refused[status] = refused.get(status, 0) + 1
                if status not in (0, 429, 502, 503, 504) or waited > GIVE_UP_SECONDS:
                    lost += len(ids)
                    break
                time.sleep(min(again, 1.0))
    waits.sort()
    report = {
        "requests": len(waits),
        "not_taken": lost,
        "told_to_wait": refused,
        "median_s": round(waits[len(waits) // 2], 4) if waits else None,
        "p99_s": round(waits[len(waits) * 99 // 100], 4) if waits else None,
        "longest_s": round(waits[-1], 4) if waits else None,
    }
    print(json.dumps(report), flush=True)


main()
