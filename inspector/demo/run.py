"""`inspector demo`: the real chain on a drawn strip, with a broker of its own unless one is named.

Nothing here inspects or decides: a `Station` runs as it does on a line, and this module compares what it publishes
with what the generator drew. The demo's store is a temporary folder, deleted at its end.
"""

from __future__ import annotations

import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import structlog
import typer
from rich.console import Console
from rich.live import Live

from inspector.clock import SystemClock
from inspector.demo.broker import some_broker
from inspector.demo.score import DemoTally, Score, score
from inspector.demo.screen import ScreenView, draw_screen
from inspector.errors import EXIT_FAILURE, EXIT_OK, ConfigError
from inspector.settings.loading import load_settings
from inspector.settings.sections import Settings
from inspector.sources.drawn import DemoSource
from inspector.station.wiring import open_bundle
from inspector.telemetry.counts import Counts
from inspector.telemetry.notify import Notifier


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
    with tempfile.TemporaryDirectory(prefix="inspector-demo-") as folder, some_broker(broker) as (host, port, own):
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
    from inspector.station.station import Station  # the composition root is what a demo runs, not what it knows

    clock, ledger = SystemClock(), DemoTally()
    station = Station(settings, open_bundle(settings), clock, Notifier({}), ledger.take)
    source = station.pipeline.source
    if not isinstance(source, DemoSource):
        raise ConfigError(f"source.kind: the demo needs its own source: {settings.source.kind}")
    _on_signals(lambda: station.request("stop"))
    started = clock.monotonic()

    def is_over() -> bool:
        return seconds is not None and clock.monotonic() - started >= seconds

    def look() -> Score:
        done = source.committed_lines
        near = source.strip.defects(0, done) if done else []
        return score(ledger, [one for one in near if one.box.bottom <= done - source.options.overlap_lines], near)

    if headless:
        station.run(until=is_over)
    else:
        page = station.http.url if station.http is not None else None
        view = ScreenView(settings, source.options.speed_m_s, station.metrics, station.health, page)
        with Live(console=Console(), refresh_per_second=4) as screen:

            def show() -> bool:
                screen.update(draw_screen(view, ledger, look(), clock.monotonic() - started))
                return is_over()

            station.run(until=show)
    final, took_s = look(), clock.monotonic() - started
    counts = Counts.of(station.metrics)
    report = {
        "drawn": final.drawn,
        "found": final.found,
        "right_label": final.right_label,
        "false_alarms": final.false_alarms,
        "frames": int(counts.inspected),
        "tiles": int(counts.all_tiles),
        "tiles_per_s": round(counts.all_tiles / took_s, 1),
        "delivered": station.delivered,
    }
    typer.echo(json.dumps(report))
    undelivered = final.drawn > 0 and station.delivered == 0
    if undelivered and station.delivery.broker is not None:
        typer.echo(f"inspector: nothing was delivered: {station.delivery.broker.reason}", err=True)
    return EXIT_OK if final.passed and not undelivered else EXIT_FAILURE


def _on_signals(stop: Callable[[], None]) -> None:
    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
