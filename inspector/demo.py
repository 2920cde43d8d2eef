"""`inspector demo`: the real chain on a drawn strip, with a broker of its own where none is named.

Nothing here inspects or decides: a `Station` runs as it does on a line, and this module compares what it publishes
with what the generator drew. The demo's store is a temporary folder that goes with it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import socket
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table

from inspector.box import Box
from inspector.clock import SystemClock
from inspector.daemon import Station, open_brain
from inspector.drawn.spec import DrawnDefect
from inspector.errors import EXIT_FAILURE, EXIT_OK, BrokerError, ConfigError
from inspector.messages import AlarmMessage, Body, DefectMessage
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.sources.demo import DemoSource
from inspector.telemetry.notify import Notifier

MIN_FOUND = 0.95
MIN_RIGHT = 0.90
SHOWN_ALARMS = 12


@dataclass(slots=True)
class Ledger:
    """What the station published, by defect.

    Attributes:
        boxes: Every box (absolute lines) that a message of the defect named, with its label at that time.
        alarmed: Defects with an alarm.
        alarms: The last alarms' texts, newest first.
    """

    boxes: dict[str, list[tuple[str, Box]]] = field(default_factory=dict)
    alarmed: set[str] = field(default_factory=set)
    alarms: list[AlarmMessage] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def take(self, bodies: Sequence[Body]) -> None:
        """Note committed messages; runs on the committer's thread."""
        with self.guard:
            for body in bodies:
                if isinstance(body, DefectMessage) and body.line is not None and body.lines is not None:
                    box = Box(body.box_px.x, body.line, body.box_px.width, body.lines)
                    self.boxes.setdefault(body.defect_id, []).append((body.label, box))
                elif isinstance(body, AlarmMessage) and body.kind == "defect":
                    self.alarmed.add(body.defect_id)
                    self.alarms = [body, *self.alarms[: SHOWN_ALARMS - 1]]


@dataclass(frozen=True, slots=True)
class Score:
    """Drawn against found, over the strip that is fully inspected."""

    drawn: int
    found: int
    right_label: int
    false_alarms: int

    @property
    def passed(self) -> bool:
        """Whether enough was found, rightly named, and nothing was alarmed that is not there."""
        return (
            self.found >= MIN_FOUND * self.drawn
            and self.right_label >= MIN_RIGHT * self.drawn
            and not self.false_alarms
        )


def score(ledger: Ledger, drawn: Sequence[DrawnDefect], all_near: Sequence[DrawnDefect]) -> Score:
    """Compare.

    Args:
        ledger: What was published.
        drawn: Defects that lie wholly in inspected strip: each must have been found.
        all_near: These and those that were only partly seen: an alarm on one of them is not false.
    """
    with ledger.guard:
        told = {name: list(boxes) for name, boxes in ledger.boxes.items()}
        alarmed = set(ledger.alarmed)
    found = right = 0
    for defect in drawn:
        labels = {label for boxes in told.values() for label, box in boxes if box.shared_px(defect.box)}
        found += bool(labels)
        right += defect.label in labels
    false_alarms = sum(
        not any(box.shared_px(defect.box) for _, box in told.get(name, []) for defect in all_near) for name in alarmed
    )
    return Score(len(drawn), found, right, false_alarms)


def run_demo(seconds: float | None, headless: bool, broker: str | None, images: Path | None) -> int:
    """Run the demo and return its exit code.

    Args:
        seconds: End after this time; None: when interrupted.
        headless: Print one JSON line at the end, and nothing else on standard output.
        broker: HOST:PORT of a broker that is there; None starts one on loopback.
        images: Compose the strip from the pictures in DIR/<label>/.

    Raises:
        ConfigError: A folder or address that is none.
        BrokerError: The embedded broker cannot be had.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory(prefix="inspector-demo-") as folder, _some_broker(broker) as (host, port, own):
        overrides: dict[str, Any] = {
            "station.site": "demo", "station.line": "strip", "station.name": "cam1", "source.kind": "demo",
            "mqtt.host": host, "mqtt.port": port, "mqtt.protocol": "3.1.1" if own else "auto",
            "store.path": folder, "http.port": 0, "source.mm_per_px": 0.5, "tiling.overlap_px": 50,
            "events.alarm_limit": 1000,
        }  # fmt: skip
        if host not in ("127.0.0.1", "localhost"):
            overrides["mqtt.tls"] = False
        if images is not None:
            overrides["source.images"] = images
        settings = load_settings(None, overrides, {}).settings
        return _run(settings, seconds, headless)


def _run(settings: Settings, seconds: float | None, headless: bool) -> int:
    clock, ledger = SystemClock(), Ledger()
    station = Station(settings, open_brain(settings), clock, Notifier({}), ledger.take)
    source = station.source
    if not isinstance(source, DemoSource):
        raise ConfigError(f"source.kind: the demo needs its own source: {settings.source.kind}")
    _stop_on_signals(station)
    started = clock.monotonic()

    def is_over() -> bool:
        return seconds is not None and clock.monotonic() - started >= seconds

    def look() -> Score:
        done = source.committed_lines
        near = source.strip.defects(0, done) if done else []
        return score(ledger, [one for one in near if one.box.bottom <= done - settings.source.overlap_lines], near)

    if headless:
        station.run(until=is_over)
    else:
        with Live(console=Console(), refresh_per_second=4) as screen:

            def show() -> bool:
                screen.update(_screen(station, ledger, look(), clock.monotonic() - started))
                return is_over()

            station.run(until=show)
    final, took_s = look(), clock.monotonic() - started
    report = {
        "drawn": final.drawn,
        "found": final.found,
        "right_label": final.right_label,
        "false_alarms": final.false_alarms,
        "frames": int(_value(station, "inspector_frames_total", {"outcome": "inspected"})),
        "tiles": _tiles(station),
        "tiles_per_s": round(_tiles(station) / took_s, 1),
        "delivered": station.delivered,
    }
    typer.echo(json.dumps(report))
    undelivered = final.drawn > 0 and station.delivered == 0
    if undelivered and station.publisher is not None:
        typer.echo(f"inspector: nothing was delivered: {station.publisher.status.reason}", err=True)
    return EXIT_OK if final.passed and not undelivered else EXIT_FAILURE


def _value(station: Station, name: str, labels: dict[str, str]) -> float:
    return station.registry.get_sample_value(name, labels) or 0.0


def _tiles(station: Station) -> int:
    samples = (sample for metric in station.registry.collect() for sample in metric.samples)
    return int(sum(sample.value for sample in samples if sample.name == "inspector_tiles_total"))


def _stop_on_signals(station: Station) -> None:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        station.request("stop")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)


def _screen(station: Station, ledger: Ledger, now: Score, passed_s: float) -> Group:
    settings, health = station.settings, station.health.message()
    facts = Table.grid(padding=(0, 2))
    tiles, http = _tiles(station), station.http
    metres = _value(station, "inspector_strip_meters_total", {"outcome": "inspected"})
    for name, text in (
        ("health", health.state + (f" ({health.reason})" if health.reason else "")),
        ("strip", f"{settings.source.speed_m_s:g} m/s, {metres:.1f} m inspected"),
        ("throughput", f"{tiles / max(passed_s, 0.1):.0f} tiles/s, {tiles} tiles"),
        ("drawn, found", f"{now.drawn}, {now.found}, {now.right_label} named right, {now.false_alarms} false alarms"),
        ("status page", http.url if http is not None else "off"),
        ("alerts", f"mosquitto_sub -h {settings.mqtt.host} -p {settings.mqtt.port} -v -t '{settings.root}/#'"),
    ):  # fmt: skip
        facts.add_row(f"[bold]{name}", text)
    table = Table("time", "label", "score", "severity", "where", expand=True)
    with ledger.guard:
        for alarm in ledger.alarms:
            table.add_row(alarm.captured_at[11:23], alarm.label, f"{alarm.score:.2f}", alarm.severity,
                          alarm.text.rpartition("at ")[2])  # fmt: skip
    return Group(Panel(facts, title="inspector demo: a drawn strip, inspected for real"), table)


@contextmanager
def _some_broker(address: str | None) -> Iterator[tuple[str, int, bool]]:
    """Give host and port of the named broker, or of one that lives as long as the block, and whether it is ours."""
    if address is not None:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise ConfigError(f"--broker: HOST:PORT is wanted: {address}")
        yield host, int(port), False
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port_number = int(probe.getsockname()[1])
    own = _EmbeddedBroker(port_number)
    try:
        yield "127.0.0.1", port_number, True
    finally:
        own.stop()


class _EmbeddedBroker:
    """amqtt on a thread with an event loop of its own; MQTT 3.1.1 only."""

    def __init__(self, port: int) -> None:
        try:
            from amqtt.broker import Broker
        except ImportError as exc:
            raise ConfigError(
                "the demo's own broker needs the extra: pip install 'inspector[demo]' (or --broker)"
            ) from exc
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="broker", daemon=True)
        self._thread.start()
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": 50}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }

        async def start() -> Any:
            broker = Broker(config)
            await broker.start()
            return broker

        self._broker = self._call(start(), f"the demo's own broker cannot listen on 127.0.0.1:{port}")

    def _call(self, work: Coroutine[Any, Any, Any], failure: str) -> Any:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)
        except Exception as exc:  # the broker raises errors of its own making
            raise BrokerError(f"{failure}: {exc}") from exc

    def stop(self) -> None:
        """End broker, loop and thread."""
        self._call(self._broker.shutdown(), "the demo's own broker does not end")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
