"""Whether the station sees: one pure rule from facts to a state with a reason, and the start of that state.

Blind is never clean: what prevents the inspection of the surface makes `blind`. What only endangers delivery or
trust makes `degraded`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from inspector.clock import Clock, to_rfc3339
from inspector.frame import Cause
from inspector.messages import HealthMessage
from inspector.track.operators import OperatorState

State = Literal["starting", "ok", "degraded", "blind", "idle", "paused"]


VALID_FOR = timedelta(seconds=15)
"""Health that was not judged again for this long is invalid."""


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """The limits of the rule.

    Attributes:
        blind_frames: This many frames in a row that could not be inspected make a stream blind.
        idle_after_s: Without a frame for longer, a live source is blind and any other idle.
        outbox_share: A fuller outbox is reported.
        min_tiles: With fewer recent tiles the domain is not judged.
        off_domain_share: With more unknown tiles than this the surface is foreign to the model.
        dropped_share: With more dropped frames than this the station falls behind.
    """

    blind_frames: int = 5
    idle_after_s: float = 10.0
    outbox_share: float = 0.8
    min_tiles: int = 50
    off_domain_share: float = 0.5
    dropped_share: float = 0.5


@dataclass(frozen=True, slots=True)
class Facts:
    """What the parts of the daemon know.

    Attributes:
        started: Whether the first read has returned.
        source_reason: Why the source is down, or None.
        source_report: What is wrong although the source delivers, as the reason of health, or None.
        source_ended: It will never deliver again.
        idle_s: Seconds since the last frame or gap.
        missed_frames: Frames in a row that could not be inspected.
        missed_cause: Why the last one could not; a frozen camera is noticed after `frozen_frames` and reported once.
        store_reason: Why nothing can be committed, or None.
        store_notice: What was set aside of late, as the reason of health, or None.
        delivery_reason: What is wrong with a sink, as the reason of health, or None.
        outbox_share: Filling of the outbox, 0 to 1.
        unknown_share: Unknown among the recent tiles.
        recent_tiles: How many those are.
        dropped_share: Frames of a live source dropped for lack of time, among the recent ones.
        no_recipe: Why no recipe holds although there are some, or None.
        untaught: Why no reference of the site is in force although one is expected, or None.
        live: Whether the source is live.
        insensitive: Why the station cannot be trusted to see, as the reason of health, or None.
        clock_reason: What is wrong with the machine's clock, as the reason of health, or None.
        operators: What people have asked for.
    """

    started: bool = False
    source_reason: str | None = None
    source_report: str | None = None
    source_ended: bool = False
    idle_s: float = 0.0
    missed_frames: int = 0
    missed_cause: str | None = None
    store_reason: str | None = None
    store_notice: str | None = None
    delivery_reason: str | None = None
    outbox_share: float = 0.0
    unknown_share: float = 0.0
    recent_tiles: int = 0
    dropped_share: float = 0.0
    untaught: str | None = None
    no_recipe: str | None = None
    live: bool = False
    insensitive: str | None = None
    clock_reason: str | None = None
    operators: OperatorState = field(default_factory=OperatorState)


def judge_health(facts: Facts, limits: HealthLimits) -> tuple[State, str | None]:
    """Return the state and, unless it is `ok`, the reason: a word, and after a colon the details for a person.

    A pause hides no fault of the store, the source or the camera. A line that stands makes nothing blind that only a
    moving surface could show.
    """
    pause, line = facts.operators.pause, facts.operators.line
    stands = line is not None and not line.running
    if facts.store_reason:
        return "blind", f"store: {facts.store_reason}"
    if facts.source_reason:
        return "blind", f"source_down: {facts.source_reason}"
    if not facts.started:
        return "starting", None
    moving = pause is None and not stands
    if moving and facts.missed_cause == Cause.FROZEN:
        return "blind", "frozen: the camera repeats one picture"
    if moving and facts.missed_frames >= limits.blind_frames:
        return "blind", f"{facts.missed_cause}: {facts.missed_frames} frames in a row"
    if facts.live and not facts.source_ended and facts.idle_s > limits.idle_after_s and not stands:
        return "blind", "no_frames: the camera is open and delivers nothing"
    if pause is not None:
        return "paused", f"paused: {pause.reason}" if pause.reason else "paused"
    if stands:
        return _judge_delivery(facts, limits) or ("idle", "line_stands: the plant says that the line does not run")
    if trouble := _judge_delivery(facts, limits):
        return trouble
    if facts.insensitive:
        return "degraded", facts.insensitive
    if facts.clock_reason:
        return "degraded", facts.clock_reason
    if facts.dropped_share > limits.dropped_share:
        return "degraded", f"falling_behind: {facts.dropped_share:.0%} of the frames dropped"
    if facts.no_recipe:
        return "degraded", f"no_recipe: {facts.no_recipe}"
    if facts.untaught:  # before off_domain: that an untaught surface is foreign is no news, and teaching cures both
        return "degraded", f"untaught: {facts.untaught}"
    if facts.recent_tiles >= limits.min_tiles and facts.unknown_share > limits.off_domain_share:
        return "degraded", f"off_domain: {facts.unknown_share:.0%} of the tiles are unknown to the model"
    if facts.source_ended:
        return "idle", "ended: the source has delivered everything"
    if facts.idle_s > limits.idle_after_s:
        return "idle", "no_frames: nothing to inspect"
    return "ok", None


def _judge_delivery(facts: Facts, limits: HealthLimits) -> tuple[State, str] | None:
    """Return what endangers delivery or the source, whether or not there is anything to inspect; None: nothing."""
    if facts.outbox_share > limits.outbox_share:
        return "degraded", f"outbox_filling: {facts.outbox_share:.0%} of its limit"
    reason = facts.store_notice or facts.delivery_reason or facts.source_report
    return None if reason is None else ("degraded", reason)


class HealthBoard:
    """The state as it was last judged, and its start, as a message. One writer, any number of readers.

    Reading does not renew it: a state that was not judged for `VALID_FOR` is shown as blind, because its judgement
    hangs.

    Args:
        station: site/line/name.
        clock: Time.
        reference: Returns the hash of the site's reference in force, or None.
        operators: Returns what people have asked for.
        recipe: As the attribute.

    Attributes:
        recipe: Returns the name of the recipe in force, or None.
    """

    def __init__(
        self,
        station: str,
        clock: Clock,
        reference: Callable[[], str | None] = lambda: None,
        operators: Callable[[], OperatorState] = OperatorState,
        recipe: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.recipe = recipe
        self._chosen: str | None = None
        self._station = station
        self._reference = reference
        self._operators = operators
        self._said = OperatorState()
        self._named: str | None = None  # as of the last judgement: state, reason and reference go together
        self._clock = clock
        self._guard = threading.Lock()
        self._state: State = "starting"
        self._reason: str | None = None
        self._since: datetime = clock.now()
        self._judged: tuple[datetime, float] = clock.now(), clock.monotonic()

    def update(self, state: State, reason: str | None) -> bool:
        """Set the state; returns whether state, the reason's first word, the reference or what people asked changed."""
        named, said, chosen = self._reference(), self._operators(), self.recipe()
        with self._guard:
            before = (self._state, _word(self._reason), self._named, self._said, self._chosen)
            changed = before != (state, _word(reason), named, said, chosen)
            self._named, self._said, self._chosen = named, said, chosen
            self._judged = self._clock.now(), self._clock.monotonic()
            if state != self._state:
                self._since = self._clock.now()
            self._state, self._reason = state, reason  # the figures in a reason move on without a change
            return changed

    @property
    def state(self) -> State:
        """The state in one word."""
        return self._state

    def message(self) -> HealthMessage:
        """Return the last judgement, or `blind` if that is too old."""
        with self._guard:
            judged_at, judged_mono_s = self._judged
            state, reason, since = self._state, self._reason, self._since
            pause, line = self._said.pause, self._said.line
            age_s = self._clock.monotonic() - judged_mono_s
            if age_s > VALID_FOR.total_seconds():
                state, reason = "blind", f"unjudged: nothing has looked after the station for {age_s:.0f} s"
                since = judged_at
            return HealthMessage(
                station=self._station,
                state=state,
                reason=reason,
                since=to_rfc3339(since),
                valid_until=to_rfc3339(judged_at + VALID_FOR),
                reference=self._named,
                recipe=self._chosen,
                running=None if line is None else line.running,
                speed_m_s=None if line is None else line.speed_m_s,
                person=None if pause is None else pause.person,
                until=None if pause is None else to_rfc3339(pause.until),
                shelved=len(self._said.shelves),
            )


def _word(reason: str | None) -> str | None:
    return reason.partition(":")[0] if reason else None
