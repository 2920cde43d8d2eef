"""An MQTT client that keeps no packet without bounds in memory: who may give commands may publish 256 MB, too."""

from __future__ import annotations

import socket
from typing import Any

import paho.mqtt.client as paho

MAX_PACKET_BYTES = 256 << 10
"""Of a packet that is kept: a command has 4 KB at most, what another station of an area says 64 KB, a topic 64 KB."""
_READ_BYTES = 64 << 10


class BoundedClient(paho.Client):
    """A client that keeps the first bytes of a packet that is too long, and lets the rest go by.

    So the message still has its topic and number: it is refused for its length, and acknowledged, and does not come
    again with each connection. A broker of MQTT 5 is told the limit (`MaximumPacketSize`) and does not send it at all.

    Packets go out at once (`TCP_NODELAY`). Otherwise the kernel keeps one back until the one before is acknowledged
    (Nagle, RFC 896), which the other end's kernel delays by 40 ms where nothing is to be answered: behind a heartbeat.

    Args:
        limit_bytes: Of a packet that is kept.
        options: Of the client.
    """

    def __init__(self, *options: Any, limit_bytes: int = MAX_PACKET_BYTES, **more: Any) -> None:
        super().__init__(*options, **more)
        self._limit_bytes = limit_bytes
        self.on_socket_open = _send_at_once

    def _sock_recv(self, bufsize: int) -> bytes:
        """Read as much of a packet as has come; paho asks for all that is still missing of it."""
        if bufsize > self._limit_bytes and not isinstance(self._in_packet["packet"], _Head):
            self._in_packet["packet"] = _Head(self._limit_bytes)
            self._in_packet["remaining_length"] = self._limit_bytes
        return super()._sock_recv(min(bufsize, _READ_BYTES))


def _send_at_once(_client: paho.Client, _data: object, opened: Any) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Head(bytearray):
    """Takes what is added up to a number of bytes."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes

    def __iadd__(self, more: Any) -> _Head:  # type: ignore[misc]  # `+` is not used
        self.extend(more[: max(0, self._limit_bytes - len(self))])
        return self
