"""lucipy's emulated LUCIDAC behind a loopback port, in a thread; and a wire that answers as told."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lucipy.simulator import Emulation

from equipoise.drivers.transport import Transport


@contextmanager
def emulated() -> Iterator[str]:
    """``HOST:PORT`` of an emulated LUCIDAC; every connection reaches the same one."""
    emulation = Emulation()

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True  # else each answer waits for an acknowledgement, 40 ms

        def handle(self) -> None:
            for line in self.rfile:
                for answer in emulation.handle_request(line.decode(), return_always_list=True):
                    self.wfile.write(answer.encode())

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


SLICE = 4096
"""Bytes that a wire gives at once."""


class Script(Transport):
    """Answers requests by ``answer`` (bytes for each request's envelope), within this process, and is never late."""

    def __init__(self, answer: Callable[[dict], bytes]) -> None:
        self.description = "lucidac:script"
        self.sent: list[dict] = []
        self.closed = 0
        self._answer = answer
        self._arrived = b""

    def send(self, data: bytes) -> None:
        for line in data.splitlines():
            self.sent.append(json.loads(line))
            self._arrived += self._answer(self.sent[-1])

    def receive(self, deadline: float) -> bytes:
        arrived, self._arrived = self._arrived[:SLICE], self._arrived[SLICE:]
        return arrived

    def close(self) -> None:
        self.closed += 1
