"""One teach-in after the other of a running station: what it collects, how far it is, and what came of it.

The frames' threads hand over what they have anyway, and never wait. Nothing that goes wrong here ends the station: it
inspects on, and health, log and `teach-in.json` say why.
"""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from inspector.box import Box
from inspector.clock import Clock, to_rfc3339, to_timestamp_ms
from inspector.command_table import TeachCommand
from inspector.errors import LessonError
from inspector.frame import Frame
from inspector.inspection.one_frame import Inspection
from inspector.settings.sections import Teach
from inspector.station.teach_fit import Fit
from inspector.teach.collecting import Collected, Collector
from inspector.teach.durable import held_lock
from inspector.teach.teach_in import LOCK_FILE, NAMED, STILLS, TILES_FILE, TeachIn, read_teach_in, write_teach_in
from inspector.telemetry.health import HealthBoard

WRITE_S = 5.0
"""How often the progress is written down while it collects."""
WAITING_FRAMES = 16
WAITING_BYTES = 64 << 20
"""Frames that wait to be sampled; more are passed over."""
MAX_FITS = 3
"""A fit that the station does not outlive is not begun again and again."""
MOST_SHARE = 0.01
"""Of the time, that sampling may take; a frame of one tile takes 0.06 to 0.19 ms, a twentieth of its network."""
CREDIT_S = 0.25
"""So much at once at the beginning, when every tile is kept."""
SLICES = 12
"""Pieces in time that stand for coils while no coil is named."""
FLOOR_TILES = 50
"""With room for fewer tiles nothing can be taught."""

_log = structlog.get_logger("teach")


@dataclass(frozen=True, slots=True, eq=False)
class _Offered:
    frame: Frame
    boxes: tuple[Box, ...]
    coil: str | None


class TeachInRun:
    """One teach-in after the other, on the thread of `Teaching`.

    Args:
        folder: Of the references.
        options: The bounds of what it keeps.
        tile_px: A tile's side, which bounds the tiles by their bytes.
        clock: Time.
        health: A blind station teaches nothing.
        fit: Starts the child that fits a lesson of this folder.
    """

    def __init__(
        self, folder: Path, options: Teach, tile_px: int, clock: Clock, health: HealthBoard,
        fit: Callable[[TeachIn], Fit],
    ) -> None:  # fmt: skip
        self._folder = folder
        self._capacity = min(options.reservoir_tiles, options.reservoir_bytes // tile_px**2)
        self._tile_px = tile_px
        self._clock = clock
        self._health = health
        self._start_fit = fit
        self._guard = threading.Lock()
        self._waiting: deque[_Offered] = deque()
        self._waiting_bytes = 0
        self._collector: Collector | None = None
        self._fit: Fit | None = None
        self._since_mono_s = self._written_mono_s = clock.monotonic()
        self._spent_s = 0.0
        self._cancelled = False
        self._held = ExitStack()
        self.present = read_teach_in(folder)
        if self.present is not None and self.present.under_way:
            with suppress(LessonError, OSError):  # somebody teaches from a folder at this moment: both go on
                self._hold()

    # --- From other threads -----------------------------------------------------------------------------------------

    @property
    def collects(self) -> bool:
        """Whether frames are collected from now."""
        return self.present is not None and self.present.state == "collecting"

    def see(self, inspection: Inspection, coil_id: str | None) -> None:
        """Hand an inspected frame over if one is collected from; never waits."""
        if not self.collects or inspection.cause is not None or not self._may_spend:
            return
        frame = inspection.frame
        with self._guard:
            full = self._waiting_bytes + frame.pixels.nbytes > WAITING_BYTES and self._waiting
            if len(self._waiting) < WAITING_FRAMES and not full:
                self._waiting.append(_Offered(frame, inspection.boxes, coil_id))
                self._waiting_bytes += frame.pixels.nbytes

    def begin(self, asked: TeachCommand) -> str:
        """Begin to collect; returns a sentence.

        Raises:
            LessonError: The station is blind or paused, another teach-in is under way, or the disk is full.
        """
        if self._health.state in ("blind", "paused"):
            raise LessonError(f"nothing can be taught while the station is {self._health.state}")
        if self.present is not None and self.present.under_way:
            raise LessonError(f"{self.present.summary}; cancel it first: action=cancel")
        if self._capacity < FLOOR_TILES:
            raise LessonError(f"teach.reservoir_bytes has no room for {FLOOR_TILES} tiles: {self._capacity}")
        self._demand_room()
        now = self._clock.now()
        until = now + timedelta(minutes=asked.minutes)
        begun = TeachIn(
            id=str(to_timestamp_ms(now)), state="collecting", by=asked.person or "a command",
            started_at=to_rfc3339(now), until=to_rfc3339(until), until_ms=to_timestamp_ms(until),
            false_calls_per_km=asked.false_calls_per_km, accept=asked.accept, capacity=self._capacity,
        )  # fmt: skip
        try:
            self._hold()
            write_teach_in(self._folder, begun)
        except OSError as exc:
            self._held.close()
            raise LessonError(f"{exc.filename or self._folder}: {exc.strerror}: the teach-in does not begin") from exc
        self._cancelled = False
        self._spent_s, self._since_mono_s = 0.0, self._clock.monotonic()
        self.present = begun
        _log.info("teach_in_begun", until=begun.until, tiles=begun.capacity, by=begun.by)
        return f"collects until {begun.until}, at most {begun.capacity} tiles, and then fits a candidate"

    def _demand_room(self) -> None:
        """Refuse a teach-in whose tiles, and candidate, the disk cannot hold.

        Raises:
            LessonError: So it is.
        """
        needed = 2 * self._capacity * self._tile_px**2
        existing = next(folder for folder in (self._folder, *self._folder.parents) if folder.exists())
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise LessonError(f"the disk is full: {free >> 20} MB are free, {needed >> 20} MB are needed: {existing}")

    def _hold(self) -> None:
        """Keep others from teaching this station meanwhile.

        Raises:
            LessonError: Another one does.
            OSError: The folder cannot be written.
        """
        self._held.enter_context(held_lock(self._folder / LOCK_FILE, wait=False, busy="another teach-in is running"))

    def cancel(self) -> str:
        """End what is under way; returns a sentence.

        Raises:
            LessonError: Nothing is.
        """
        if self.present is None or not self.present.under_way:
            raise LessonError("no teach-in is under way")
        self._cancelled = True
        return "the teach-in ends, and nothing is left of it"

    def note_accepted(self) -> None:
        """Write down that the candidate counts."""
        if self.present is not None and not self.present.under_way:
            self._note(state="accepted")

    # --- On the thread ------------------------------------------------------------------------------------------------

    def step(self) -> TeachIn | None:
        """Do what is due; returns the teach-in if it has just ended."""
        present = self.present
        if present is None or not present.under_way:
            return None
        if self._cancelled:
            return self._end("cancelled", "it was cancelled")
        if present.state == "collecting":
            self._collect(present)
            if to_timestamp_ms(self._clock.now()) < present.until_ms:
                return None
            self._close_collector()
            self._note(state="fitting")
            return None
        if self._fit is None:
            if present.fits >= MAX_FITS:
                return self._end("refused", f"the station has ended {MAX_FITS} times while it was fitted: memory?")
            self._note(fits=present.fits + 1)
            self._fit = self._start_fit(present)
            _log.info("teach_in_fits", tiles=present.tiles, coils=present.coils)
        if (result := self._fit.result()) is None:
            return None
        self._fit = None
        good = result.reference is not None and result.refused is None
        return self._end("candidate" if good else "refused", result.text, result.reference)

    def _collect(self, present: TeachIn) -> None:
        with self._guard:
            offered = list(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
        trouble = present.trouble
        try:
            if self._collector is None:
                self._collector = Collector(
                    self._folder / TILES_FILE,
                    present.capacity,
                    int(present.id),
                    present.tile_hw,
                    Collected(present.frames, present.tiles_seen, present.tiles_across),
                )
            for one in offered:
                if self._may_spend:
                    begun_mono_s = self._clock.monotonic()
                    self._collector.take(one.frame, one.boxes, self._coil_of(one, present))
                    self._spent_s += self._clock.monotonic() - begun_mono_s
            trouble = None if offered else trouble
        except OSError as exc:
            trouble = f"{exc.filename or self._folder}: {exc.strerror}"
            if trouble != present.trouble:
                _log.warning("teach_in_refused_by_disk", reason=trouble)
        late = self._clock.monotonic() - self._written_mono_s >= WRITE_S
        begun = self._collector is not None and self._collector.tile_hw != present.tile_hw
        if late or begun or trouble != present.trouble:
            self._note(trouble=trouble)

    @property
    def _may_spend(self) -> bool:
        """Whether sampling has taken less than its share of the time; else frames are passed over."""
        return self._spent_s <= CREDIT_S + MOST_SHARE * (self._clock.monotonic() - self._since_mono_s)

    def _coil_of(self, offered: _Offered, present: TeachIn) -> str:
        """Return the coil, or the piece of time that stands for it."""
        if offered.coil is not None:
            return f"{NAMED}{offered.coil}"
        begun, until = int(present.id), present.until_ms
        piece = (to_timestamp_ms(self._clock.now()) - begun) * SLICES // max(1, until - begun)
        return f"{STILLS if offered.frame.independent else 'time:'}{min(SLICES - 1, max(0, piece))}"

    def _note(self, **changes: object) -> None:
        """Write down how it stands; a disk that refuses is tried again at the next change."""
        assert self.present is not None  # noqa: S101 - called while one is under way
        if self._collector is not None:
            changes |= _figures(self._collector)
        self.present = self.present.model_copy(update=changes)
        self._written_mono_s = self._clock.monotonic()
        try:
            write_teach_in(self._folder, self.present)
        except OSError as exc:
            _log.warning("teach_in_not_written", reason=f"{exc.filename}: {exc.strerror}")

    def _end(self, state: str, text: str, reference: str | None = None) -> TeachIn:
        self._close_collector()
        if self._fit is not None:
            self._fit.stop()
            self._fit = None
        self._note(state=state, text=text[:2000], reference=reference)
        (self._folder / TILES_FILE).unlink(missing_ok=True)
        self._held.close()
        assert self.present is not None  # noqa: S101 - noted above
        _log.info("teach_in_ended", state=state, reference=reference, reason=text)
        return self.present

    def _close_collector(self) -> None:
        if self._collector is not None:
            collector, self._collector = self._collector, None
            assert self.present is not None  # noqa: S101 - it was collected for
            self.present = self.present.model_copy(update=_figures(collector))
            collector.close()

    def stop(self) -> None:
        """Leave what is under way to the next process."""
        self._held.close()
        if self._collector is not None:
            self._note()
        self._close_collector()
        if self._fit is not None:
            self._fit.stop()
            self._fit = None


def _figures(collector: Collector) -> dict[str, object]:
    """Return how far a collector is, as fields of `TeachIn`."""
    counts = collector.counts
    return {
        "tiles": collector.tiles, "coils": len(collector.coils), "frames": counts.frames, "tiles_seen": counts.tiles,
        "tiles_across": counts.across, "tile_hw": collector.tile_hw,
        "coils_known": all(name.startswith(NAMED) for name in collector.coils),
    }  # fmt: skip
