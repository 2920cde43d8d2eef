"""What stands for a result that is no picture to keep: the gap that the source hears of, or that is committed."""

from __future__ import annotations

from datetime import datetime

from inspector.frame import Cause, Frame, Gap
from inspector.inspection.one_frame import Inspection
from inspector.station.dispatcher import Result
from inspector.store.entries import REFUSED_OUTCOMES


def reason_of(fault: Exception) -> str:
    """Return what is wrong in one line that can be stored and sent."""
    return f"{type(fault).__name__}: {fault}"[:300].encode("ascii", "backslashreplace").decode()


def substitutes(item: Frame | Gap, fault: Exception, now: datetime) -> tuple[Gap, Gap]:
    """Return the gaps to commit for an item that could not be committed.

    Args:
        item: Whose inspection or commit failed.
        fault: How.
        now: UTC.

    Returns:
        One that names the item, and one that holds nothing that came with it: for when the name is what is wrong.
    """
    why = reason_of(fault)
    if isinstance(item, Gap):
        frames, since, until, identity, seen = item.frames, item.since, item.until, item.identity, item.seen
    else:
        frames, since, until = 1, item.captured_at, item.captured_at
        identity, seen = item.identity if item.independent else None, item.seen
    named = Gap(
        Cause.UNREADABLE, since, until, item.epoch, frames, item.frame_id, identity, item.source_key, item.file_stamp,
        f"{item.source_key or f'frame {item.frame_id}'}: could not be inspected or stored: {why}",
        item.file_digest, seen,
    )  # fmt: skip
    return named, Gap(
        Cause.UNREADABLE, now, now, 0, frames, detail=f"an item could not be inspected or stored: {why}", seen=seen
    )


def put_away_as(result: Result) -> Frame | Gap:
    """Return the item for the source's `done`: a gap is a refused file, and so is a picture of unsupported size."""
    item = result.item
    outcome = result.wait()
    if isinstance(item, Frame) and isinstance(outcome, Inspection) and outcome.cause in REFUSED_OUTCOMES:
        return Gap(outcome.cause, item.captured_at, item.captured_at, item.epoch, 1, item.frame_id, item.identity,
                   item.source_key, item.file_stamp, outcome.detail, item.file_digest)  # fmt: skip
    return item
