"""Whether the station sees: one pure rule from facts to a state with a reason, and a small memory of since when.

Blind is never clean: whatever keeps the surface from being inspected makes `blind`. What only endangers delivery or
trust makes `degraded`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from inspector.clock import Clock, to_rfc3339
from inspector.frame import Cause
from inspector.messages import HealthMessage

State = Literal["starting", "ok", "degraded", "blind", "idle", "paused"]


VALID_FOR = timedelta(seconds=15)
"""Health that was not renewed for this long is worth nothing: three periods of renewal."""
BLIND_FRAMES = 5
"""So many frames in a row that could not be inspected make a stream blind."""
IDLE_AFTER_S = 10.0
OUTBOX_SHARE = 0.8
MIN_TILES = 50
"""Fewer recent tiles say nothing about the domain."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the parts of the daemon know.

    Attributes:
        started: The first read has returned.
        source_reason: Why the source is down, or None.
        source_ended: It will never deliver again.
        idle_s: Seconds since the last frame or gap.
        missed_frames: Frames in a row that could not be inspected.
        missed_cause: Why the last one could not; a frozen camera is known after `frozen_frames` and says it once.
        store_reason: Why nothing can be committed, or None.
        broker_reason: Why there is no broker, or None.
        outbox_share: Filling of the outbox, 0 to 1.
        unknown_share: Unknown among the recent tiles.
        recent_tiles: How many those are.
        off_domain_share: Limit for `unknown_share`.
        dropped_share: Frames of a live source dropped for lack of time, among the recent ones.
        live: Whether the source is live.
    """

    started: bool = False
    source_reason: str | None = None
    source_ended: bool = False
    idle_s: float = 0.0
    missed_frames: int = 0
    missed_cause: str | None = None
    store_reason: str | None = None
    broker_reason: str | None = None
    outbox_share: float = 0.0
    unknown_share: float = 0.0
    recent_tiles: int = 0
    off_domain_share: float = 1.0
    dropped_share: float = 0.0
    live: bool = False


def judge_health(facts: Facts) -> tuple[State, str | None]:
    """Return the state and, unless it is `ok`, the reason: a word, and after a colon what a person should know."""
    if facts.store_reason:
        return "blind", f"store: {facts.store_reason}"
    if facts.source_reason:
        return "blind", f"source_down: {facts.source_reason}"
    if not facts.started:
        return "starting", None
    if facts.missed_cause == Cause.FROZEN:
        return "blind", "frozen: the camera repeats one picture"
    if facts.missed_frames >= BLIND_FRAMES:
        return "blind", f"{facts.missed_cause}: {facts.missed_frames} frames in a row"
    if facts.live and not facts.source_ended and facts.idle_s > IDLE_AFTER_S:
        return "blind", "no_frames: the camera is open and delivers nothing"
    if facts.outbox_share > OUTBOX_SHARE:
        return "degraded", f"outbox_filling: {facts.outbox_share:.0%} of its limit"
    if facts.broker_reason:
        return "degraded", f"broker: {facts.broker_reason}"
    if facts.recent_tiles >= MIN_TILES and facts.unknown_share > facts.off_domain_share:
        return "degraded", f"off_domain: {facts.unknown_share:.0%} of the tiles are unknown to the model"
    if facts.dropped_share > 0.5:
        return "degraded", f"falling_behind: {facts.dropped_share:.0%} of the frames dropped"
    if facts.source_ended:
        return "idle", "ended: the source has delivered everything"
    if facts.idle_s > IDLE_AFTER_S:
        return "idle", "no_frames: nothing to inspect"
    return "ok", None


class HealthBoard:
    """The present state, since when, as a message. One writer, any readers.

    Args:
        station: site/line/name.
        clock: Time.
    """

    def __init__(self, station: str, clock: Clock) -> None:
        self._station = station
        self._clock = clock
        self._guard = threading.Lock()
        self._state: State = "starting"
        self._reason: str | None = None
        self._since: datetime = clock.now()

    def update(self, state: State, reason: str | None) -> bool:
        """Set the state; returns whether state or the reason's first word changed."""
        with self._guard:
            before = (self._state, _word(self._reason))
            changed = before != (state, _word(reason))
            if state != self._state:
                self._since = self._clock.now()
            self._state, self._reason = state, reason  # the figures in a reason move on without a change
            return changed

    @property
    def state(self) -> State:
        """The state in one word."""
        return self._state

    def message(self) -> HealthMessage:
        """Return the state as of now."""
        with self._guard:
            return HealthMessage(
                station=self._station,
                state=self._state,
                reason=self._reason,
                since=to_rfc3339(self._since),
                valid_until=to_rfc3339(self._clock.now() + VALID_FOR),
            )


def _word(reason: str | None) -> str | None:
    return reason.partition(":")[0] if reason else None
