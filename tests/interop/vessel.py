"""What the vessel says: one step of ten seconds, as OTLP/JSON, with its own time."""

STEP_S = 10
CYLINDERS = 100
RECORDS_A_STEP = 50
TRACES_A_STEP = 10
SPANS_A_TRACE = 3
NAME = "engine"

RESOURCE = {
    "attributes": [
        {"key": "service.name", "value": {"stringValue": NAME}},
        {"key": "service.instance.id", "value": {"stringValue": "vessel-1"}},
        {"key": "ship.class", "value": {"stringValue": "ferry"}},
    ]
}


def cylinder(number):
    return [{"key": "cylinder", "value": {"stringValue": str(number)}}]


def metrics(step, at_ns, began_ns):
    point = {"timeUnixNano": str(at_ns)}
    since = {"startTimeUnixNano": str(began_ns), **point}
    temperature = [
        {**point, "asDouble": 80 + (step * 7 + number) % 25 + 0.25, "attributes": cylinder(number)}
        for number in range(CYLINDERS)
    ]
    revolutions = [
        {**since, "asInt": str(100 * step + number), "attributes": cylinder(number)} for number in range(CYLINDERS)
    ]
    load = {
        **since, "count": str(step + 1), "sum": float(step + 1), "scale": 3, "zeroCount": "0",
        "positive": {"offset": 0, "bucketCounts": [str(step + 1)]},
    }
    return {"resourceMetrics": [{"resource": RESOURCE, "scopeMetrics": [{"metrics": [
        {"name": "engine.temperature", "unit": "Cel", "gauge": {"dataPoints": temperature}},
        {"name": "engine.revolutions", "sum": {
            "aggregationTemporality": 2, "isMonotonic": True, "dataPoints": revolutions}},
        {"name": "engine.load", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [load]}},
    ]}]}]}


def logs(step, at_ns):
    records = [
        {
            "timeUnixNano": str(at_ns + number), "severityNumber": 9, "severityText": "INFO",
            "body": {"stringValue": f"record {step * RECORDS_A_STEP + number}"},
            "attributes": [{"key": "sequence", "value": {"intValue": str(step * RECORDS_A_STEP + number)}}],
        }
        for number in range(RECORDS_A_STEP)
    ]
    return {"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"logRecords": records}]}]}


def span_ids(step):
    """(trace, span) of every span of a step, as hexadecimal text; the first of each trace is its root."""
    traces = range(step * TRACES_A_STEP, (step + 1) * TRACES_A_STEP)
    spans = range(SPANS_A_TRACE)
    return [(f"{trace + 1:032x}", f"{trace * SPANS_A_TRACE + span + 1:016x}") for trace in traces for span in spans]


def traces(step, at_ns):
    spans = []
    for place, (trace, one) in enumerate(span_ids(step)):
        number = place % SPANS_A_TRACE
        span = {
            "traceId": trace, "spanId": one, "name": f"part {number}", "kind": 1,
            "startTimeUnixNano": str(at_ns + place), "endTimeUnixNano": str(at_ns + place + 5_000_000),
        }
        if number:
            span["parentSpanId"] = root
        else:
            root = one
        spans.append(span)
    return {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": spans}]}]}
