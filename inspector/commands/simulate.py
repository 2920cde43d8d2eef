"""The door of `inspector simulate`: its options, its progress, and Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

SAY_S = 10.0
"""Between two lines of progress, where there is no terminal."""


def _read_sizes(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        low, high = (int(word) for word in text.split(","))
    except ValueError as exc:
        raise typer.BadParameter(f"MIN,MAX in pixels is expected: {text}", param_hint="--size-px") from exc
    return low, high


def simulate(
    seed: Annotated[int, typer.Option(help="The same seed, the same strip.")],
    metres: Annotated[float, typer.Option(help="Length of strip.")],
    width_px: Annotated[int, typer.Option(help="Pixels across.")],
    mm_per_px: Annotated[float, typer.Option(help="Scale, both ways.")],
    defects_per_m: Annotated[float, typer.Option(help="0: a clean strip.")],
    output: Annotated[str, typer.Option(help="File or FIFO (`-`: standard output), empty folder, or video file.")],
    truth: Annotated[Path, typer.Option(help="JSON lines: what was drawn where.")],
    kind: Annotated[Literal["raw", "folder", "video"], typer.Option("--format", help="raw: for kind = lines.")],
    size_px: Annotated[str | None, typer.Option(metavar="MIN,MAX", help="Longer side of the defects.")] = None,
    contrast: Annotated[float | None, typer.Option(help="Of the defects, as a share of the light.")] = None,
    roll_mark: Annotated[float | None, typer.Option(metavar="PITCH_MM", help="A mark at this distance.")] = None,
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Real defects in DIR/LABEL/.")] = None,
    ground: Annotated[Path | None, typer.Option(metavar="DIR", help="Real clean surface, quilted.")] = None,
    edges: Annotated[bool, typer.Option("--edges", help="The strip is narrower than the picture.")] = False,
    faults: Annotated[bool, typer.Option("--faults", help="Dropped, torn, black, white and frozen lines.")] = False,
    speed_profile: Annotated[Path | None, typer.Option(metavar="FILE", help="Rows of seconds and m/s.")] = None,
    frame_lines: Annotated[int, typer.Option(help="Of a still or a video frame.")] = 400,
) -> None:
    """Write a strip with known defects, and what is where: raw lines, stills, or a video."""
    from inspector.clock import SystemClock
    from inspector.simulate.order import Order, OrderError
    from inspector.simulate.run import Job
    from inspector.simulate.run import simulate as write_strip
    from inspector.simulate.speed import read_profile

    try:
        order = Order(
            seed, metres, width_px, mm_per_px, defects_per_m, _read_sizes(size_px), contrast, roll_mark, images, ground,
            edges, faults, frame_lines,
        )  # fmt: skip
        profile = None if speed_profile is None else read_profile(speed_profile)
        job = Job(order, profile, kind, output, truth)
        with _Shown(mm_per_px) as shown:
            passed = write_strip(job, SystemClock(), shown.wait, shown.say)
    except OrderError as exc:
        raise typer.BadParameter(str(exc).partition(": ")[2], param_hint=exc.option) from exc
    except KeyboardInterrupt:
        typer.echo(f"simulate: stopped: what was written is whole, and so is its truth: {truth}", err=True)
        return
    typer.echo(f"simulate: {passed.lines} lines, {passed.defects} defects: {output}, truth: {truth}", err=True)


class _Shown:
    """Progress on standard error; SIGTERM ends it as Ctrl-C does."""

    def __init__(self, mm_per_px: float) -> None:
        self._m_per_line = mm_per_px / 1000
        self._console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.completed:.1f} of {task.total:.1f} m, {task.fields[defects]} defects"),
            BarColumn(), TimeRemainingColumn(), console=self._console, disable=not self._console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None, defects=0)
        self._never = threading.Event()
        self._said_s = 0.0

    def __enter__(self) -> _Shown:
        signal.signal(signal.SIGTERM, _interrupt)
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def wait(self, seconds: float) -> None:
        """Wait."""
        self._never.wait(seconds)

    def say(self, passed: object, lines: int) -> None:
        """Show how far it is."""
        from inspector.simulate.run import Passed

        if not isinstance(passed, Passed):
            return
        done_m, whole_m = passed.lines * self._m_per_line, lines * self._m_per_line
        self._bar.update(self._task, completed=done_m, total=whole_m, defects=passed.defects)
        elapsed_s = self._bar.tasks[0].elapsed or 0.0
        if not self._console.is_terminal and elapsed_s - self._said_s >= SAY_S:
            self._said_s = elapsed_s
            typer.echo(f"simulate: {done_m:.1f} of {whole_m:.1f} m, {passed.defects} defects", err=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
