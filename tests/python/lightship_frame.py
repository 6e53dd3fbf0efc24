"""A second implementation of Lightship's frames, written from docs/wire.md alone (P7).

    python3 lightship_frame.py decode FRAME    prints a frame's header and the sizes of its sections
    python3 lightship_frame.py check DIR       checks every golden vector of a directory, both ways

Only the standard library is used.
"""

import json
import math
import struct
import sys
from pathlib import Path

MASK = (1 << 64) - 1

# --- The schema: OTLP 1.11 without profiles. (number, kind, rule); kinds: s string, t 16-byte id, i 8-byte id, u varint,
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


# --- LEB128, zigzag, protobuf


def leb(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def unleb(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def zigzag(value):
    value = signed(value)
    return (value << 1 ^ value >> 63) & MASK


def unzigzag(value):
    return ((value >> 1) ^ -(value & 1)) & MASK


def fields(data):
    """The (number, wire type, value) of a message's fields."""
    at = 0
    while at < len(data):
        key, at = unleb(data, at)
        wire = key & 7
        if wire == 0:
            value, at = unleb(data, at)
        elif wire == 1:
            value, at = struct.unpack_from("<Q", data, at)[0], at + 8
        elif wire == 5:
            value, at = struct.unpack_from("<I", data, at)[0], at + 4
        else:
            length, at = unleb(data, at)
            value, at = data[at : at + length], at + length
        yield key >> 3, wire, value


def put_uint(number, value):
    return leb(number << 3) + leb(value)


def put_fixed64(number, value):
    return leb(number << 3 | 1) + struct.pack("<Q", value)


def put_fixed32(number, value):
    return leb(number << 3 | 5) + struct.pack("<I", value)


def put_bytes(number, value):
    return leb(number << 3 | 2) + leb(len(value)) + value


# --- CBOR (RFC 8949 4.2.1): unsigned numbers, byte and text strings, arrays, true, false, null


class Text(bytes):
    """Bytes that are a text string."""


def cbor(value):
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, Text):
        return head(3, len(value)) + bytes(value)
    if isinstance(value, (bytes, bytearray)):
        return head(2, len(value)) + bytes(value)
    return head(4, len(value)) + b"".join(cbor(item) for item in value)


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if value < 1 << 8 * size:
            return bytes([major << 5 | code]) + value.to_bytes(size, "big")
    raise ValueError("number above 64 bits")


def uncbor(data, at=0):
    first = data[at]
    major, info, at = first >> 5, first & 31, at + 1
    if major == 7:
        return {20: False, 21: True, 22: None}[info], at
    value = info
    if info >= 24:
        size = 1 << info - 24
        value, at = int.from_bytes(data[at : at + size], "big"), at + size
    if major == 0:
        return value, at
    if major in (2, 3):
        return (Text if major == 3 else bytes)(data[at : at + value]), at + value
    items = []
    for _ in range(value):
        item, at = uncbor(data, at)
        items.append(item)
    return items, at


# --- Columns


def runs(values):
    out = []
    for value in values:
        if out and out[-1][0] == value:
            out[-1][1] += 1
        else:
            out.append([value, 1])
    return b"".join(leb(value) + leb(length) for value, length in out)


def deltas(values):
    before, out = 0, []
    for value in values:
        out.append((value - before) & MASK)
        before = value
    return out


def smallest(values):
    first = [zigzag(delta) for delta in deltas(values)]
    second = [zigzag(delta) for delta in deltas(deltas(values))]
    forms = [
        (1, b"".join(map(leb, values))),
        (2, b"".join(map(leb, first))),
        (3, runs(values)),
        (4, runs(first)),
        (5, b"".join(struct.pack("<Q", value) for value in values)),
        (6, b"".join(map(leb, second))),
    ]
    return min(forms, key=lambda form: (len(form[1]), form[0]))


def column(values):
    """An integer column, and the length of its content."""
    base = values[0] if values else 0
    if all(value == base for value in values):
        return (base or None), len(leb(base))
    form, content = smallest(values)
    quantum = math.gcd(*(abs(signed((value - base) & MASK)) for value in values))
    if 1 < quantum < 1 << 63:
        steps = []
        for value in values:
            difference = signed((value - base) & MASK)
            steps.append((abs(difference) // quantum * (1 if difference >= 0 else -1)) & MASK)
        step_form, step_content = smallest(steps)
        size = len(step_content) + len(leb(base)) + len(leb(quantum))
        if size < len(content):
            return [step_form, step_content, quantum, base], size
    return [form, content], len(content)


def uncolumn(item):
    """A generator of a column's values."""
    if item is None or isinstance(item, int):
        while True:
            yield item or 0
    form, content = item[0], item[1]
    quantum, base = (item[2], item[3]) if len(item) == 4 else (1, 0)
    for value in uncontent(form, content):
        yield (base + value * quantum) & MASK


def uncontent(form, content):
    at = before = delta = 0
    while at < len(content):
        length = 1
        if form == 5:
            value, at = struct.unpack_from("<Q", content, at)[0], at + 8
        else:
            value, at = unleb(content, at)
            if form in (3, 4):
                length, at = unleb(content, at)
        for _ in range(length):
            if form in (2, 4):
                before = (before + unzigzag(value)) & MASK
                yield before
            elif form == 6:
                delta = (delta + unzigzag(value)) & MASK
                before = (before + delta) & MASK
                yield before
            else:
                yield value


def double(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def bits_of(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def scaled(bits, places):
    value = double(bits)
    if math.isnan(value) or math.isinf(value):
        return None
    power = 10.0**places
    product = value * power
    if math.isinf(product) or abs(product) > 2.0**53 + 1:
        return None
    integer = int(math.copysign(math.floor(abs(product) + 0.5), product))
    if abs(integer) > 1 << 53 or bits_of(integer / power) != bits:
        return None
    return integer & MASK


def planes(values):
    return b"".join(bytes(value >> 8 * plane & 0xFF for value in values) for plane in range(8))


def float_column(values):
    first = values[0] if values else 0
    if all(value == first for value in values):
        return struct.pack("<Q", first) if first else None
    needs = [next((p for p in range(7) if scaled(value, p) is not None), None) for value in values]
    places = max((need for need in needs if need is not None), default=0)
    integers, rows, exceptions, before = [], [], [], 0
    for row, value in enumerate(values):
        integer = scaled(value, places)
        if integer is None:
            rows.append(row)
            exceptions.append(value)
        else:
            before = integer
        integers.append(before)
    item, size = column(integers)
    changed = before = 0
    for value in values:
        changed += sum(1 for byte in (value ^ before).to_bytes(8, "little") if byte)
        before = value
    if size + 9 * len(rows) > changed:
        return [1, planes(values)]
    if not rows:
        return [2, places, item]
    return [2, places, item, len(rows), column(rows)[0], planes(exceptions)]


def unplanes(content):
    rows = len(content) // 8
    for row in range(rows):
        yield int.from_bytes(bytes(content[plane * rows + row] for plane in range(8)), "little")


def unfloat_column(item):
    if item is None or isinstance(item, bytes):
        bits = struct.unpack("<Q", item)[0] if item else 0
        while True:
            yield bits
    if item[0] == 1:
        yield from unplanes(item[1])
        return
    exceptions = {}
    if len(item) == 6:
        rows, values = uncolumn(item[4]), unplanes(item[5])
        exceptions = {next(rows): next(values) for _ in range(item[3])}
    power = 10.0 ** item[1]
    for row, integer in enumerate(uncolumn(item[2])):
        yield exceptions.get(row, bits_of(signed(integer) / power))


# --- Dictionary


class Dictionary:
    def __init__(self):
        self.tables = {name: {} for name in ("strings", "ids16", "ids8", "blobs")}

    def position(self, table, value):
        known = self.tables[table]
        return known.setdefault(bytes(value), len(known))

    def string(self, value):
        return self.position("strings", value) + 1 if value else 0

    def blob(self, value):
        return self.position("blobs", value) + 1 if value else 0

    def id(self, value, length):
        if not value:
            return 0
        if len(value) == length:
            return 2 * self.position(f"ids{length}", value) + 1
        return 2 * self.position("blobs", value) + 2

    def table(self, name):
        entries = list(self.tables[name])
        return [len(entries), column([len(entry) for entry in entries])[0], b"".join(entries)]

    def items(self):
        return [self.table("strings"), b"".join(self.tables["ids16"]), b"".join(self.tables["ids8"]), self.table("blobs")]


class DictionaryReader:
    def __init__(self, strings, ids16, ids8, blobs):
        self.strings, self.blobs = self.entries(strings), self.entries(blobs)
        self.ids = {16: ids16, 8: ids8}

    @staticmethod
    def entries(table):
        count, lengths, content = table
        out, at, lengths = [], 0, uncolumn(lengths)
        for _ in range(count):
            length = next(lengths)
            out.append(content[at : at + length])
            at += length
        return out

    def string(self, index):
        return self.strings[index - 1] if index else b""

    def blob(self, index):
        return self.blobs[index - 1] if index else b""

    def id(self, index, length):
        if not index:
            return b""
        if index % 2 == 0:
            return self.blobs[index // 2 - 1]
        start = index // 2 * length
        return self.ids[length][start : start + length]


# --- AnyValue and attributes


def any_value(message):
    """(type, value) of an AnyValue message."""
    found = (0, None)
    for number, wire, value in fields(message):
        if (number, wire) in ((1, 2), (2, 0), (3, 0), (4, 1), (5, 2), (6, 2), (7, 2)):
            found = (number, value)
    return found


def key_value(message):
    key, value = b"", (8, None)
    for number, wire, content in fields(message):
        if (number, wire) == (1, 2):
            key = content
        elif (number, wire) == (2, 2):
            value = any_value(content)
    return key, value


def put_any(kind, value):
    if kind in (1, 5, 6, 7):
        return put_bytes(kind, value)
    if kind == 2:
        return put_uint(2, 1 if value else 0)
    if kind == 3:
        return put_uint(3, value)
    return put_fixed64(4, value) if kind == 4 else b""


def put_pair(key, kind, value):
    return (put_bytes(1, key) if key else b"") + (put_bytes(2, put_any(kind, value)) if kind != 8 else b"")


def canonical(kind, message):
    """The canonical form of an ArrayValue (5) or KeyValueList (6)."""
    out = b""
    for number, wire, entry in fields(message):
        if (number, wire) != (1, 2):
            continue
        key, (inner, value) = key_value(entry) if kind == 6 else (b"", any_value(entry))
        if inner in (5, 6):
            value = canonical(inner, value)
        out += put_bytes(1, put_pair(key, inner, value) if kind == 6 else put_any(inner, value))
    return out


class Attributes:
    def __init__(self):
        self.shapes, self.rows, self.columns = {}, [], {}

    def push(self, values, dictionary):
        shape = []
        for key, (kind, value) in values:
            slot = dictionary.string(key) * 16 + kind
            shape.append(slot)
            if kind == 1:
                value = dictionary.string(value)
            elif kind == 2:
                value = 1 if value else 0
            elif kind in (5, 6):
                value = dictionary.blob(canonical(kind, value))
            elif kind == 7:
                value = dictionary.blob(value)
            if kind not in (0, 8):
                self.columns.setdefault(slot, []).append(value)
        self.rows.append(self.shapes.setdefault(tuple(shape), len(self.shapes)))

    def item(self):
        if not any(self.shapes):
            return None
        values = [(float_column(v) if slot % 16 == 4 else column(v)[0]) for slot, v in self.columns.items()]
        return [[list(shape) for shape in self.shapes], column(self.rows)[0], values]


class AttributesReader:
    def __init__(self, item, dictionary):
        self.shapes, self.rows, self.dictionary = item[0], uncolumn(item[1]), dictionary
        slots = dict.fromkeys(slot for shape in item[0] for slot in shape if slot % 16 not in (0, 8))
        self.columns = {
            slot: (unfloat_column if slot % 16 == 4 else uncolumn)(values)
            for slot, values in zip(slots, item[2], strict=True)
        }

    def next(self):
        for slot in self.shapes[next(self.rows)]:
            kind = slot % 16
            value = next(self.columns[slot]) if slot in self.columns else None
            if kind == 1:
                value = self.dictionary.string(value)
            elif kind in (5, 6, 7):
                value = self.dictionary.blob(value)
            yield self.dictionary.string(slot // 16), kind, value


# --- Messages

WIRE = {"s": 2, "t": 2, "i": 2, "u": 0, "z": 0, "4": 5, "8": 1, "d": 1}


class Node:
    """The columns of one message type at one place of the schema."""

    def __init__(self, schema):
        self.schema = schema
        self.columns = [self.new(kind, rule) for _, kind, rule in schema]

    @staticmethod
    def new(kind, rule):
        if kind in ("A", "V"):
            return Attributes()
        return {"counts": [], "values": [], "child": None}

    def push(self, message, dictionary):
        index_of = {number: index for index, (number, _, _) in enumerate(self.schema)}
        found, repeats = {}, [0] * len(self.schema)
        for number, wire, value in fields(message):
            index = index_of.get(number)
            if index is None:
                continue
            _, kind, rule = self.schema[index]
            place = self.columns[index]
            if is_message(kind) and rule == "*" and wire == 2:
                repeats[index] += 1
                place["child"] = place["child"] or Node(kind[1])
                place["child"].push(value, dictionary)
            elif (is_message(kind) or kind in ("A", "V")) and wire == 2:
                found.setdefault(index, []).append(value)
            elif kind == "d" and rule == "*" and wire in (1, 2):
                found.setdefault(index, []).append(value if wire == 2 else struct.pack("<Q", value))
            elif kind == "s" and rule == "*" and wire == 2:
                repeats[index] += 1
                place["values"].append(dictionary.string(value))
            elif rule == "*" and wire == 2 and kind in ("8", "u"):
                numbers = (
                    [n for (n,) in struct.iter_unpack("<Q", value)] if kind == "8" else list(uncontent(1, value))
                )
                repeats[index] += len(numbers)
                place["values"] += numbers
            elif rule == "*" and wire == WIRE.get(kind):
                repeats[index] += 1
                place["values"].append(value)
            elif wire == (1 if is_after(kind) else WIRE.get(kind)):
                found[index] = unzigzag(value) if kind == "z" else value
        self.end_row(found, repeats, index_of, dictionary)

    def end_row(self, found, repeats, index_of, dictionary):
        for index, (_, kind, rule) in enumerate(self.schema):
            place, value = self.columns[index], found.get(index)
            if kind == "A":
                place.push([key_value(pair) for pair in value or []], dictionary)
            elif kind == "V":
                place.push([(b"", any_value(value[-1]))] if value else [], dictionary)
            elif is_message(kind) and rule == "*":
                place["counts"].append(repeats[index])
            elif is_message(kind):
                place["counts"].append(1 if value is not None else 0)
                if value is not None:
                    place["child"] = place["child"] or Node(kind[1])
                    place["child"].push(b"".join(value), dictionary)
            elif kind == "d" and rule == "*":
                place["values"].append(dictionary.blob(b"".join(value or [])))
            elif rule == "*":
                place["counts"].append(repeats[index])
            elif rule == "?":
                place["counts"].append(1 if value is not None else 0)
                place["values"] += [value] if value is not None else []
            elif kind == "s":
                place["values"].append(dictionary.string(value or b""))
            elif kind in ("t", "i"):
                place["values"].append(dictionary.id(value or b"", 16 if kind == "t" else 8))
            elif is_after(kind):
                place["values"].append(((value or 0) - (found.get(index_of[kind[1]]) or 0)) & MASK)
            else:
                place["values"].append(value or 0)

    def item(self):
        out = []
        for (_, kind, rule), place in zip(self.schema, self.columns, strict=True):
            if kind in ("A", "V"):
                out.append(place.item())
            elif is_message(kind):
                child = place["child"]
                out.append([column(place["counts"])[0], child.item()] if child else None)
            elif rule == "?":
                values = float_column(place["values"]) if kind == "d" else column(place["values"])[0]
                out.append([column(place["counts"])[0], values] if place["values"] else None)
            elif rule == "*" and kind != "d":
                pair = [column(place["counts"])[0], column(place["values"])[0]]
                out.append(pair if place["values"] else None)
            elif kind == "d" and rule == "1":
                out.append(float_column(place["values"]))
            else:
                out.append(column(place["values"])[0])
        return out


class NodeReader:
    def __init__(self, schema, item, dictionary):
        self.schema, self.dictionary, self.columns = schema, dictionary, []
        for (_, kind, rule), place in zip(schema, item, strict=True):
            if place is None and not (rule == "1"):
                self.columns.append(None)
            elif kind in ("A", "V"):
                self.columns.append(AttributesReader(place, dictionary))
            elif is_message(kind):
                self.columns.append((uncolumn(place[0]), NodeReader(kind[1], place[1], dictionary)))
            elif rule == "?":
                values = unfloat_column(place[1]) if kind == "d" else uncolumn(place[1])
                self.columns.append((uncolumn(place[0]), values))
            elif rule == "*" and kind != "d":
                self.columns.append((uncolumn(place[0]), uncolumn(place[1])))
            elif kind == "d" and rule == "1":
                self.columns.append(unfloat_column(place))
            else:
                self.columns.append(uncolumn(place))

    def scalar(self, number, kind, value):
        if kind == "s":
            return put_bytes(number, self.dictionary.string(value))
        if kind in ("t", "i"):
            return put_bytes(number, self.dictionary.id(value, 16 if kind == "t" else 8))
        if kind == "4":
            return put_fixed32(number, value)
        if kind == "u":
            return put_uint(number, value)
        if kind == "z":
            return put_uint(number, zigzag(value))
        return put_fixed64(number, value)

    def row(self):
        out, plain = b"", {}
        for (number, kind, rule), place in zip(self.schema, self.columns, strict=True):
            if place is None:
                continue
            if kind in ("A", "V"):
                for key, type_, value in place.next():
                    content = put_any(type_, value) if kind == "V" else put_pair(key, type_, value)
                    out += put_bytes(number, content)
            elif is_message(kind):
                for _ in range(next(place[0])):
                    out += put_bytes(number, place[1].row())
            elif rule == "?":
                if next(place[0]):
                    out += self.scalar(number, kind, next(place[1]))
            elif rule == "*" and kind == "d":
                values = self.dictionary.blob(next(place))
                out += put_bytes(number, values) if values else b""
            elif rule == "*":
                values = [next(place[1]) for _ in range(next(place[0]))]
                if kind == "s":
                    out += b"".join(put_bytes(number, self.dictionary.string(value)) for value in values)
                elif values:
                    packed = (struct.pack("<Q", v) if kind == "8" else leb(v) for v in values)
                    out += put_bytes(number, b"".join(packed))
            else:
                value = next(place)
                if is_after(kind):
                    value = (value + plain.get(kind[1], 0)) & MASK
                plain[number] = value
                out += self.scalar(number, kind, value) if value else b""
        return out


# --- Frames


def encode_body(sections):
    """A frame body of (kind, OTLP bytes) sections; a gap (kind 5) has its list of seven numbers."""
    dictionary, items = Dictionary(), []
    for kind, content in sections:
        if kind == 5:
            items.append([5, list(content)])
            continue
        node = Node(ROOTS[kind])
        node.push(content, dictionary)
        items.append([kind, node])
    items = [[kind, node if kind == 5 else node.item()] for kind, node in items]
    return [*dictionary.items(), items]


def decode_body(body):
    dictionary = DictionaryReader(*body[:4])
    return [
        (kind, item if kind == 5 else NodeReader(ROOTS[kind], item, dictionary).row()) for kind, item in body[4]
    ]


def decode_frame(frame):
    """A frame's header items and its sections."""
    items, end = uncbor(frame)
    if end != len(frame) or items[0] != 0:
        raise ValueError("not a frame of version 0")
    return items[:6], decode_body(items[6])


def encode_frame(header, sections):
    return cbor([*header, encode_body(sections)])


def check(directory):
    """Checks every NAME.frame of a directory against NAME.json, which names its sections' OTLP files."""
    failed = passed = 0
    for path in sorted(directory.glob("*.frame")):
        frame = path.read_bytes()
        described = json.loads(path.with_suffix(".json").read_text())
        sent = [(s["kind"], s["gap"] if s["kind"] == 5 else (directory / s["otlp"]).read_bytes()) for s in described]
        header, sections = decode_frame(frame)
        faults = []
        if encode_frame(header, sections) != frame:
            faults.append("decoding and encoding again gives other bytes")
        if encode_frame(header, sent) != frame:
            faults.append("encoding the OTLP gives other bytes")
        canonical_forms = [
            (s["kind"], s["gap"] if s["kind"] == 5 else (directory / s["canonical"]).read_bytes()) for s in described
        ]
        if sections != canonical_forms:
            faults.append("decoding gives other OTLP")
        print(f"{path.name}: {'; '.join(faults) or 'identical'}")
        failed, passed = failed + bool(faults), passed + (not faults)
    print(f"golden: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "check":
        return check(Path(arguments[1]))
    if len(arguments) == 2 and arguments[0] == "decode":
        header, sections = decode_frame(Path(arguments[1]).read_bytes())
        print("version, device, epoch, lane, sequence, stamp:", header)
        for kind, content in sections:
            print(SECTIONS.get(kind, "gap"), content if kind == 5 else f"{len(content)} bytes of OTLP")
        return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
