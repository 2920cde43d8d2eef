"""What a source delivers: a `Frame` to inspect, or a `Gap` that says what was not seen and why.

Nothing here reads a device. A frame is never written after capture; code that needs other pixels makes a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


class Cause(StrEnum):
    """Why a piece of surface was not inspected. Blind is never clean: every one of these is counted and published."""

    DROPPED = "dropped"  # a live source was faster than the inspection
    UNREADABLE = "unreadable"  # damaged, truncated, empty or refused picture
    UNSUPPORTED = "unsupported"  # no still JPEG, PNG, BMP or TIFF, or no pixel of it is in tiling.roi_xy
    TOO_LARGE = "too_large"  # more bytes or pixels than the configuration allows
    PARTIAL = "partial"  # only a part of the frame arrived
    BLANK = "blank"  # no structure at all: lens cap, light off
    OVEREXPOSED = "overexposed"
    UNDEREXPOSED = "underexposed"
    FROZEN = "frozen"  # a live camera repeats one picture
    SOURCE_DOWN = "source_down"
    DEADLY = "deadly"  # this file kills the process that decodes it
    PAUSED = "paused"
    PROCESS_DOWN = "process_down"

    @property
    def looked(self) -> bool:
        """True when a picture arrived but could not be used; False when no picture was seen at all."""
        return self not in (Cause.DROPPED, Cause.SOURCE_DOWN, Cause.PAUSED, Cause.PROCESS_DOWN)


class FileStamp(NamedTuple):
    """Identifies one state of a file: the ledger remembers finished files by it.

    Size and time are what the writer chooses; a file that is replaced with both kept has another inode or change time.

    Attributes:
        size_bytes: Its length.
        mtime_ns: When it was written, as its writer says.
        inode: Its number on the file system, as a signed number of 64 bits.
        changed_ns: When content, name or rights changed, as the system says.
    """

    size_bytes: int
    mtime_ns: int
    inode: int = 0
    changed_ns: int = 0

    def is_dated_as(self, other: FileStamp) -> bool:
        """Say whether size and time are the same: only the content then tells one picture from another."""
        return self[:2] == other[:2]


class FinishedFile(NamedTuple):
    """A finished file as the ledger remembers it.

    Attributes:
        stamp: Size and times when it was read.
        digest: SHA-256 of its content in hexadecimal; None if it was not read.
        refused: It was no picture that can be inspected.
        proven: Inode, change time and digest are known; a previous program has stored neither.
    """

    stamp: FileStamp
    digest: str | None
    refused: bool
    proven: bool = True


@dataclass(frozen=True, slots=True, eq=False)  # arrays have no single truth value
class Frame:
    """One picture as captured.

    Attributes:
        pixels: (H, W) grey or (H, W, 3) BGR, uint8, never written after capture.
        epoch: Counts source starts of one store from 1.
        frame_id: Counts captured frames of this epoch from 0; a jump means dropped frames.
        captured_at: UTC, end of exposure as well as it is known (a file's modification time for stills).
        captured_mono_s: The same moment on `Clock.monotonic`, seconds.
        identity: What the frame *is*, independent of who reads it when; the ids of its messages follow from it. The
            same file read again after a crash has the same identity, whatever its `epoch` and `frame_id`.
        source_key: Path relative to the watched folder, else None.
        file_stamp: Of the file at `source_key`.
        file_digest: SHA-256 of that file in hexadecimal, else None.
        found_mono_s: When that file was noticed, as `captured_mono_s`: it may be much older.
        block_id: The device's own frame number, where there is one.
        first_line: 64-bit absolute line number of row 0 for a line stream, else None.
        overlap_lines: Leading rows that the previous frame already showed.
        independent: True for stills: defects in other frames are other defects.
        complete: False when rows are missing at the end; `pixels` then holds the valid rows only.
        simulated: True for generated pictures.
    """

    pixels: Pixels
    epoch: int
    frame_id: int
    captured_at: datetime
    captured_mono_s: float
    identity: str
    source_key: str | None = None
    file_stamp: FileStamp | None = None
    found_mono_s: float | None = None
    block_id: int | None = None
    first_line: int | None = None
    overlap_lines: int = 0
    independent: bool = False
    complete: bool = True
    simulated: bool = False
    file_digest: str | None = None

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if dtype != np.uint8 or not (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) or 0 in shape:
            raise ValueError(f"pixels must be (H, W) or (H, W, 3) uint8: {shape} {dtype}")
        if self.captured_at.tzinfo is None:
            raise ValueError(f"captured_at needs a time zone: {self.captured_at}")

    @property
    def placed_mono_s(self) -> float:
        """Its place among items from elsewhere: when it was captured or, for a file, noticed."""
        return self.captured_mono_s if self.found_mono_s is None else max(self.captured_mono_s, self.found_mono_s)

    @property
    def seen(self) -> Seen:
        """Where and when it was taken."""
        return Seen(self.captured_at, self.captured_mono_s, self.epoch, self.height_px, self.first_line,
                    self.overlap_lines)  # fmt: skip

    @property
    def height_px(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True)
class Seen:
    """Where and when a frame was taken, whether or not it could be inspected.

    Attributes:
        at: UTC, end of exposure.
        mono_s: The same on the monotonic clock; None: not known.
        epoch: Of its source.
        rows: Its height.
        first_line: Absolute line of its first row, or None.
        overlap_lines: Leading rows that the previous frame showed, too.
    """

    at: datetime
    mono_s: float | None
    epoch: int
    rows: int
    first_line: int | None = None
    overlap_lines: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that was not inspected, and why.

    Attributes:
        cause: Why.
        since: UTC, start of the blind stretch.
        until: UTC, its end; equal to `since` for a single picture.
        epoch: Of the source start it belongs to.
        frames: How many frames are missing, where that is known (0: unknown, as while a camera is away).
        frame_id: Of the frame that could not be inspected, for a captured still.
        identity: As `Frame.identity`, for a captured still that exists but cannot be inspected, else None.
        source_key: As `Frame.source_key`.
        file_stamp: As `Frame.file_stamp`.
        detail: A sentence for a person: which file or device, and what was wrong with it.
        file_digest: As `Frame.file_digest`; also None for a file that was not read.
        seen: Where and when the frame was taken, if one came; None: none did.
        from_m, to_m: Where it lies on the coil, m from its head, once that is known.
    """

    cause: Cause
    since: datetime
    until: datetime
    epoch: int
    frames: int = 0
    frame_id: int | None = None
    identity: str | None = None
    source_key: str | None = None
    file_stamp: FileStamp | None = None
    detail: str = ""
    file_digest: str | None = None
    seen: Seen | None = None
    from_m: float | None = None
    to_m: float | None = None
