"""The link in a second language, for attacks: messages, frames and blocks as docs/link.md and docs/wire.md have them."""

import http.client
import ssl
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
from cbor import Text, cbor, uncbor  # noqa: E402
from lightship_frame import encode_frame  # noqa: E402

LOGS, METRICS = 3, 4


def castagnoli():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 if byte & 1 else byte >> 1
        table.append(byte)
    return table


TABLE = castagnoli()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def stamp():
    return [bytes(16), time.monotonic_ns(), time.time_ns(), True]


def text(value):
    return Text(value.encode() if isinstance(value, str) else value)


def frame(device, epoch, lane, sequence, sections):
    return encode_frame([0, text(device), struct.pack("<Q", epoch), lane, sequence, stamp()], sections)


def block(epoch, lane, first, frames):
    content = b"".join(struct.pack("<I", len(one)) + one for one in frames)
    head = b"LSBK" + bytes([0, 0, lane, 0]) + struct.pack("<QQIII", epoch, first, len(frames), len(content), len(content))
    return head + struct.pack("<I", crc32c(head + content)) + content


def hello(device, epoch, lanes):
    heads = [[lane, following, 1, time.time_ns()] for lane, following in lanes]
    return cbor([text(device), epoch, stamp(), heads, text("hostile")])


class Link:
    def __init__(self, address, ca_file):
        self.address, self.context = address, ssl.create_default_context(cafile=ca_file)

    def post(self, what, body):
        """The status and the answer's items."""
        connection = http.client.HTTPSConnection(self.address, timeout=10, context=self.context)
        try:
            connection.request("POST", f"/link/v0/{what}", body, {"content-type": "application/cbor"})
            answer = connection.getresponse()
            read = answer.read()
            return answer.status, uncbor(read)[0] if answer.status == 200 else read
        finally:
            connection.close()
