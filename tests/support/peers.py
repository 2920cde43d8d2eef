"""Real peers for the tests of the whole chain: mosquitto, a subscriber with a durable session, the daemon itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROGRAM = (sys.executable, "-m", "inspector")

WAIT_S = 60.0
"""Longest wait for anything: these tests share two cores with whatever else runs."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """mosquitto with its default persistence, on a port that it keeps over restarts."""

    def __init__(self, folder: Path, extra: str = "", persistence: bool = True) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)
        self._config = folder / "mosquitto.conf"
        text = f"listener {self.port} 127.0.0.1\npersistence {str(persistence).lower()}\n"
        text += f"persistence_location {folder}/\nuser root\n"
        self._config.write_text(text + (extra or "allow_anonymous true\n"))

    def start(self) -> None:
        """Start it and return when it answers."""
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert program is not None
        self._process = subprocess.Popen(
            [program, "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: _answers(self.port), f"mosquitto on port {self.port}")

    @property
    def pid(self) -> int:
        """Of the running broker."""
        assert self._process is not None
        return self._process.pid

    def reload(self) -> None:
        """Have it read its files again; connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End in order: sessions and what waits for them are saved."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT_S)
            self._process = None

    def kill(self) -> None:
        """SIGKILL it: nothing is saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = WAIT_S, every_s: float = 0.05) -> Any:
    """Look until `condition` gives something true, and return it."""
    pause = threading.Event()
    for _ in range(int(timeout_s / every_s)):
        if result := condition():
            return result
        pause.wait(every_s)
    raise AssertionError(f"timed out after {timeout_s:g} s: {what}")


class Listener:
    """A plant-side consumer: durable session, reconnects by itself, drops nothing and repeats nothing by id."""

    def __init__(self, port: int, topics: str = "inspector/#", client_id: str = "consumer") -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._changed = threading.Condition()
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe(topics, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 2)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, 10, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self._subscribed.wait(WAIT_S)

    def _take(self, _client: Any, _user: Any, message: Any) -> None:
        with self._changed:
            self.messages.append((message.topic, bytes(message.payload)))
            self._changed.notify_all()

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the messages of a topic, repeats dropped by id."""
        with self._changed:
            parsed = [json.loads(payload) for topic, payload in self.messages if topic.endswith(f"/{kind}")]
        return list({message["id"]: message for message in parsed}.values())

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = WAIT_S) -> None:
        """Wait until `condition` holds, looking at each message that comes."""
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), f"timed out after {timeout_s:g} s: {what}"

    def count(self, kind: str) -> int:
        """Return how many messages of a topic came, repeats included."""
        return sum(topic.endswith(f"/{kind}") for topic, _ in self.messages)

    def publish(self, topic: str, payload: str, retain: bool = False) -> None:
        """Say something, as the plant would."""
        self._client.publish(topic, payload, qos=1, retain=retain)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


class Daemon:
    """`inspector run` as a process of its own."""

    def __init__(self, folder: Path, toml: str) -> None:
        self.folder = folder
        self.config = folder / "station.toml"
        self.config.write_text(toml)
        self.log = folder / "daemon.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, stdin: Any = subprocess.DEVNULL, under: Sequence[str] = (), **environ: str) -> None:
        """Start it, `under` another program if that is given; returns at once."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*under, *PROGRAM, "run", "--config", self.config],
                stdin=stdin, stdout=log, stderr=log, env={**os.environ, **environ},
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and return the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(WAIT_S)

    def hang_up(self) -> None:
        """SIGHUP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def wait(self) -> int:
        """Return the exit code when it ends by itself."""
        assert self._process is not None
        return self._process.wait(WAIT_S)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines with an event name."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in parsed if line["event"] == name]

    def started(self) -> dict[str, Any]:
        """Return the log line of the (next) start, or of the reload after it."""
        wait_for(lambda: self.events("started"), f"the daemon's start, see {self.log}")
        begun = [line for name in ("started", "reloaded", "resumed") for line in self.events(name)]
        return max(begun, key=lambda line: str(line["timestamp"]))

    def get(self, path: str) -> bytes:
        """GET from its HTTP listener."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.started()['http']}{path}", timeout=10) as answer:
            return bytes(answer.read())

    def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics by its name with labels."""
        lines = self.get("/metrics").decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}

    @property
    def pid(self) -> int:
        """Of the running daemon."""
        assert self._process is not None
        return self._process.pid

    def end(self) -> None:
        """Make sure that it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def station_toml(folder: Path, port: int, source: str, extra: str = "") -> str:
    """Return a small configuration with its store below `folder`; it alarms untaught unless `extra` says otherwise."""
    if "[decision]" not in extra:
        extra += '\n[decision]\nmode = "alarm"\n'
    return f"""
[station]
site = "test"
line = "line"
name = "cam"
[source]
{source}
[mqtt]
port = {port}
[store]
path = "{folder / "state"}"
[http]
port = 0
{extra}
"""
