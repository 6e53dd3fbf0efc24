"""LEB128, zigzag, and protobuf fields."""

import struct

MASK = (1 << 64) - 1


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
