"""What the vessel says: one step of ten seconds, as OTLP/JSON, with its own time."""

STEP_S = 10
CYLINDERS = 10
RECORDS_A_STEP = 5
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


def trace_id(step):
    return f"{step + 1:032x}"


def traces(step, at_ns):
    spans = []
    for number in range(SPANS_A_TRACE):
        span = {
            "traceId": trace_id(step), "spanId": f"{step * SPANS_A_TRACE + number + 1:016x}", "name": f"part {number}",
            "kind": 1, "startTimeUnixNano": str(at_ns), "endTimeUnixNano": str(at_ns + 5_000_000),
        }
        if number:
            span["parentSpanId"] = f"{step * SPANS_A_TRACE + 1:016x}"
        spans.append(span)
    return {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": spans}]}]}
