"""A broker that says what the test wants, and ways to wait for what happens on other threads."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from structlog.testing import LogCapture

from inspector.clock import SystemClock, to_timestamp_ms
from inspector.messages import MarkMessage, encode
from inspector.store.entries import OutboxRow, OutboxState
from inspector.store.set_aside import AsideReport

SUBSCRIBE, PUBLISH, CONNECT = 8, 3, 1
DEADLINE_S = 20.0
"""Longest wait for anything that happens on another thread."""
Answer = Callable[[int, bytes], bytes]
Answered = Callable[[bytes, bytes], bytes]


class Changes:
    """What other threads do is announced here, so that a test waits for it and for nothing else."""

    def __init__(self) -> None:
        self._changed = threading.Condition()

    def announce(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(condition()), DEADLINE_S), f"not within {DEADLINE_S:g} s: {what}"


class AnnouncedLog(LogCapture):
    """Keeps log entries, and announces each."""

    def __init__(self, changes: Changes) -> None:
        super().__init__()
        self._changes = changes

    def __call__(self, logger: Any, name: str, entry: MutableMapping[str, Any]) -> NoReturn:
        try:
            super().__call__(logger, name, entry)
        finally:
            self._changes.announce()

    def named(self, event: str) -> list[Mapping[str, Any]]:
        return [entry for entry in self.entries if entry["event"] == event]

    def warnings(self) -> list[str]:
        return [entry["event"] for entry in self.entries if entry["log_level"] == "warning"]


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet of less than 128 bytes, or of less than 16,384."""
    length = len(body)
    size = bytes([length]) if length < 128 else bytes([length % 128 | 128, length // 128])
    return bytes([kind]) + size + body


def puback(packet_id: bytes, code: int = 0) -> bytes:
    return packet(0x40, packet_id + bytes([code, 0]) if code else packet_id)


def suback(packet_id: int, code: int = 0) -> bytes:
    return packet(0x90, packet_id.to_bytes(2, "big") + b"\x00" + bytes([code]))


def retained_mark(store_id: str, seq: int) -> bytes:
    return packet(0x31, b"\x00\x09root/mark\x00" + encode(MarkMessage(store_id=store_id, seq=seq)))


@dataclass(frozen=True)
class Taken:
    """A PUBLISH as the broker took it."""

    topic: str
    properties: bytes
    payload: bytes


class ScriptedBroker:
    """Speaks just enough MQTT 5: CONNACK, and for SUBSCRIBE and PUBLISH what the test gives it, else consent."""

    def __init__(self, changes: Changes, subscribed: Answer | None, published: Answered | None) -> None:
        self._changes = changes
        self._subscribed = subscribed or (lambda packet_id, _: suback(packet_id))
        self._published = published or (lambda _topic, packet_id: puback(packet_id))
        self.taken: list[Taken] = []
        self.port = 0
        self._open: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        """Listen, on the same port as before."""
        server = socket.create_server(("127.0.0.1", self.port))
        self.port = int(server.getsockname()[1])
        self._open = [server]
        threading.Thread(target=self._serve, args=(server,), daemon=True).start()

    def _serve(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                self._open.append(connection)
                with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
                    while head := stream.read(1):  # a client that leaves at any moment ends this connection only
                        self._answer(connection, head[0], stream.read(self._length(stream.read)))

    @staticmethod
    def _length(read: Callable[[int], bytes]) -> int:
        length = shift = 0
        while True:
            byte = (read(1) or b"\0")[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return length

    def _answer(self, connection: socket.socket, head: int, body: bytes) -> None:
        if head >> 4 == CONNECT:
            connection.sendall(packet(0x20, b"\x00\x00\x00"))
        elif head >> 4 == PUBLISH and head & 6:
            end = 2 + int.from_bytes(body[:2], "big")
            properties = end + 3 + body[end + 2]  # less than 128 bytes of them
            self.taken.append(Taken(body[2:end].decode(), body[end + 3 : properties], body[properties:]))
            connection.sendall(self._published(body[2:end], body[end : end + 2]))
            self._changes.announce()
        elif head >> 4 == SUBSCRIBE:
            connection.sendall(self._subscribed(int.from_bytes(body[:2], "big"), body))

    def on(self, topic: str) -> list[Taken]:
        """Return what was published on a topic below the root."""
        return [taken for taken in self.taken if taken.topic == f"root/{topic}"]

    def close(self) -> None:
        """End all connections, and refuse new ones."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class MemoryNotes:
    """Notes of a broker that are forgotten with the process."""

    def __init__(self, topics: Mapping[str, int | None] | None = None) -> None:
        self.known = dict(topics or {})
        self.texts: dict[str, str] = {}

    def topics(self) -> dict[str, int | None]:
        return self.known

    def note_topic(self, topic: str, grace_until_ms: int | None) -> None:
        self.known[topic] = grace_until_ms

    def drop_topic(self, topic: str) -> None:
        self.known.pop(topic, None)

    def note(self, name: str) -> str | None:
        return self.texts.get(name)

    def keep(self, name: str, text: str) -> None:
        self.texts[name] = text


class MemoryAside:
    """Messages that were set aside, forgotten with the process."""

    def __init__(self) -> None:
        self.rows: dict[int, OutboxRow] = {}
        self.tried: dict[int, int] = {}
        self._unreported: list[tuple[int, str]] = []

    def add(self, row: OutboxRow, reason: str, reported: bool = False) -> None:
        self.rows[row.seq] = row
        if not reported:
            self._unreported.append((row.seq, reason))

    def count(self) -> int:
        return len(self.rows)

    def next_to_try(self, before_ms: int) -> OutboxRow | None:
        for seq, row in sorted(self.rows.items()):
            if self.tried.get(seq, 0) < before_ms:
                self.tried[seq] = before_ms
                return row
        return None

    def remove(self, seq: int) -> None:
        del self.rows[seq]

    def take_report(self) -> AsideReport | None:
        found, self._unreported = self._unreported, []
        seqs = [seq for seq, _ in found]
        return AsideReport(min(seqs), max(seqs), len(seqs), found[-1][1]) if found else None


class ScriptedOutbox:
    """Has delivered everything up to a number, and something waits behind it."""

    store_id = "store"

    def __init__(
        self, changes: Changes, delivered: int = 0, waiting: Sequence[OutboxRow] = (), first_kept: int | None = 1
    ) -> None:
        self._changes = changes
        self._first_kept = first_kept
        self._rows = waiting
        self.delivered = delivered
        self.held = False

    def cursor(self, sink: str) -> int:
        return self.delivered

    def pending(self, after_seq: int, limit: int) -> list[OutboxRow]:
        return [row for row in self._rows if row.seq > after_seq][:limit]

    def acknowledge(self, sink: str, seq: int) -> None:
        self.delivered = seq
        self._changes.announce()

    def hold(self, sink: str, holds: bool) -> None:
        self.held = holds

    def outbox_state(self, sink: str) -> OutboxState:
        return OutboxState(0, 0, None, self._rows[-1].seq if self._rows else self.delivered)

    def first_kept_seq(self) -> int | None:
        return self._first_kept


def rows(first: int, last: int, topic: str = "defect", stored_ms: int | None = None) -> list[OutboxRow]:
    """Messages that were stored now, or at another time."""
    stored_ms = to_timestamp_ms(SystemClock().now()) if stored_ms is None else stored_ms
    return [OutboxRow(seq, topic, b"{}", stored_ms) for seq in range(first, last + 1)]
