"""A link that can be cut: forwards TCP on loopback until it is down."""

import socket
import threading
import time


class Link:
    """Forwards connections of a port of its own to another one. While it is down connections break and are refused."""

    def __init__(self, port, bytes_per_s=None):
        self.target = ("127.0.0.1", port)
        self.bytes_per_s = bytes_per_s
        self.lock = threading.Lock()
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        # What went towards the server, and what of it went before an answer came.
        self.bytes = self.answered_bytes = 0
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self.target, timeout=5)
                far.settimeout(None)
            except OSError:
                if listener is not self.listener:
                    return
                continue
            with self.lock:
                if listener is not self.listener:
                    near.close()
                    far.close()
                    return
                self.open |= {near, far}
            unanswered = [0]
            for source, sink, is_out in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.copy, args=(source, sink, is_out, unanswered), daemon=True).start()

    def copy(self, source, sink, is_out, unanswered):
        try:
            while data := source.recv(4096 if self.bytes_per_s else 65536):
                if self.bytes_per_s:
                    time.sleep(len(data) / self.bytes_per_s)
                if is_out:
                    self.bytes += len(data)
                    unanswered[0] += len(data)
                sink.sendall(data)
                if not is_out:
                    self.answered_bytes += unanswered[0]
                    unanswered[0] = 0
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()
            with self.lock:
                self.open.discard(one)

    def cut(self):
        with self.lock:
            listener, self.listener = self.listener, None
            connections, self.open = self.open, set()
        for one in (listener, *connections):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def restore(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()
