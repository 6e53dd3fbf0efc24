"""A link that can be cut: forwards TCP on loopback until it is down."""

import socket
import threading


class Link:
    """Forwards connections of a port of its own to another one. While it is down connections break and are refused."""

    def __init__(self, port):
        self.target = ("127.0.0.1", port)
        self.lock = threading.Lock()
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.bytes = 0
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
            for source, sink, counts in ((near, far, True), (far, near, False)):
                threading.Thread(target=self.copy, args=(source, sink, counts), daemon=True).start()

    def copy(self, source, sink, counts):
        try:
            while data := source.recv(65536):
                if counts:
                    self.bytes += len(data)
                sink.sendall(data)
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
