"""Servers that answer as they are told, whatever that is."""

import gzip
import socket
import struct
import threading
from concurrent import futures

OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"


def head(status, headers=(), body=b""):
    lines = [f"HTTP/1.1 {status} x", *headers, f"content-length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_request(connection):
    """One request of a connection: its path and inflated body; `None` at its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return None
        data += more
    top, body = data.split(b"\r\n\r\n", 1)
    lines = top.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    while len(body) < int(headers.get("content-length", 0)):
        more = connection.recv(65536)
        if not more:
            return None
        body += more
    if headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    return lines[0].split(" ")[1], body


class Scripted:
    """`answer(path, body)` gives the bytes of an answer, or a function that has the connection."""

    def __init__(self, answer):
        self.answer, self.requests, self.open = answer, 0, True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            while (request := read_request(connection)) is not None:
                self.requests += 1
                answer = self.answer(*request)
                if callable(answer):
                    answer(connection)
                    return
                connection.sendall(answer)
        except OSError:
            pass
        finally:
            connection.close()


def early_close(connection):
    connection.close()


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def cut_answer(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 100\r\n\r\nhalf")
    connection.close()


def slow(connection):
    """A byte of an answer every quarter of a second."""
    for byte in head(200, [f"x-pad: {'x' * 4000}"]):
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.25)


def silent(_):
    threading.Event().wait(600)


def grpc_server(code, retry_info=False):
    """A gRPC server that answers every call with this code; its port, or `None` where gRPC is not installed."""
    try:
        import grpc
        from google.rpc import error_details_pb2, status_pb2
    except ImportError:
        return None

    class Handler(grpc.GenericRpcHandler):
        def service(self, details):
            def call(_, context):
                if retry_info:
                    wait = error_details_pb2.RetryInfo()
                    wait.retry_delay.FromSeconds(1)
                    status = status_pb2.Status(code=code, message="scripted")
                    status.details.add().Pack(wait)
                    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
                context.abort(next(one for one in grpc.StatusCode if one.value[0] == code), "scripted")

            return grpc.unary_unary_rpc_method_handler(call)

    server = grpc.server(futures.ThreadPoolExecutor(2), handlers=(Handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return port, server
