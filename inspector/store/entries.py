"""What is committed, and what is read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from inspector.drafts import Draft
from inspector.frame import Cause, FileStamp
from inspector.items import Command
from inspector.messages import Evidence
from inspector.strip.record import CoilRecord

REFUSED_OUTCOMES = frozenset({Cause.UNREADABLE, Cause.UNSUPPORTED, Cause.TOO_LARGE, Cause.DEADLY})
"""The ledger's word for a file that was never a picture to inspect."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finding under its threshold: kept so that thresholds can be judged later."""

    captured_ms: int
    epoch: int
    frame_id: int
    source_key: str | None
    label: str
    score: float
    x: int
    y: int
    width: int
    height: int
    bundle: str


@dataclass(frozen=True, slots=True)
class DoneMark:
    """A file that is finished.

    Attributes:
        source_key: Its path relative to the watched folder.
        stamp: Its size and times when it was read.
        outcome: What became of it, in one word.
        digest: SHA-256 of its content in hexadecimal; None for a file that was not read.
    """

    source_key: str
    stamp: FileStamp
    outcome: str
    digest: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What one frame, gap or tick leaves behind; committed whole or not at all.

    Attributes:
        drafts: Messages, in order.
        evidence: Of drafts, by message id.
        done: The finished file, if it was one.
        candidates: Findings under their thresholds.
        commands: Accepted commands that took effect here.
        coils: Records of coils that began, grew or ended.
        also: Writes more, inside the same transaction.
    """

    drafts: Sequence[Draft]
    evidence: Mapping[str, Evidence]
    done: DoneMark | None = None
    candidates: Sequence[Candidate] = ()
    commands: Sequence[Command] = ()
    coils: Sequence[CoilRecord] = ()
    also: Callable[[sqlite3.Connection], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One message to deliver."""

    seq: int
    topic: str
    payload: bytes
    stored_ms: int


@dataclass(frozen=True, slots=True)
class Loss:
    """Messages that a sink will never deliver: they were deleted before it could.

    Attributes:
        sink: Which sink.
        messages: How many.
        first_seq, last_seq: The first and last of them; others between them were not lost, unless `seqs` says so.
        seqs: Exactly which, as `4-9 12`; None: too many to list.
    """

    sink: str
    messages: int
    first_seq: int
    last_seq: int
    seqs: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class OutboxState:
    """How full the outbox is for one sink."""

    messages: int
    bytes: int
    oldest_ms: int | None
    last_seq: int
