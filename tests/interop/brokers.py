"""Real brokers on loopback: what a stream of NATS has, and what a subscriber of Mosquitto gets."""

import base64
import json
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
import vessel  # noqa: E402
from backends import HERE, Backend  # noqa: E402
from protobuf import fields  # noqa: E402


def parts(message, number):
    """The fields of this number that are messages or texts."""
    return [value for field, wire, value in fields(message) if (field, wire) == (number, 2)]


def log_records(request):
    """(text, time in nanoseconds) of each record of an ExportLogsServiceRequest."""
    for resource in parts(request, 1):
        for scope in parts(resource, 2):
            for record in parts(scope, 2):
                time_ns = next(value for field, _, value in fields(record) if field == 1)
                yield parts(parts(record, 5)[0], 1)[0].decode(), time_ns


class Broker(Backend):
    """`requests` gives what the broker has handed on, each an export request of log records."""

    signal = "logs"

    def whole(self, steps, at_s, hours):
        found = {}
        for request in self.requests():
            for text, _ in log_records(request):
                found[text] = found.get(text, 0) + 1
        expected = [f"record {number}" for number in range(steps * vessel.RECORDS_A_STEP)]
        missing = sum(1 for text in expected if text not in found)
        return sum(found.values()), missing, sum(found.values()) - len(found)

    def newest_s(self, at_s):
        newest = self.newest()
        return max((time_ns for _, time_ns in log_records(newest)), default=0) / 1e9 if newest else 0.0


class Nats(Broker):
    name, ready = "nats", "/healthz"
    destination = "{{ name: nats, type: nats, url: 'nats://127.0.0.1:{port}', signals: [logs], max_backoff: 2s }}"
    script, minutes = "build-nats.sh", 1
    says = "JetStream, and a stream that takes the subject; its duplicate_window tells what came twice"

    def arguments(self):
        return ["-js", "-sd", "data", "-a", "127.0.0.1", "-p", str(self.port), "-m", str(self.ports[1])]

    def wait(self):
        super().wait()
        self.socket = socket.create_connection(("127.0.0.1", self.port), 20)
        self.stream = self.socket.makefile("rwb")
        self.stream.readline()
        self.say(b'CONNECT {"verbose":false}\r\nSUB answers 1\r\n')
        made = self.ask("STREAM.CREATE.TELEMETRY", {"name": "TELEMETRY", "subjects": ["lightship.>"], "storage": "file"})
        if "error" in made:
            raise SystemExit(f"nats makes no stream: {made['error']}")

    def say(self, text):
        self.stream.write(text)
        self.stream.flush()

    def ask(self, what, message):
        body = json.dumps(message).encode()
        self.say(f"PUB $JS.API.{what} answers {len(body)}\r\n".encode() + body + b"\r\n")
        while True:
            line = self.stream.readline()
            if line.startswith(b"PING"):
                self.say(b"PONG\r\n")
            elif line.startswith(b"MSG"):
                answer = self.stream.read(int(line.split()[-1]) + 2)
                return json.loads(answer)
            elif not line:
                raise SystemExit("nats went away")

    def message(self, **which):
        found = self.ask("STREAM.MSG.GET.TELEMETRY", which)
        return base64.b64decode(found["message"]["data"]) if "message" in found else None

    def requests(self):
        state = self.ask("STREAM.INFO.TELEMETRY", {})["state"]
        return [self.message(seq=number) for number in range(state["first_seq"], state["last_seq"] + 1)]

    def newest(self):
        return self.message(last_by_subj="lightship.logs")


class Mosquitto(Broker):
    name = "mosquitto"
    destination = "{{ name: mosquitto, type: mqtt, url: 'mqtt://127.0.0.1:{port}', signals: [logs], max_backoff: 2s }}"
    script, minutes = "build-mosquitto.sh", 0
    says = "nothing; with QoS 1 it cannot tell what came twice"
    can_tell = False

    @classmethod
    def binary(cls):
        found = subprocess.run([HERE.parent / "backends" / cls.script], stdout=subprocess.PIPE, text=True, check=False)
        return Path(found.stdout.strip()) if found.returncode == 0 else None

    def version_of(self, binary):
        told = subprocess.run([binary, "-h"], stdout=subprocess.PIPE, text=True, check=False).stdout
        return told.splitlines()[0].split()[-1]

    def arguments(self):
        (self.directory / "mosquitto.conf").write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        return ["-c", "mosquitto.conf"]

    def wait(self):
        end = time.monotonic() + 60
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", self.port), 20)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit("mosquitto did not start") from None
                time.sleep(0.2)
        self.got = []
        self.socket.settimeout(None)
        # CONNECT of MQTT 3.1.1 without keep-alive, and SUBSCRIBE to everything with QoS 1 (sections 3.1 and 3.8).
        self.socket.sendall(bytes([0x10, 16, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 0, 0, 4]) + b"read")
        self.socket.sendall(bytes([0x82, 16, 0, 1, 0, 11]) + b"lightship/#" + bytes([1]))
        self.stream = self.socket.makefile("rb")
        for kind in (0x20, 0x90):
            if (found := self.packet()) is None or found[0] != kind:
                raise SystemExit(f"mosquitto lets no subscriber in: {found}")
        threading.Thread(target=self.listen, daemon=True).start()

    def packet(self):
        """(first byte, rest) of the next packet (section 2.2); `None` at the end."""
        first = self.stream.read(1)
        length = shift = 0
        while first and (byte := self.stream.read(1)):
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                return first[0], self.stream.read(length)
        return None

    def listen(self):
        while found := self.packet():
            first, rest = found
            if first & 0xF0 == 0x30:
                (topic,) = struct.unpack_from(">H", rest)
                self.socket.sendall(bytes([0x40, 2]) + rest[2 + topic : 4 + topic])
                self.got.append(rest[4 + topic :])

    def requests(self):
        return list(self.got)

    def newest(self):
        return self.got[-1] if self.got else None


ALL = (Nats, Mosquitto)
