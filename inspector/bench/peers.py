"""What stands around a station that is measured: a broker, the station as a process of its own, and a listener."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from inspector.demo.broker import some_broker
from inspector.errors import BrokerError, WorkerError

ROOT = "inspector/bench/chain/station"
STARTS_WITHIN_S = 60.0
ENDS_WITHIN_S = 30.0
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@contextmanager
def broker(folder: Path) -> Iterator[tuple[int, str]]:
    """Give the port and the name of a broker: mosquitto where it is installed, else the demo's own.

    Raises:
        ConfigError: Neither is there.
        BrokerError: It does not listen.
    """
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        with some_broker(None) as (_, port, _ours):
            yield port, "amqtt"
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n", "utf-8"
    )  # as in deploy/mosquitto
    process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for_port(port, process)
        yield port, "mosquitto"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    pause, ends_s = threading.Event(), time.monotonic() + 10
    while time.monotonic() < ends_s and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.05)
    raise BrokerError(f"mosquitto does not listen on 127.0.0.1:{port}")


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame message that has arrived.

    Attributes:
        frame_id: Of its frame.
        source_key: Name of its file, or None.
        captured_s: When its frame was captured, seconds since 1970, whole milliseconds.
        arrived_mono_s: When it came here, seconds on the monotonic clock.
        arrived_s: The same moment, since 1970.
        tiles: How many were scored.
    """

    frame_id: int
    source_key: str | None
    captured_s: float
    arrived_mono_s: float
    arrived_s: float
    tiles: int


@dataclass(slots=True)
class Heard:
    """What a station has said so far; of health the reasons, each with the moment on the monotonic clock."""

    frames: list[Seen] = field(default_factory=list)
    missed: int = 0
    reasons: list[tuple[float, str]] = field(default_factory=list)
    healthy: threading.Event = field(default_factory=threading.Event)
    first: threading.Event = field(default_factory=threading.Event)


class Listener:
    """Hears all that a station publishes, at QoS 1."""

    def __init__(self, port: int) -> None:
        self.heard = Heard()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)
        self._client.subscribe(f"{ROOT}/#", 1)
        self._client.loop_start()

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        kind = message.topic.removeprefix(f"{ROOT}/").partition("/")[0]
        if message.retain or kind not in ("frame", "coverage", "health") or not message.payload:
            return  # what the broker retains is of the station before
        now_mono_s, now_s = time.monotonic(), time.time()
        said, heard = json.loads(message.payload), self.heard
        if kind == "frame":
            ref = said["frame"]
            tiles = int(said["tiles"] or 0)
            captured_s = said["timestamp_ms"] / 1000
            heard.frames.append(Seen(ref["frame_id"], ref["source_key"], captured_s, now_mono_s, now_s, tiles))
            heard.first.set()
        elif kind == "coverage" and said.get("cause") == "dropped":
            heard.missed += int(said.get("frames") or 0)
        elif kind == "health":
            if reason := said.get("reason"):
                heard.reasons.append((now_mono_s, str(reason)))
            heard.healthy.set()

    def close(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far.

    Attributes:
        cpu_s: Processor time.
        rss_bytes: Resident memory.
        at_mono_s: When that was read.
    """

    cpu_s: float
    rss_bytes: int
    at_mono_s: float

    def cores_since(self, before: Usage) -> float:
        """Return how many cores were busy for it since then."""
        return (self.cpu_s - before.cpu_s) / max(1e-3, self.at_mono_s - before.at_mono_s)


class MeasuredStation:
    """A station in a process of its own.

    Args:
        command: After the interpreter.
        folder: Its log goes there.
    """

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        self.log = folder / "station.log"
        self.started_mono_s = time.monotonic()
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )

    def wait_for(self, event: threading.Event, what: str) -> float:
        """Wait until it has happened; returns seconds since the start.

        Raises:
            WorkerError: The station has ended, or it takes too long.
        """
        while not event.wait(0.01):
            if self._process.poll() is not None or time.monotonic() - self.started_mono_s > STARTS_WITHIN_S:
                tail = self.log.read_text("utf-8", "replace").strip().splitlines()[-3:]
                raise WorkerError(f"the measured station has not {what}: {' | '.join(tail)}")
        return time.monotonic() - self.started_mono_s

    def usage(self) -> Usage:
        """Return what it has used so far.

        Raises:
            OSError: It is gone.
        """
        folder = Path(f"/proc/{self._process.pid}")
        fields = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()
        pages = int((folder / "statm").read_text("utf-8").split()[1])
        return Usage((int(fields[11]) + int(fields[12])) / _TICKS, pages * _PAGE, time.monotonic())

    def stop(self) -> None:
        """End it."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
