"""The state of `track` on its way through a station: restored at the start, and stored with the messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from inspector.clock import Clock, from_timestamp_ms
from inspector.drafts import Draft
from inspector.frame import Cause, Gap
from inspector.items import CoilChange, Command, Tick
from inspector.station.dispatcher import Result
from inspector.station.inbox import Inbox
from inspector.station.paused import PauseMark
from inspector.store.store import Store
from inspector.strip.record import CoilRecord
from inspector.track.memory import from_text, to_text
from inspector.track.operators import paused_gap
from inspector.track.rules import TrackRules
from inspector.track.state import TrackState
from inspector.track.track import Item, track

STATE_S = 1.0
"""How old the stored state may be in what only gives the next frame its place."""

_log = structlog.get_logger("commit")


CoilSeen = Callable[[CoilRecord | None, float], None]


class Tracker:
    """Calls `track` for one item after the other, and knows which state is stored.

    Args:
        rules: How items become messages.
        store: Has the state that the last process stored.
        inbox: Takes a coil that was named after that.
        clock: Time.
        mark: Told from when on a pause spares the inspection.
        coil_seen: Told which coil runs, whenever that changes.
    """

    def __init__(
        self,
        rules: TrackRules,
        store: Store,
        inbox: Inbox,
        clock: Clock,
        mark: PauseMark | None = None,
        coil_seen: CoilSeen | None = None,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._mark = mark or PauseMark()
        self._coil_seen = coil_seen
        self._state = self._stored = restore_state(store, inbox)
        self._stored_mono_s = clock.monotonic()
        self._mark.follow(self._state.operators.pause, self._stored_mono_s)

    @property
    def state(self) -> TrackState:
        """What the items so far have led to."""
        return self._state

    def rewind(self, state: TrackState) -> None:
        """Forget what came since `state` was read: it could not be committed."""
        self._state = state
        self._mark.follow(None, 0.0)

    def overdue(self) -> list[Tick]:
        """Return the tick that ends what people asked for, if its time has come and no tick came by itself."""
        now = self._clock.now()
        return [Tick(now)] if self._state.operators.is_due(now) else []

    def unless_paused(self, result: Result) -> Result:
        """Return a result, or of a frame that passes during a pause the gap that stands for it."""
        pause, item = self._state.operators.pause, result.item
        return result if pause is None or isinstance(item, Gap) else Result(item, paused_gap(pause, item), result.track)

    def take(self, item: Item, rules: TrackRules | None = None) -> list[Draft]:
        """Return the messages that an item causes, in the order in which they are published.

        Args:
            item: What comes next.
            rules: Those that count from this item on; None: as before.
        """
        self._rules = rules or self._rules
        before, coil_id, events = self._state.operators, self._state.coil_id, _events_of(self._state)
        coil = self._state.coil
        self._state, drafts = track(self._state, item, self._rules)
        if self._state.coil_id != coil_id:
            _log.info("coil", coil_id=self._state.coil_id)
        elif (after := _events_of(self._state)) != events:
            at_m, kind, text = after[-1]
            _log.warning("coil_event", coil_id=coil_id, at_m=at_m, kind=kind, text=text)
        if isinstance(item, Command) and item.name == "pause" and self._state.operators.pause is None:
            self._mark.ended()
        elif self._state.operators is not before:
            self._mark.follow(self._state.operators.pause, self._clock.monotonic())
        if self._coil_seen is not None and _name(coil) != _name(self._state.coil):
            self._coil_seen(self._state.coil, self._clock.monotonic())
        return drafts

    def to_store(self, writes: bool) -> str | None:
        """Return the state as text if it must be stored now.

        It is stored with whatever is written anyway. By itself it is stored at once when a defect, a gap, a coil or a
        limit changed, otherwise once in `STATE_S`: a clean line must not flush the disk for each frame.
        """
        if self._state is self._stored:
            return None
        late = self._clock.monotonic() - self._stored_mono_s >= STATE_S
        if writes or late or what_matters(self._state) != what_matters(self._stored):
            return to_text(self._state)
        return None

    def coils(self) -> tuple[CoilRecord, ...]:
        """Return the records that are stored with the state: of coils that have ended, and of the one that runs."""
        running = self._state.coil
        return self._state.ended if running is None else (*self._state.ended, running)

    def note_stored(self) -> None:
        """The state that was returned last is stored, and the records of coils with it."""
        if self._state.ended:
            self._state = replace(self._state, ended=())
        self._stored, self._stored_mono_s = self._state, self._clock.monotonic()


def _name(coil: CoilRecord | None) -> tuple[object, ...]:
    return () if coil is None else (coil.coil_id, coil.began_at, coil.facts)


def restore_state(store: Store, inbox: Inbox) -> TrackState:
    """Return the state that the last process stored with its last commit, or an empty one.

    A coil that was named after that commit takes its place before the first frame, and so does each accepted command
    that was not committed yet.
    """
    state = TrackState()
    if (text := store.notes.track_state()) is not None:
        try:
            state = from_text(text)
        except ValueError as exc:
            _log.warning("state_not_restored", reason=str(exc))
    state = replace(state, area=replace(state.area, linked=False))  # until the broker answers this process
    way = state.way
    blind = way.blind or (Cause.PROCESS_DOWN.value if way.at is not None else None)
    state = replace(state, way=replace(way, mono_s=None, blind=blind))
    running, named, waiting = store.coils.current(), store.coils.named(), store.commands.waiting()
    if state.coil_id is not None and state.coil is None:  # a previous program kept no record
        state = replace(state, coil=CoilRecord(state.coil_id, from_timestamp_ms(running[1])))
    if state.named is None and named[0] != state.coil_id and all(one.name != "coil" for one in waiting):
        inbox.put(CoilChange(from_timestamp_ms(named[1]), named[0]))  # a previous program did not commit it
    inbox.put(*waiting)
    return state


def _events_of(state: TrackState) -> tuple[tuple[float | None, str, str], ...]:
    return () if state.coil is None else state.coil.events


def what_matters(state: TrackState) -> tuple[object, ...]:
    """Return the part of a state that must be up to date after a crash."""
    limits = {label: (limit.since, limit.sent, limit.suppressed) for label, limit in state.limits.items()}
    way = state.way
    where = way.epoch, way.head_m, way.legs
    area = state.area
    alarms = area.sent, area.standing, area.summary and (area.summary.revision, area.summary.total)
    run = state.coil and (state.coil.began_at, state.coil.facts, state.coil.events)
    return state.open, state.gaps, limits, alarms, state.coil_id, state.coming, run, state.ended, where, state.operators
