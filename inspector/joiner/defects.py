"""Which findings of several stations are one defect; pure.

A finding waits until each station that could see it, too, has had the time to say so; then what touches is one. A
finding that comes later still, because its station was away, joins a defect that was published, which is published
again under the same id. Stations join by place; by time only where one has no positions and an error is configured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from inspector.joiner.settings import Join, StationPlace

KEPT_GROUPS = 5000
"""Published defects that a late finding can still join."""
Message = dict[str, Any]


class Seen(BaseModel):
    """What one station closed.

    Attributes:
        station: Its number in the configuration.
        message: What it published.
        from_m, to_m: Along the strip; None: it has no positions.
        from_mm, to_mm: Across, from the strip's operator side; None: it has no scale.
    """

    model_config = ConfigDict(frozen=True)

    station: int
    message: Message
    from_m: float | None
    to_m: float | None
    from_mm: float | None
    to_mm: float | None

    @property
    def at_ms(self) -> int:
        """When it was captured, ms since 1970."""
        return int(self.message["timestamp_ms"])


class Group(BaseModel):
    """Findings that are one defect.

    Attributes:
        members: In the order in which they came.
        due_ms: When it is published, ms since 1970; None: it was.
        defect_id: Under which it was published; None: it was not.
        revision: How often it was.
    """

    members: tuple[Seen, ...]
    due_ms: int | None
    defect_id: str | None = None
    revision: int = 0


def seen_of(number: int, place: StationPlace, message: Message) -> Seen:
    """Return a station's message as a finding on the strip."""
    position, across, width = (message.get(name) for name in ("position_m", "across_mm", "width_mm"))
    from_m = None if position is None else position - place.along_m
    edges = (None, None) if across is None or width is None else place.across(across, width)
    to_m = None if from_m is None else from_m + (message.get("length_mm") or 0.0) / 1000
    return Seen(station=number, message=message, from_m=from_m, to_m=to_m, from_mm=edges[0], to_mm=edges[1])


def are_one(one: Seen, other: Seen, join: Join, places: Sequence[StationPlace]) -> bool:
    """Say whether two findings show one defect: of one side and coil, at one place, by different stations."""
    if one.station == other.station or places[one.station].side != places[other.station].side:
        return False
    if one.message.get("coil_id") != other.message.get("coil_id"):
        return False
    if one.from_mm is None or one.to_mm is None or other.from_mm is None or other.to_mm is None:
        return False
    if max(one.from_mm, other.from_mm) - min(one.to_mm, other.to_mm) > join.across_mm:
        return False
    if one.from_m is not None and one.to_m is not None and other.from_m is not None and other.to_m is not None:
        return max(one.from_m, other.from_m) - min(one.to_m, other.to_m) <= join.along_mm / 1000
    return join.time_error_s is not None and abs(one.at_ms - other.at_ms) <= join.time_error_s * 1000


def with_seen(
    groups: tuple[Group, ...], seen: Seen, now_ms: int, join: Join, places: Sequence[StationPlace]
) -> tuple[Group, ...]:
    """Return the groups with one more finding: in the defect that it touches, or alone.

    What waits and touches becomes one. Of several published defects it joins the first, and those stay apart.
    """
    touched = [group for group in groups if any(are_one(one, seen, join, places) for one in group.members)]
    published = [group for group in touched if group.defect_id is not None]
    joined = [*published[:1], *(group for group in touched if group.defect_id is None)]
    waits = [group.due_ms for group in joined if group.due_ms is not None]
    due_ms = now_ms if published else min(waits, default=now_ms + int(join.wait_s * 1000))
    whole = Group(
        members=(*(one for group in joined for one in group.members), seen),
        due_ms=due_ms,
        defect_id=published[0].defect_id if published else None,
        revision=published[0].revision if published else 0,
    )
    return (*(group for group in groups if group not in joined), whole)


def taken_due(
    groups: tuple[Group, ...], now_ms: int, name: Callable[[Group], str]
) -> tuple[tuple[Group, ...], list[Group]]:
    """Return the groups after those that are due were published, and these.

    Args:
        groups: Before.
        now_ms: The time.
        name: Names a defect that is published first.
    """
    after: list[Group] = []
    due: list[Group] = []
    for group in groups:
        if group.due_ms is None or group.due_ms > now_ms:
            after.append(group)
            continue
        defect_id = group.defect_id or name(group)
        due.append(group.model_copy(update={"defect_id": defect_id, "due_ms": None}))
        after.append(due[-1].model_copy(update={"revision": group.revision + 1}))
    published = [number for number, group in enumerate(after) if group.due_ms is None]
    forgotten = set(published[: max(0, len(published) - KEPT_GROUPS)])
    return tuple(group for number, group in enumerate(after) if number not in forgotten), due
