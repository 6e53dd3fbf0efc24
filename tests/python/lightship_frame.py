"""A second implementation of Lightship's frames, written from docs/wire.md alone (P7).

    python3 lightship_frame.py decode FRAME    prints a frame's header and the sizes of its sections
    python3 lightship_frame.py check DIR       checks every golden vector of a directory, both ways

Only the standard library is used.
"""

import json
import struct
import sys
from pathlib import Path

from schema import ROOTS, SECTIONS, is_after, is_message
from protobuf import MASK, fields, leb, put_bytes, put_fixed32, put_fixed64, put_uint, unzigzag, zigzag
from cbor import cbor, uncbor
from columns import column, float_column, uncolumn, uncontent, unfloat_column


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
