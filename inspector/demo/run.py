"""`inspector demo`: the real chain on a drawn strip, with a broker of its own unless one is named.

Nothing here inspects or decides: a `Station` runs as it does on a line, and this module compares what it publishes
with what the generator drew. The demo's store is a temporary folder, deleted at its end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import typer
from rich.console import Console, Group
from rich.live import Live

from inspector.clock import SystemClock
from inspector.demo.broker import some_broker
from inspector.demo.score import DemoTally, Score
from inspector.demo.screen import ScreenView, draw_screen, listen_command
from inspector.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.sources.drawn import DemoSource
from inspector.station.wiring import open_bundle
from inspector.telemetry.counts import Counts
from inspector.telemetry.notify import Notifier

DEMO_KEYS = {"source.kind": "demo", "source.mm_per_px": 0.5, "events.alarm_limit": 1000, "alarm.per_hour": 100_000,
             "decision.mode": "alarm"}  # fmt: skip
"""What the strip needs besides the defaults; /etc/inspector/demo.toml has the same."""
STOPS = (signal.SIGINT, signal.SIGTERM)
SCREENS_PER_S = 4
STOP_LIMIT_S = 1.0
"""A stop that takes longer is not waited for: what was found is reported, and the process ends."""


def run_demo(seconds: float | None, headless: bool, broker: str | None, images: Path | None) -> int:
    """Run the demo and return its exit code.

    Args:
        seconds: End after this time; None: when interrupted.
        headless: Print one JSON line at the end, and nothing else on standard output.
        broker: HOST:PORT of a running broker; None starts one on loopback.
        images: Compose the strip from the pictures in DIR/<label>/.

    Raises:
        ConfigError: Not a folder, or not an address.
        BrokerError: The embedded broker is not available.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    for number in STOPS:
        signal.signal(number, lambda *_: sys.exit(EXIT_OK))  # while it starts: what was begun is tidied
    with tempfile.TemporaryDirectory(prefix="inspector-demo-") as folder, some_broker(broker) as (host, port, own):
        overrides: dict[str, Any] = {
            "station.site": "demo", "station.line": "strip", "station.name": "cam1",
            "mqtt.host": host, "mqtt.port": port, "mqtt.protocol": "3.1.1" if own else "auto",
            "store.path": folder, "http.port": 0, **DEMO_KEYS,
        }  # fmt: skip
        if host not in ("127.0.0.1", "localhost"):
            overrides["mqtt.tls"] = False
        if images is not None:
            overrides["source.images"] = images
        settings = load_settings(None, overrides, {}).settings
        return _Demo(settings, Path(folder)).run(seconds, headless)


class _Demo:
    """One station on a drawn strip, what it found so far, and how it ends."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        from inspector.station.station import Station  # the composition root is what a demo runs, not what it knows

        self._settings = settings
        self._folder = folder
        self._clock = SystemClock()
        self._station = Station(
            settings, open_bundle(settings), self._clock, Notifier({}), lambda bodies: self._tally.take(bodies)
        )
        source = self._station.pipeline.source
        if not isinstance(source, DemoSource):
            raise ConfigError(f"source.kind: the demo needs its own source: {settings.source.kind}")
        self._source = source
        self._tally = DemoTally(source.strip, source.options.overlap_lines)
        self._console = Console()
        self._started = self._clock.monotonic()
        self._asked: float | None = None  # when it was asked to end
        self._ended = threading.Event()
        self._final: Score | None = None  # once it stands
        self._live: Live | None = None

    def run(self, seconds: float | None, headless: bool) -> int:
        """Inspect, and show it unless `headless`; returns the exit code."""
        for number in STOPS:
            signal.signal(number, self._on_signal)
        threading.Thread(target=self._end_in_time, name="end", daemon=True).start()

        def is_over() -> bool:
            self._look()  # counts what was drawn since the last time: no look has much to do
            return seconds is not None and self._clock.monotonic() - self._started >= seconds

        if headless:
            self._station.run(until=is_over)
        else:
            self._console.print(listen_command(self._settings), style="bold", highlight=False, soft_wrap=True)
            self._live = Live(console=self._console, get_renderable=self._screen, refresh_per_second=SCREENS_PER_S)
            with self._live:
                self._station.run(until=is_over)
        self._ended.set()
        return self._report(self._station.delivered)

    def _look(self) -> Score:
        return self._final or self._tally.score(self._source.committed_lines)

    def _screen(self) -> Group:
        station = self._station
        page = station.http.url if station.http is not None else None
        view = ScreenView(self._source.options.speed_m_s, station.metrics, station.health, page)
        return draw_screen(view, self._tally.alarms, self._look(), self._clock.monotonic() - self._started)

    def _report(self, delivered: int) -> int:
        final, took_s, counts = self._look(), self._clock.monotonic() - self._started, Counts.of(self._station.metrics)
        report = {
            "drawn": final.drawn,
            "found": final.found,
            "right_label": final.right_label,
            "false_alarms": final.false_alarms,
            "second_events": final.second_events,
            "wrong_seconds": final.wrong_seconds,
            "frames": int(counts.inspected),
            "tiles": int(counts.all_tiles),
            "tiles_per_s": round(counts.all_tiles / took_s, 1),
            "delivered": delivered,
        }
        typer.echo(json.dumps(report))
        undelivered = final.drawn > 0 and delivered == 0
        if undelivered and (broker := self._station.delivery.broker) is not None:
            typer.echo(f"inspector: nothing was delivered: {broker.reason}", err=True)
        return EXIT_OK if final.passed and not undelivered else EXIT_FAILURE

    # --- The end --------------------------------------------------------------------------------------------------

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked is None:
            self._asked = self._clock.monotonic()
        self._station.request("stop")

    def _end_in_time(self) -> None:
        """End the process if a stop takes too long: on a slow machine, or with a broker that does not answer."""
        while not self._ended.wait(0.05):
            if self._asked is not None and self._clock.monotonic() - self._asked > STOP_LIMIT_S:
                sinks, outbox = self._station.delivery.sinks, self._station.store.outbox
                self._final = self._look()  # screen and report show one moment
                if self._live is not None:
                    self._live.stop()  # gives the terminal back; what is printed comes below
                code = self._report(min((outbox.cursor(sink.name) for sink in sinks), default=0))
                sys.stdout.flush()
                shutil.rmtree(self._folder, ignore_errors=True)
                os._exit(code)
