"""SIGKILL of the station over commands of people: each is done once, in the order in which it was sent."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from peers import Broker, Daemon, station_toml, wait_for

from inspector.clock import from_timestamp_ms
from inspector.command_table import COMMANDS
from inspector.items import Command
from inspector.json_text import canonical_json
from inspector.track.memory import from_text
from inspector.track.operators import OperatorState, obey
from tests.faults.row import Plan, Point, Row

SESSION = 20
"""Kills of one store, before everything is counted."""
BURST = 12
"""Commands around each kill; fewer than a station takes at once."""
SETTLE_S = 60.0
"""Longest wait for the last command at the end of a session; later it counts as lost."""
TAKEN = ("ack", "line", "shelve", "pause")


class Sender:
    """Gives commands over the broker, and remembers them in order."""

    def __init__(self, port: int) -> None:
        self.heard = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(0)
        self._client.connect("127.0.0.1", port)
        self._client.on_message = lambda *_: self.heard.set()
        self._client.loop_start()
        self._client.subscribe("inspector/test/line/cam/health", 1)
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, lots: random.Random) -> None:
        """Give one command, drawn by lot, under an id of its own."""
        name = lots.choice(TAKEN)
        left = float(lots.randrange(20))
        values: dict[str, dict[str, Any]] = {
            "ack": {"defect_id": None},
            "line": {"running": lots.random() < 0.5},
            "shelve": {"from_mm": left, "to_mm": left + 1, "hours": 8, "off": lots.random() < 0.3},
            "pause": {"hours": 8, "off": lots.random() < 0.5},
        }
        asked = COMMANDS[name].model.model_validate({**values[name], "request_id": f"r{len(self.sent)}"})
        self.sent.append((name, asked.model_dump(mode="json")))
        payload = asked.model_dump_json(exclude_defaults=True)
        self._client.publish(f"inspector/test/line/cam/cmd/{name}", payload, qos=1).wait_for_publish(30)


def _expected(sent: list[tuple[str, dict[str, Any]]]) -> OperatorState:
    state = OperatorState()
    for name, asked in sent:
        state = obey(state, Command(from_timestamp_ms(0), name, canonical_json(asked).decode()))
    return state


def _plain(state: OperatorState) -> tuple[Any, ...]:
    line = state.line and (state.line.running, state.line.speed_m_s)
    return [shelf.place for shelf in state.shelves], state.pause is not None, line


def _kept(file: Path) -> tuple[Counter[str], int, OperatorState]:
    """Return how often each command stands in the store, how many wait, and what is in force."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        rows = db.execute("SELECT request_id, pending FROM commands").fetchall()
        [(text,)] = db.execute("SELECT value FROM meta WHERE key = 'track_state'").fetchall() or [("",)]
    state = from_text(text).operators if text else OperatorState()
    return Counter(name for name, _ in rows), sum(pending is not None for _, pending in rows), state


def _misses(sender: Sender, file: Path, planted: bool) -> list[str]:
    """Return what does not fit once the last command has had its time; of the line only starts and stops are kept."""
    pause = threading.Event()
    expected = {asked["request_id"] for name, asked in sender.sent if name != "line"}
    expected |= {"never sent"} if planted else set()
    misses = ["nothing was kept"]
    for _ in range(4 if planted else round(SETTLE_S / 0.5)):
        pause.wait(0.5)
        counts, waiting, state = _kept(file)
        misses = [f"lost: {name}" for name in sorted(expected - set(counts))]
        misses += [f"done {count} times: {name}" for name, count in counts.items() if count > 1]
        misses += [f"{waiting} still wait"] if waiting else []
        if _plain(state) != _plain(_expected(sender.sent)):
            misses.append(f"in force is {_plain(state)}, asked was {_plain(_expected(sender.sent))}")
        if not misses:
            break
    return misses


def _run(plan: Plan) -> Iterator[Point]:
    pause = threading.Event()
    for points in plan.sessions(SESSION):
        folder = plan.folder / f"session-{points[0]}"
        (folder / "frames").mkdir(parents=True, exist_ok=True)
        broker = Broker(folder / "broker", "allow_anonymous true\nmax_queued_messages 0\n", True)
        source = f'kind = "folder"\npath = "{folder / "frames"}"\nmm_per_px = 0.5'
        with ExitStack() as end:
            end.callback(broker.kill)
            broker.start()
            station = Daemon(folder, station_toml(folder, broker.port, source, "[teach]\nprobe_interval_s = 0\n"))
            end.callback(station.end)
            sender, starts = Sender(broker.port), 0
            end.callback(sender.close)
            for number in points:
                lots = plan.lots(number)
                station.start(INSPECTOR_MQTT__COMMANDS=json.dumps(TAKEN))
                if number == points[0]:  # who sees the retained state may count on the broker's session
                    sender.heard.wait(60)
                elif number % 3:
                    starts += 1
                    wait_for(lambda: len(station.events("broker_connected")) >= starts, "the station at its broker", 60)  # noqa: B023
                starts = max(starts, len(station.events("broker_connected")))
                killer = threading.Timer(lots.uniform(0.0, 0.6 if number % 3 else 2.0), station.kill)
                killer.start()
                for _ in range(BURST):
                    sender.send(lots)
                    pause.wait(lots.uniform(0.0, 0.06))
                killer.join()
                if number != points[-1]:
                    yield Point(number)
            station.start(INSPECTOR_MQTT__COMMANDS=json.dumps(TAKEN))
            misses = _misses(sender, folder / "state" / "inspector.sqlite3", plan.planted)
            yield Point(points[-1], tuple(misses), {"commands": len(sender.sent)})


ROW = Row(
    fault="SIGKILL of the station over a dozen commands at a time (shelve, pause, ack, line) from the broker, "
    "one in three during its start",
    figure="0 commands lost, 0 done twice, in force what was asked last",
    n=1000,
    core=2,
    judges=("store", "sinks", "station", "track", "command_table.py"),
    run=_run,
)
