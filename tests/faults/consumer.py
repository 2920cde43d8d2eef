"""A durable consumer: an MQTT 5 session that outlives connections, into SQLite, acknowledged after the commit.

It is our own and small, so that the suite does not ask the product what arrived. It drops nothing: repeats are
kept, and the checker counts them.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT_S = 60.0
_TABLE = """
CREATE TABLE IF NOT EXISTS received
(n INTEGER PRIMARY KEY, topic TEXT, kind TEXT, id TEXT, store_id TEXT, seq INTEGER, payload BLOB)
"""
_COLUMNS = "n, topic, kind, id, store_id, seq, payload"


@dataclass(frozen=True)
class Received:
    """A numbered message as it arrived; `n` counts arrivals from 1, repeats included."""

    n: int
    topic: str
    kind: str
    id: str
    store_id: str
    seq: int
    payload: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The payload's JSON."""
        return dict(json.loads(self.payload))


class Consumer:
    """Takes every numbered message below its topics; state that is retained is not for it.

    Args:
        path: Of the SQLite file; one that is there is continued.
        port: The broker's.
        topics: What to subscribe to.
        forget: Planted fault: drop the message that comes as this arrival, and each time that it comes again.
    """

    def __init__(self, path: Path, port: int, topics: str = "inspector/#", forget: int | None = None) -> None:
        self._port, self._topics, self._forget = port, topics, forget
        self._forgotten: str | None = None
        self.dropped: set[str] = set()
        """Files whose frame message was dropped so: there is no sense in waiting for it."""
        self._ids: dict[str, str] = {}
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # the machine of the suite itself is not cut off
        self._db.execute(_TABLE)
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._client: paho.Client | None = None

    def start(self, timeout_s: float = WAIT_S) -> None:
        """Connect and subscribe; the broker may come up in the meantime."""
        self._subscribed.clear()
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="fault-suite", protocol=paho.MQTTv5, manual_ack=True
        )
        client.on_connect = lambda client, *_: client.subscribe(self._topics, qos=1)
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._take
        client.reconnect_delay_set(1, 1)
        lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        lasting.SessionExpiryInterval = 86400
        lasting.ReceiveMaximum = 1000
        client.connect_async("127.0.0.1", self._port, 10, clean_start=False, properties=lasting)
        client.loop_start()
        self._client = client
        assert self._subscribed.wait(timeout_s), f"no broker on port {self._port} within {timeout_s:g} s"

    def stop(self) -> None:
        """Be away; the broker keeps the session."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def close(self) -> None:
        """Be away, and close the file."""
        self.stop()
        self._db.close()

    def _take(self, client: paho.Client, _user: Any, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        body = json.loads(payload) if payload[:1] == b"{" else {}
        if not message.retain and {"id", "store_id", "seq"} <= body.keys():
            with self._changed:
                self._keep(message.topic, body, payload)
                self._changed.notify_all()
        client.ack(message.mid, message.qos)

    def _keep(self, topic: str, body: dict[str, Any], payload: bytes) -> None:
        if self._forget is not None:
            self._forget -= 1
            if self._forget == 0:
                self._forgotten = body["id"]
        if body["id"] == self._forgotten:
            if topic.endswith("/frame"):
                self.dropped.add(body["frame"]["source_key"])
            return
        self._ids[body["id"]] = topic.rpartition("/")[2]
        row = (topic, topic.rpartition("/")[2], body["id"], body["store_id"], body["seq"], payload)
        self._db.execute("INSERT INTO received (topic, kind, id, store_id, seq, payload) VALUES (?,?,?,?,?,?)", row)

    def received(self) -> list[Received]:
        """Return everything that came, in the order in which it came."""
        with self._changed:
            return [Received(*row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM received ORDER BY n")]

    def names(self) -> set[str]:
        """Return the files that a frame message came of."""
        query = "SELECT DISTINCT json_extract(payload, '$.frame.source_key') FROM received WHERE kind = 'frame'"
        with self._changed:
            return {name for (name,) in self._db.execute(query)}

    def roots(self, kind: str) -> set[str]:
        """Return the topic roots of which a message of this kind came: one for each station."""
        with self._changed:
            query = "SELECT DISTINCT topic FROM received WHERE kind = ?"
            return {topic.removesuffix(f"/{kind}") for (topic,) in self._db.execute(query, (kind,))}

    def count(self, kind: str | None = None) -> int:
        """Return how many different messages came, of a topic or in all."""
        with self._changed:
            return len(self._ids) if kind is None else sum(one == kind for one in self._ids.values())

    def wait(self, condition: Callable[[], bool], timeout_s: float = WAIT_S, every_s: float = 0.2) -> bool:
        """Look now and then until `condition` holds; returns whether it does."""
        pause, until_s = threading.Event(), time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() >= until_s:
                return False
            pause.wait(every_s)
        return True

    def wait_quiet(self, quiet_s: float = 2.0, timeout_s: float = WAIT_S) -> None:
        """Wait until nothing has come for a while, so that phantoms and repeats can show themselves."""
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while time.monotonic() < until_s and self._changed.wait(quiet_s):
                pass
