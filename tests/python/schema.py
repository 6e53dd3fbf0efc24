"""The schema of the frames: OTLP 1.11 without profiles."""

# (number, kind, rule); kinds: s string, t 16-byte id, i 8-byte id, u varint,
# z sint, 4 fixed32, 8 fixed64, d double, A attributes, V AnyValue, ("m", table), (">", number) time after another time.
# Rules: 1 single, ? with presence, * repeated.

ENTITY_REF = [(1, "s", "1"), (2, "s", "1"), (3, "s", "*"), (4, "s", "*")]
RESOURCE = [(1, "A", "*"), (2, "u", "1"), (3, ("m", ENTITY_REF), "*")]
SCOPE = [(1, "s", "1"), (2, "s", "1"), (3, "A", "*"), (4, "u", "1")]
EVENT = [(1, "8", "1"), (2, "s", "1"), (3, "A", "*"), (4, "u", "1")]
LINK = [(1, "t", "1"), (2, "i", "1"), (3, "s", "1"), (4, "A", "*"), (5, "u", "1"), (6, "4", "1")]
STATUS = [(2, "s", "1"), (3, "u", "1")]
SPAN = [
    (1, "t", "1"), (2, "i", "1"), (3, "s", "1"), (4, "i", "1"), (5, "s", "1"), (6, "u", "1"), (7, "8", "1"),
    (8, (">", 7), "1"), (9, "A", "*"), (10, "u", "1"), (11, ("m", EVENT), "*"), (12, "u", "1"),
    (13, ("m", LINK), "*"), (14, "u", "1"), (15, ("m", STATUS), "?"), (16, "4", "1"),
]  # fmt: skip
LOG_RECORD = [
    (1, "8", "1"), (2, "u", "1"), (3, "s", "1"), (5, "V", "?"), (6, "A", "*"), (7, "u", "1"), (8, "4", "1"),
    (9, "t", "1"), (10, "i", "1"), (11, (">", 1), "1"), (12, "s", "1"),
]  # fmt: skip
EXEMPLAR = [(2, "8", "1"), (3, "d", "?"), (4, "i", "1"), (5, "t", "1"), (6, "8", "?"), (7, "A", "*")]
NUMBER_POINT = [
    (2, "8", "1"), (3, "8", "1"), (4, "d", "?"), (5, ("m", EXEMPLAR), "*"), (6, "8", "?"), (7, "A", "*"), (8, "u", "1"),
]  # fmt: skip
HISTOGRAM_POINT = [
    (2, "8", "1"), (3, "8", "1"), (4, "8", "1"), (5, "d", "?"), (6, "8", "*"), (7, "d", "*"),
    (8, ("m", EXEMPLAR), "*"), (9, "A", "*"), (10, "u", "1"), (11, "d", "?"), (12, "d", "?"),
]  # fmt: skip
BUCKETS = [(1, "z", "1"), (2, "u", "*")]
EXPONENTIAL_POINT = [
    (1, "A", "*"), (2, "8", "1"), (3, "8", "1"), (4, "8", "1"), (5, "d", "?"), (6, "z", "1"), (7, "8", "1"),
    (8, ("m", BUCKETS), "?"), (9, ("m", BUCKETS), "?"), (10, "u", "1"), (11, ("m", EXEMPLAR), "*"), (12, "d", "?"),
    (13, "d", "?"), (14, "d", "1"),
]  # fmt: skip
QUANTILE = [(1, "d", "1"), (2, "d", "1")]
SUMMARY_POINT = [
    (2, "8", "1"), (3, "8", "1"), (4, "8", "1"), (5, "d", "1"), (6, ("m", QUANTILE), "*"), (7, "A", "*"), (8, "u", "1"),
]  # fmt: skip
GAUGE = [(1, ("m", NUMBER_POINT), "*")]
SUM = [(1, ("m", NUMBER_POINT), "*"), (2, "u", "1"), (3, "u", "1")]
HISTOGRAM = [(1, ("m", HISTOGRAM_POINT), "*"), (2, "u", "1")]
EXPONENTIAL = [(1, ("m", EXPONENTIAL_POINT), "*"), (2, "u", "1")]
SUMMARY = [(1, ("m", SUMMARY_POINT), "*")]
METRIC = [
    (1, "s", "1"), (2, "s", "1"), (3, "s", "1"), (5, ("m", GAUGE), "?"), (7, ("m", SUM), "?"),
    (9, ("m", HISTOGRAM), "?"), (10, ("m", EXPONENTIAL), "?"), (11, ("m", SUMMARY), "?"), (12, "A", "*"),
]  # fmt: skip


def data(items):
    """The three levels around a signal's records: groups by resource, by scope."""
    scopes = [(1, ("m", SCOPE), "?"), (2, ("m", items), "*"), (3, "s", "1")]
    resources = [(1, ("m", RESOURCE), "?"), (2, ("m", scopes), "*"), (3, "s", "1")]
    return [(1, ("m", resources), "*")]


SERIES = [
    (1, ("m", RESOURCE), "?"), (2, ("m", SCOPE), "?"), (3, "s", "1"), (4, "s", "1"), (5, "A", "*"),
    (6, ("m", EXEMPLAR), "*"),
]  # fmt: skip
ROOTS = {1: data(SPAN), 2: data(LOG_RECORD), 3: data(METRIC), 4: [(1, ("m", SERIES), "*")]}
SECTIONS = {1: "traces", 2: "logs", 3: "metrics", 4: "exemplars"}


def is_message(kind):
    return isinstance(kind, tuple) and kind[0] == "m"


def is_after(kind):
    return isinstance(kind, tuple) and kind[0] == ">"
