"""A camera that sends MJPEG over HTTP as a script says, sound or not."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class HttpCamera:
    """Answers each connection with a script, on a thread of its own."""

    def __init__(self, *scripts: Callable[[socket.socket, str], object]) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.requests: list[str] = []
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/cam.mjpg"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> HttpCamera:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        for connection in self._connections:
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            for number in range(1000):
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                request = b""
                while b"\r\n\r\n" not in request and (data := connection.recv(4096)):
                    request += data
                self.requests.append(request.decode())
                script = self._scripts[min(number, len(self._scripts) - 1)]
                with contextlib.suppress(ConnectionError):
                    script(connection, self.requests[-1])

    def hang(self, connection: socket.socket, _: str) -> None:
        self.released.wait(30)


def head(boundary: str = "frame", status: str = "200 OK", *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: multipart/x-mixed-replace; boundary={boundary}", *more, "", ""]
    return "\r\n".join(lines).encode()


def part(body: bytes, delimiter: str = "--frame", length: int | None = None, with_length: bool = True) -> bytes:
    announced = f"Content-Length: {len(body) if length is None else length}\r\n" if with_length else ""
    return f"{delimiter}\r\nContent-Type: image/jpeg\r\n{announced}\r\n".encode() + body + b"\r\n"


def send(*pieces: bytes, close: bool = True) -> Callable[[socket.socket, str], None]:
    def script(connection: socket.socket, _: str) -> None:
        for piece in pieces:
            connection.sendall(piece)
        if close:
            connection.shutdown(socket.SHUT_RDWR)

    return script


def stream(*parts: bytes, close: bool = True) -> Callable[[socket.socket, str], None]:
    return send(head(), *parts, close=close)
