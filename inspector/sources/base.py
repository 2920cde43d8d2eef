"""What every source is: it is read, hears which items are done, and is closed. `reader` runs it on a thread of its own.

A source opens its device on the first `read` and again after every `SourceError`; waiting between tries is the
reader's business, so no source sleeps or retries by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from inspector.clock import Clock
from inspector.frame import FileStamp, FinishedFile, Frame, Gap

READ_TIMEOUT_S = 0.5
"""Longest time that `read` may block without returning: progress and shutdown are checked in between."""


class Policy(StrEnum):
    """What happens when frames arrive faster than they are inspected."""

    LIVE = "live"  # keep the newest, count every dropped one
    LOSSLESS = "lossless"  # make the source wait


class EndOfSource(Exception):  # noqa: N818 - an end, like StopIteration, not an error
    """The source has delivered everything it ever will: a video file or standard input at its end."""


class Ledger(Protocol):
    """The durable memory of which files are finished; the store keeps it."""

    def find(self, source_key: str) -> FinishedFile | None:
        """Return what is known of the finished file of this name."""
        ...

    def confirm(self, files: Sequence[tuple[str, FileStamp, str | None]]) -> None:
        """Remember that these files have other stamps by now, but are the finished ones: name, stamp and digest.

        Raises:
            StoreBusyError: The disk is full or broken; nothing is remembered.
        """
        ...

    def suspects(self) -> dict[str, int]:
        """Return the files that were being worked on when the process died, and how often that happened."""
        ...

    def starting(self, source_key: str) -> None:
        """Note that work on a file begins, so that a file that kills the process is known afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What any source may use.

    Attributes:
        clock: Time.
        next_epoch: Allocates the next epoch, durably; called once per opening of a device.
        store_id: Prefix of the identity of frames that have no identity of their own.
        report: Takes what is wrong although the source delivers, as a reason of health, or None when that is over.
    """

    clock: Clock
    next_epoch: Callable[[], int]
    store_id: str
    report: Callable[[str | None], None] = lambda _: None

    def stream_identity(self, epoch: int, position: int) -> str:
        """Return the identity of a frame that exists only once: a camera's, or a line stream's by its first line."""
        return f"{self.store_id}:{epoch}:{position}"


class FrameSource(Protocol):
    """One camera, stream, file or folder.

    `read`, and what it opens, run on the reader's thread alone; `done` and `close` may come from another.
    """

    @property
    def policy(self) -> Policy:
        """Live or lossless: a property of what is opened, fixed before the first read."""
        ...

    @property
    def description(self) -> str:
        """What is read, for people: the device or path without secrets."""
        ...

    def read(self) -> Frame | Gap | None:
        """Return the next frame or gap, or None when nothing came within about `READ_TIMEOUT_S`: idle, not stuck.

        Raises:
            SourceError: The source is not there (any more). Reading again tries to open it again.
            EndOfSource: There is nothing more to come, ever.
        """
        ...

    def done(self, item: Frame | Gap) -> None:
        """Take note that `item` is committed: move the file, give the buffer back."""
        ...

    def close(self) -> None:
        """End a blocking `read` soon and release the device. Idempotent."""
        ...


class NoLedger:
    """A ledger for reading without a store: nothing is done, nothing is noted."""

    def find(self, source_key: str) -> FinishedFile | None:
        """Know of none."""

    def confirm(self, files: Sequence[tuple[str, FileStamp, str | None]]) -> None:
        """Forget it."""

    def suspects(self) -> dict[str, int]:
        """Know of none."""
        return {}

    def starting(self, source_key: str) -> None:
        """Forget it."""
