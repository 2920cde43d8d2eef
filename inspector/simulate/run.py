"""Writes a stream, and beside it what it shows: a row of the truth for each defect, as soon as it has passed.

Beside the truth lie `TRUTH.strip.json` (what was asked for and how far it came), with faults `TRUTH.faults.jsonl`, and
with a profile `TRUTH.line.jsonl`: the `line` commands that the plant would send. The station reads none of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from inspector.clock import Clock
from inspector.errors import SourceError
from inspector.simulate.order import Order, OrderError
from inspector.simulate.output import Output, open_output
from inspector.simulate.speed import Speed, Stretch
from inspector.simulate.strip import Piece, SimulatedStrip

SCHEMA = "inspector/strip/1"
BURST_S = 0.02
"""Lines of so long a time are written at once, where somebody reads along."""
Wait = Callable[[float], object]
"""Waits for so many seconds, or until it is to end."""


@dataclass(slots=True)
class Passed:
    """How far a stream came."""

    lines: int = 0
    defects: int = 0
    seconds: float | None = None
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """What is written where."""

    order: Order
    profile: Sequence[Speed] | None
    kind: str
    output: str
    truth: Path


def simulate(job: Job, clock: Clock, wait: Wait, say: Callable[[Passed, int], None]) -> Passed:
    """Write the whole stream; what is written holds together if it is interrupted.

    Args:
        job: What is written where.
        clock: The pace, where somebody reads along and the profile says when.
        wait: For that pace.
        say: Told how far it is, and of how many lines.

    Raises:
        OrderError: It cannot be made, and by which option.
        SourceError: Nobody reads it any more.
    """
    strip = SimulatedStrip(job.order, job.profile)
    passed = Passed()
    with ExitStack() as stack:
        book = _Book(job, stack)
        output = open_output(job.kind, job.output, job.order)
        stack.callback(book.close, strip, passed)
        stack.callback(output.close)
        pace = _Pace(clock, wait) if output.paced and job.profile is not None else None
        try:
            for piece in strip.pieces():
                _write(piece, output, pace, book)
                passed.lines = piece.first_line + len(piece.pixels)
                passed.defects += len(piece.rows)
                passed.seconds = _seconds_after(piece, passed.seconds)
                say(passed, strip.lines)
            passed.complete = True
        except BrokenPipeError as exc:
            raise SourceError(f"--output: nobody reads {job.output} any more, after {passed.lines} lines") from exc
    return passed


def _write(piece: Piece, output: Output, pace: _Pace | None, book: _Book) -> None:
    if pace is None:
        book.note_stretch(piece.stretch, piece.first_line)
        output.write(piece.pixels)
    else:
        pace.hold(piece.at_s)
        book.note_stretch(piece.stretch, piece.first_line)
        lines_per_s = piece.stretch.lines_per_s
        step = max(1, round(lines_per_s * BURST_S))
        for first in range(0, len(piece.pixels), step):
            lines = piece.pixels[first : first + step]
            pace.hold(piece.at_s + (first + len(lines)) / lines_per_s)  # a line is there when it has passed
            output.write(lines)
    book.note(piece)


def _seconds_after(piece: Piece, before: float | None) -> float | None:
    speed = piece.stretch.lines_per_s
    if piece.stretch.starts is None:
        return None
    return max(before or 0.0, piece.at_s + (len(piece.pixels) / speed if speed else 0.0))


class _Pace:
    """Lines come when the strip brings them."""

    def __init__(self, clock: Clock, wait: Wait) -> None:
        self._clock, self._wait, self._began = clock, wait, clock.monotonic()

    def hold(self, at_s: float) -> None:
        while (left_s := self._began + at_s - self._clock.monotonic()) > 0:
            self._wait(min(left_s, 1.0))


class _Book:
    """The truth, and the files beside it."""

    def __init__(self, job: Job, stack: ExitStack) -> None:
        self._job = job
        self._stretch: Stretch | None = None
        self._truth = _open(job.truth, stack)
        self._faults = _open(beside(job.truth, "faults.jsonl"), stack) if job.order.faults else None
        self._line = _open(beside(job.truth, "line.jsonl"), stack) if job.profile is not None else None

    def note_stretch(self, stretch: Stretch, line: int) -> None:
        """Write the `line` command of a stretch that begins."""
        if stretch is self._stretch or stretch.starts is None or self._line is None:
            return
        self._stretch = stretch
        speed = stretch.starts.speed_m_s
        payload = {"running": speed != 0, "speed_m_s": speed}
        _write_row(self._line, {"at_s": stretch.starts.at_s, "line": line, "command": "line", "payload": payload})

    def note(self, piece: Piece) -> None:
        """Write what a piece shows, and the faults that are over."""
        for row in piece.rows:
            _write_row(self._truth, row.as_dict())
        for fault, hidden in piece.faults:
            if self._faults is not None:
                _write_row(self._faults, {**asdict(fault), "hides": [row.as_dict() for row in hidden]})

    def close(self, strip: SimulatedStrip, passed: Passed) -> None:
        """Write what was asked for and how far it came."""
        order = {
            key: str(value) if isinstance(value, Path) else value for key, value in asdict(self._job.order).items()
        }
        text = json.dumps({"schema": SCHEMA, **order, "format": self._job.kind, "stream_lines": strip.lines,
                           **asdict(passed)}, indent=1, sort_keys=True)  # fmt: skip
        beside(self._job.truth, "strip.json").write_text(text + "\n", encoding="utf-8")


def beside(truth: Path, name: str) -> Path:
    """Return the name of a file beside the truth."""
    return truth.with_name(f"{truth.name}.{name}")


def _open(path: Path, stack: ExitStack) -> TextIO:
    try:
        return stack.enter_context(path.open("w", encoding="utf-8", buffering=1))
    except OSError as exc:
        raise OrderError("--truth", f"cannot be written: {path}: {exc.strerror}") from exc


def _write_row(file: TextIO, row: dict[str, Any]) -> None:
    file.write(json.dumps(row, sort_keys=False) + "\n")
