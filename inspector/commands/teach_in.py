"""Follows a teach-in of the running station by the file that it writes, until there is a candidate or a reason."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from inspector.clock import Clock, to_timestamp_ms
from inspector.errors import LessonError
from inspector.teach.teach_in import FILE, TeachIn, read_teach_in

LOOK_S = 0.5
FITS_S = 1800.0
"""Longest wait for the fit, once nothing is collected any more."""
SILENT_S = 60.0
"""A station that collects writes its file every few seconds; after this time without it has ended."""


def follow_teach_in(folder: Path, clock: Clock, say: Callable[[str], None], before: str | None = None) -> TeachIn:
    """Return the teach-in that the station has just begun, at its end.

    Args:
        folder: Of the references.
        clock: Time.
        say: Told how far it is, whenever that changes.
        before: Id of the one before.

    Raises:
        LessonError: The station writes nothing about it (any more), or the file cannot be read.
    """
    pause, said, begun_mono_s = threading.Event(), "", clock.monotonic()
    while True:
        present = read_teach_in(folder)
        if present is None or present.id == before:
            if clock.monotonic() - begun_mono_s > SILENT_S:
                raise LessonError(f"the station says nothing about it, or this user may not read it: {folder / FILE}")
        elif not present.under_way:
            return present
        else:
            if present.summary != said:
                said = present.summary
                say(said)
            _demand_life(folder, present, clock)
        pause.wait(LOOK_S)


def _demand_life(folder: Path, present: TeachIn, clock: Clock) -> None:
    now_ms = to_timestamp_ms(clock.now())
    silent_s = now_ms / 1000 - (folder / FILE).stat().st_mtime
    if silent_s > (SILENT_S if present.state == "collecting" else FITS_S):
        raise LessonError(f"the station has written nothing for {silent_s:.0f} s; its teach-in continues when it runs")
