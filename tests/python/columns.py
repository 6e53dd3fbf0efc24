"""Columns of integers and of doubles."""

import math
import struct

from protobuf import MASK, leb, signed, unleb, unzigzag, zigzag


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
