"""What the hub's API says of records, beside what was sent."""

import base64
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request

from recorder import POLICY

KINDS = ["unspecified", "internal", "server", "client", "producer", "consumer"]
STATUS = ["unset", "ok", "error"]
SAFE = 2**53 - 1


class Hub:
    def __init__(self, address):
        self.address = address

    def get(self, path, **query):
        url = f"http://{self.address}/api/v0/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)


def value(any_value):
    """An attribute's value in the API's form (docs/hub-api.md)."""
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(any_value, kind)
    if kind == "int_value":
        return found if abs(found) <= SAFE else str(found)
    if kind == "double_value":
        return number(found)
    if kind == "array_value":
        return [value(item) for item in found.values]
    if kind == "kvlist_value":
        return {pair.key: value(pair.value) for pair in found.values}
    if kind == "bytes_value":
        return {"bytes": base64.b64encode(found).decode()}
    return found


def number(found):
    if math.isfinite(found):
        return found
    return "NaN" if math.isnan(found) else "Infinity" if found > 0 else "-Infinity"


def pairs(attributes):
    return [{"key": pair.key, "value": value(pair.value)} for pair in attributes]


def plain(answer):
    """The API's answer with one spelling of infinity."""
    if isinstance(answer, list):
        return [plain(item) for item in answer]
    if isinstance(answer, dict):
        return {key: plain(item) for key, item in answer.items()}
    return {"inf": "Infinity", "-inf": "-Infinity"}.get(answer, answer) if isinstance(answer, str) else answer


def expected_span(resource, scope, span):
    return {
        "span_id": span.span_id.hex(),
        "parent_id": span.parent_span_id.hex() or None,
        "name": span.name,
        "kind": KINDS[span.kind],
        "start": str(span.start_time_unix_nano),
        "end": str(span.end_time_unix_nano),
        "status": {"code": STATUS[span.status.code], "message": span.status.message},
        "attributes": pairs(span.attributes),
        "events": [
            {"time": str(event.time_unix_nano), "name": event.name, "attributes": pairs(event.attributes)}
            for event in span.events
        ],
        "links": [
            {
                "trace_id": link.trace_id.hex(),
                "span_id": link.span_id.hex(),
                "trace_state": link.trace_state,
                "attributes": pairs(link.attributes),
            }
            for link in span.links
        ],
        "scope": {"name": scope.name, "version": scope.version},
        "resource": pairs(resource.attributes),
        "trace_state": span.trace_state,
        "dropped": {
            "attributes": span.dropped_attributes_count,
            "events": span.dropped_events_count,
            "links": span.dropped_links_count,
        },
    }


def expected_log(resource, scope, record):
    expected = {
        "time": str(record.time_unix_nano),
        "observed": str(record.observed_time_unix_nano),
        "severity_number": record.severity_number,
        "severity_text": record.severity_text,
        "body": value(record.body),
        "attributes": pairs(record.attributes),
        "resource": pairs(resource.attributes),
        "scope": {"name": scope.name, "version": scope.version},
    }
    optional = {"trace_id": record.trace_id.hex(), "span_id": record.span_id.hex(), "event_name": record.event_name}
    return expected | {key: item for key, item in optional.items() if item}


def text(item):
    return json.dumps(item, sort_keys=True)


def differences(expected, found):
    """Names of the fields that differ, with both values; fields of the answer that nothing is expected of do not count."""
    return {
        key: (item, found.get(key)) for key, item in expected.items() if text(item) != text(found.get(key))
    }


def compare_traces(hub, sent):
    """Yields what differs, for each span of each trace."""
    for trace_id, spans in sent.traces.items():
        try:
            answer = plain(hub.get(f"traces/{trace_id.hex()}"))
        except urllib.error.HTTPError as error:
            yield f"trace {trace_id.hex()}: {error}"
            continue
        found = {span["span_id"]: span for span in answer["spans"]}
        for span in found.values():
            span["attributes"] = [pair for pair in span["attributes"] if pair["key"] != POLICY]
        if answer["stored_spans"] != len(spans):
            yield f"trace {trace_id.hex()}: {answer['stored_spans']} spans are stored, {len(spans)} were sent"
        for resource, scope, span in spans:
            differs = differences(expected_span(resource, scope, span), found.get(span.span_id.hex(), {}))
            if differs:
                yield f"span {span.span_id.hex()} of trace {trace_id.hex()}: {differs}"


def compare_logs(hub, sent):
    for service, records in sent.log_list.items():
        found, after = [], {}
        while True:
            answer = hub.get("logs", service=service, limit=5000, order="asc", start=0, end=time.time_ns() + 10**10, **after)
            found += plain(answer["logs"])
            if not answer.get("next"):
                break
            after = {"after": answer["next"]}
        fields = expected_log(*records[0]).keys() | {"trace_id", "span_id", "event_name"}
        left = sorted(text({key: item for key, item in record.items() if key in fields}) for record in found)
        wanted = sorted(text(expected_log(*record)) for record in records)
        if left != wanted:
            missing, extra = sorted(set(wanted) - set(left)), sorted(set(left) - set(wanted))
            yield f"logs of {service}: {len(wanted)} sent, {len(left)} found; only sent: {missing[:1]}; only found: {extra[:1]}"


def compare_metrics(hub, sent):
    """The last value, or the last count, of each series."""
    now = time.time_ns()
    for (service, name), series in sent.metrics.items():
        metric, kind, _ = next(iter(series.values()))[0]
        func = "count" if "histogram" in kind else "value"
        answer = hub.get(
            "metrics/range", name=name, func=func, start=now - 600 * 10**9, end=now + 10**10, step="1s",
            match=f"service.name={service}",
        )
        found = in_order(
            [item for item in plain(one["values"]) if item is not None][-1:] for one in answer["series"]
        )
        wanted = in_order([last(points)] for points in series.values())
        if found != wanted:
            yield f"metric {name} of {service}: the last values sent are {wanted}, the hub has {found}"
        if any(one["unit"] != metric.unit for one in answer["series"]):
            yield f"metric {name} of {service}: its unit is not {metric.unit!r}"


def in_order(values):
    return sorted(text([comparable(item) for item in value]) for value in values)


def comparable(item):
    """One form for exact numbers, whichever way the API writes them."""
    if isinstance(item, str) and item.lstrip("-").isdigit():
        return item
    if isinstance(item, (int, float)) and not isinstance(item, bool) and float(item).is_integer():
        return str(int(item))
    return item


def last(points):
    _, kind, point = max(points, key=lambda one: one[2].time_unix_nano)
    if "histogram" in kind or kind == "summary":
        return point.count
    return point.as_int if point.WhichOneof("value") == "as_int" else number(point.as_double)
