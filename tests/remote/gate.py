"""What stands between the tests and the S3 server: counts the bytes that it sends, and refuses when it is told to."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Literal

_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Gate:
    """Passes connections on to a server.

    Attributes:
        port: Where it listens.
        sent: Bytes that came from the server.
        mode: "open"; "busy": every request is answered with 503; "shut": connections end at once.
        refused: How many connections were refused.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.sent = 0
        self.mode: Literal["open", "busy", "shut"] = "open"
        self.refused = 0
        self._passing: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def turn(self, mode: Literal["open", "busy", "shut"]) -> None:
        """Changes the mode; connections that are open end when the gate closes."""
        self.mode = mode
        if mode != "open":
            for connection in list(self._passing):
                _end(connection)

    def close(self) -> None:
        self.turn("shut")
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=[connection], daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client:
            if self.mode != "open":
                self.refused += 1
                if self.mode == "busy":
                    client.recv(1 << 16)
                    client.sendall(_REFUSAL)
                return
            with socket.create_connection(self._server) as server:
                self._passing.add(client)
                with contextlib.suppress(OSError):  # one of both went away
                    self._exchange(client, server)
                self._passing.discard(client)

    def _exchange(self, client: socket.socket, server: socket.socket) -> None:
        while self.mode == "open":
            for ready in select.select([client, server], [], [], 0.1)[0]:
                data = ready.recv(1 << 16)
                if not data:
                    return
                if ready is server:
                    self.sent += len(data)
                    client.sendall(data)
                else:
                    server.sendall(data)


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RDWR)
