"""The joiner's one fold: what arrived, in its order, and the clock become messages of the strip; pure.

The state is stored with the messages that it led to, in one transaction, together with how far the queue of arrivals
was read. So a process that dies at any moment goes on where the last one was: nothing is lost, and nothing published
twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ValidationError

from inspector.clock import from_timestamp_ms
from inspector.drafts import Draft
from inspector.ids import Ids
from inspector.items import CoilFacts
from inspector.joiner.bodies import away_body, defect_body, defect_name, gap_body, periodic_body
from inspector.joiner.coils import (
    AWAY,
    KEPT_COILS,
    JoinedCoil,
    StationGap,
    StationShare,
    moment_ms,
    not_assessed,
    surface_of,
    with_gap,
    with_share,
)
from inspector.joiner.defects import Group, Message, Seen, seen_of, taken_due, with_seen
from inspector.joiner.settings import JoinerSettings
from inspector.json_text import parse_json
from inspector.messages import CoilMessage, CoverageMessage, DefectMessage, PeriodicMessage
from inspector.strip.record import CoilRecord, Stretch

LOST = "messages_lost"
SETTLE_MS = 5000
"""How long a coil that all stations have ended waits for what is under way."""
_REPORT = re.compile(r"/api/coils/([^/?]+)/report")
_FACTS = ("product", "grade", "width_mm", "thickness_mm")


class JoinerState(BaseModel):
    """All that is remembered between two steps.

    Attributes:
        place: Up to where the queue of arrivals was read.
        groups: Findings that wait for others, and published defects that a late one can still join.
        coils: Coils that run, and the last that ended, the oldest first.
        running: The coil that each station named last, by its number.
        strange: Messages that could not be understood.
        troubles: What is wrong with a station's messages, by its number, in one sentence.
    """

    place: int = 0
    groups: tuple[Group, ...] = ()
    coils: tuple[JoinedCoil, ...] = ()
    running: dict[int, str | None] = {}
    strange: int = 0
    troubles: dict[int, str] = {}


@dataclass(frozen=True, slots=True)
class Step:
    """What one step leads to.

    Attributes:
        state: After it.
        drafts: Messages, in order.
        records: Of coils, as far as they are.
    """

    state: JoinerState
    drafts: tuple[Draft, ...] = ()
    records: tuple[CoilRecord, ...] = ()


class Fold:
    """The rules by which arrivals become messages.

    Args:
        settings: Of the strip.
    """

    def __init__(self, settings: JoinerSettings) -> None:
        self._settings = settings
        self._ids = Ids(settings.root)
        self._numbers = {one.root.strip("/"): number for number, one in enumerate(settings.station)}

    def take(self, state: JoinerState, root: str, topic: str, payload: str, now_ms: int) -> Step:
        """Return what a message leads to.

        Args:
            state: Before.
            root: Of the station.
            topic: Below it.
            payload: Its JSON.
            now_ms: The time, ms since 1970.
        """
        number = self._numbers.get(root)
        takers: dict[str, Callable[[JoinerState, int, Message, int], Step]] = {
            "defect": self._defect, "coverage": self._coverage, "coil": self._coil,
            "periodic": self._periodic,
        }  # fmt: skip
        if number is None or topic not in takers:
            return Step(state)
        try:
            message = parse_json(payload.encode())
            _demand(topic, message)  # what is kept is never looked at again: it must not fail at its time, each time
            return takers[topic](state, number, message, now_ms)
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError):  # pydantic's is a ValueError, too
            return Step(state.model_copy(update={"strange": state.strange + 1}))

    def tick(self, state: JoinerState, now_ms: int) -> Step:
        """Return what the time leads to: findings that have waited long enough, coils that are over."""
        groups, due = taken_due(state.groups, now_ms, lambda group: defect_name(self._ids, group))
        drafts, strange = [], state.strange
        for group in due:
            try:
                drafts.append(Draft(defect_body(group, self._settings, self._ids)))
            except ValidationError:
                strange += 1
        coils, records = [], []
        for coil in state.coils:
            if coil.due_ms is not None and coil.due_ms <= now_ms:
                if not coil.closed:
                    drafts += self._away(coil)
                coil = coil.model_copy(update={"due_ms": None, "closed": True})
                records.append(self.record(coil))
            coils.append(coil)
        kept = tuple(coils[-KEPT_COILS:])
        return Step(
            state.model_copy(update={"groups": groups, "coils": kept, "strange": strange}),
            tuple(drafts),
            tuple(records),
        )

    def _defect(self, state: JoinerState, number: int, message: Message, now_ms: int) -> Step:
        known = {name: message[name] for name in _DEFECT_KEYS if name in message}
        state = self._spoke(state, number, message, None)
        if message["phase"] != "closed":
            return Step(state)
        place = self._settings.station[number]
        seen = seen_of(number, place, known)
        furthest = seen.to_m
        state = self._checked(self._spoke(state, number, message, furthest), seen)
        groups = with_seen(state.groups, seen, now_ms, self._settings.join, self._settings.station)
        return Step(state.model_copy(update={"groups": groups}))

    def _checked(self, state: JoinerState, seen: Seen) -> JoinerState:
        """Note a station whose scale is not that of the configuration: what it sees cannot lie where it should."""
        place, message = self._settings.station[seen.station], seen.message
        across, width = message.get("across_mm"), message.get("width_mm")
        trouble = None
        if across is None or width is None:
            trouble = f"no_scale: {place.root} gives no place across, so nothing of it is joined"
        elif across + width > place.width_mm * 1.02 + 1:
            trouble = (
                f"other_scale: {place.root} sees a defect at {across + width:.0f} mm of a picture that is"
                f" {place.width_mm:g} mm wide"
            )
        if trouble is None or seen.station in state.troubles:
            return state
        return state.model_copy(update={"troubles": {**state.troubles, seen.station: trouble}})

    def _coverage(self, state: JoinerState, number: int, message: Message, now_ms: int) -> Step:
        place, coil_id = self._settings.station[number], message["coil_id"]
        if message["cause"] == LOST or message.get("sink") is not None:
            gap = StationGap(from_m=None, to_m=None, cause=str(message["cause"]))
            return Step(self._with_gap(state, number, coil_id or state.running.get(number), gap, now_ms))
        body = gap_body(message, place, self._settings, self._ids)
        gap = StationGap(from_m=body.from_m, to_m=body.to_m, cause=body.cause, frames=body.frames)
        state = self._spoke(state, number, message, body.to_m)
        return Step(self._with_gap(state, number, coil_id, gap, now_ms), (Draft(body),))

    def _periodic(self, state: JoinerState, number: int, message: Message, now_ms: int) -> Step:
        """Pass a periodic finding on: a roll marks one place, so the station that found it is enough."""
        body = periodic_body(message, self._settings.station[number], self._settings, self._ids)
        return Step(self._spoke(state, number, message, body.last_m), (Draft(body),))

    def _coil(self, state: JoinerState, number: int, message: Message, now_ms: int) -> Step:
        """Take what a station says of the coil that runs there, and of the one that ended."""
        coil_id, before = message["coil_id"], state.running.get(number)
        since_ms = moment_ms(message["since"])
        if before is not None and before != coil_id and self._find(state, before) is not None:
            state = self._end(state, number, before, since_ms, now_ms)
        if coil_id is not None:
            facts = {name: message[name] for name in _FACTS if message.get(name) is not None}
            state = self._changed(state, coil_id, since_ms, number, begins=True, facts=facts)
        state = state.model_copy(update={"running": {**state.running, number: coil_id}})
        return Step(self._reported(state, number, message, now_ms))

    def _reported(self, state: JoinerState, number: int, message: Message, now_ms: int) -> JoinerState:
        """Take whether a station assessed the coil of its last report, and how long it was, between two coils."""
        found = _REPORT.search(message.get("report") or "")
        name = unquote(found[1]) if found is not None else ""
        coil = self._find(state, name)
        if coil is None or not message.get("ended_at"):
            return state
        share, said = coil.shares.get(number, StationShare()), {"assessed": message.get("assessed")}
        if share.ended and share.assessed is not None and share.assessed == said["assessed"]:
            return state
        if message["coil_id"] is None and message.get("length_m") is not None:
            said["length_m"] = message["length_m"]
        ended_ms = moment_ms(message["ended_at"])
        state = self._changed(state, name, ended_ms, number, **said)
        return self._end(state, number, name, ended_ms, now_ms)

    def _spoke(self, state: JoinerState, number: int, message: Message, to_m: float | None) -> JoinerState:
        """Note that a station speaks of a coil, and of how much of it."""
        coil_id = message["coil_id"]
        if coil_id is None:
            return state
        prints = {name: message.get(name) for name in ("bundle", "config", "reference")}
        coil = self._find(state, coil_id)
        last_m = coil.shares.get(number, StationShare()).last_m if coil is not None else None
        if to_m is not None:
            prints["last_m"] = max(to_m, last_m or 0.0)
        return self._changed(state, coil_id, int(message["timestamp_ms"]), number, **prints)

    def _find(self, state: JoinerState, coil_id: str) -> JoinedCoil | None:
        return next((coil for coil in reversed(state.coils) if coil.coil_id == coil_id), None)

    def _changed(self, state: JoinerState, coil_id: str, at_ms: int, number: int, **changes: Any) -> JoinerState:
        """Return the state after a station said something of a coil, which begins with the first that names it."""
        coil = self._find(state, coil_id)
        facts, begins = changes.pop("facts", {}), changes.pop("begins", False)
        if coil is None or (begins and coil.closed and at_ms > (coil.ended_ms or coil.began_ms)):
            coil = JoinedCoil(coil_id=coil_id, began_ms=at_ms)  # of a name that comes again, another run
            state = state.model_copy(update={"coils": (*state.coils, coil)})
        if not coil.closed:
            coil = coil.model_copy(update={"began_ms": min(coil.began_ms, at_ms), "facts": {**coil.facts, **facts}})
        return self._put(state, with_share(coil, number, **changes))

    def _put(self, state: JoinerState, coil: JoinedCoil, now_ms: int | None = None) -> JoinerState:
        if coil.closed and coil.due_ms is None and now_ms is not None:
            coil = coil.model_copy(update={"due_ms": now_ms + SETTLE_MS})  # what came late closes it again
        at = max(n for n, one in enumerate(state.coils) if one.coil_id == coil.coil_id)
        return state.model_copy(update={"coils": (*state.coils[:at], coil, *state.coils[at + 1 :])})

    def _with_gap(
        self, state: JoinerState, number: int, coil_id: str | None, gap: StationGap, now_ms: int
    ) -> JoinerState:
        coil = None if coil_id is None else self._find(state, coil_id)
        return state if coil is None else self._put(state, with_gap(coil, number, gap), now_ms)

    def _end(self, state: JoinerState, number: int, coil_id: str, ended_ms: int, now_ms: int) -> JoinerState:
        """Note that a coil has ended at a station; once it has at all, it closes soon."""
        state = self._changed(state, coil_id, ended_ms, number, ended=True)
        coil = self._find(state, coil_id)
        assert coil is not None  # noqa: S101 - it was put above
        every = range(len(self._settings.station))
        shares = [coil.shares.get(one, StationShare()) for one in every]
        whole = all(one.ended and one.assessed is not None for one in shares)
        wait_ms = SETTLE_MS if whole or coil.closed else int(self._settings.join.coil_wait_s * 1000)
        due_ms = now_ms + wait_ms if coil.due_ms is None or whole else coil.due_ms
        ended = max(ended_ms, coil.ended_ms or coil.began_ms)
        return self._put(state, coil.model_copy(update={"ended_ms": ended, "due_ms": due_ms}))

    def _away(self, coil: JoinedCoil) -> list[Draft]:
        return [
            Draft(away_body(coil, gap, place, self._settings, self._ids))
            for number, place in enumerate(self._settings.station)
            for gap in coil.gaps_of(number)
            if gap.cause == AWAY
        ]

    def record(self, coil: JoinedCoil) -> CoilRecord:
        """Return the record of a coil: its metres are those of its length whose surface was seen, by width."""
        surface = surface_of(coil, self._settings)
        length_m, reason = coil.length_m, not_assessed(coil, surface, self._settings)
        record = CoilRecord(
            coil.coil_id,
            from_timestamp_ms(coil.began_ms),
            from_timestamp_ms(coil.ended_ms) if coil.closed and coil.ended_ms is not None else None,
            facts=CoilFacts(**coil.facts),
            length_m=length_m,
            inspected_m=None if length_m is None or surface.coverage is None else surface.coverage * length_m,
            assessed=reason is None,
            not_assessed=reason,
        )
        for root, side, low, high, gap in surface.gaps:
            cause = f"{gap.cause} ({root or 'nobody'}, {side}, {low:g} to {high:g} mm)"
            record = record.with_gap(Stretch(gap.from_m, gap.to_m, cause, gap.frames))
        return record


_TAKEN: dict[str, type[BaseModel]] = {
    "defect": DefectMessage,
    "coverage": CoverageMessage,
    "coil": CoilMessage,
    "periodic": PeriodicMessage,
}
_LAST_MS = 253_402_300_799_999
"""End of the year 9999, the last that a moment can have, in ms since 1970."""


def _demand(topic: str, message: Any) -> None:
    """Demand that a message is one of its topic; more keys are none of ours, and its version is not looked at.

    Raises:
        ValueError: It is not.
    """
    kind = _TAKEN[topic]
    names = [field.alias or name for name, field in kind.model_fields.items()]
    said = {name: message[name] for name in names if name in message}
    kind.model_validate(said | {"schema": kind.model_fields["schema_"].default}, strict=True)
    if message.get("timestamp_ms", 0) > _LAST_MS:
        raise ValueError(f"beyond the year 9999: {message['timestamp_ms']}")


_DEFECT_KEYS = tuple(field.alias or name for name, field in DefectMessage.model_fields.items())
