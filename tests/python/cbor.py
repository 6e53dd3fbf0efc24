"""CBOR (RFC 8949 section 4.2.1): unsigned numbers, byte and text strings, arrays, true, false, null."""


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
