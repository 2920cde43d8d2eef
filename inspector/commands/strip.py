"""The door of `inspector strip`; what it does is in `inspector.joiner`."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer


def strip(
    config: Annotated[Path, typer.Option("--config", "-c", help="TOML file of the strip.", show_default=False)],
    check: Annotated[
        bool, typer.Option("--check", help="Only say what is configured, and what no camera sees.")
    ] = False,
) -> None:
    """Join the messages of several cameras, both sides: one defect each, coils and coverage of the whole width."""
    from inspector.clock import SystemClock
    from inspector.joiner.service import StripService
    from inspector.joiner.settings import load_joiner

    settings = load_joiner(config)
    if check:
        typer.echo(f"{settings.root}: {settings.edges[0]:g} to {settings.edges[1]:g} mm, {', '.join(settings.sides)}")
        for one in settings.station:
            typer.echo(f"  {one.root}: {one.side}, {one.edges[0]:g} to {one.edges[1]:g} mm")
        for side, low, high in settings.uncovered():
            typer.echo(f"  nobody: {side}, {low:g} to {high:g} mm: a gap of each coil")
        return
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    StripService(settings, SystemClock()).run(stopping)
