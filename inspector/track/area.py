"""How many alarms an operator gets: so many an hour over all stations of an area, and one summary for what is beyond.

The stations of an area tell each other when they raised alarms; what arrives is an item. Each counts the same hour and
decides alone. So that stations which see the same at the same moment do not all take the last alarm, a station takes,
within `HEARD`, only its share of what was left before: by then everybody has heard everything older. One of the
alarms of an hour is the summary's: it is one thing that is updated, under one id in the whole area.

Source of the figures: EEMUA 191 (six alarms an hour for an operator; a flood is more than ten in ten minutes).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from inspector.drafts import Draft
from inspector.ids import Ids
from inspector.labels import SEVERITIES
from inspector.messages import AlarmMessage, moment_fields
from inspector.track.rules import TrackRules

HOUR = timedelta(hours=1)
HEARD = timedelta(seconds=2)
"""After this time every station of the area has heard of an alarm."""
UNHEARD = 4
"""A station that hears nobody takes no more than it would among so many."""
AWAY = timedelta(seconds=150)
"""A station that has said nothing for longer takes no share: each says something once a minute."""
TURN = timedelta(minutes=10)
"""After this time another station is the first to take what cannot be shared."""
UPDATE = timedelta(seconds=10)
"""Between two updates of a summary."""
UPDATE_CRITICAL = timedelta(seconds=5)
"""The same, where a critical defect waits to be named."""
MAX_CRITICAL = 100
"""With so many critical defects that no message has named, a summary is updated at once."""
MAX_RECENT = 20
"""Other defects that an update names: the latest."""
FLOOD, FLOOD_WITHIN = 10, timedelta(minutes=10)
"""More alarms than this, within this time, are a flood, whether or not they were held back."""
MAX_PEERS = 64
"""Other stations that are remembered, those heard last: names come from the broker, and from renamed stations."""
MAX_STANDING = 200
STANDS = timedelta(hours=24)
"""An alarm that nobody acknowledged stands for so long."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What another station of the area said last.

    Attributes:
        at: When, by its clock.
        alarms: Its alarms of the last hour.
        summary: Id of its summary, while it has one ...
        summary_at: ... and when that last grew.
        held: How many it has held back in it.
        wanted: Alarms that it would have raised in the last ten minutes, with those held back.
    """

    at: datetime
    alarms: tuple[datetime, ...] = ()
    summary: str | None = None
    summary_at: datetime | None = None
    held: int = 0
    wanted: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """What was held back: one thing that is updated.

    Attributes:
        summary_id: Its id, the same in all updates, and in the area.
        began_at, grew_at: When the first and the last were held back.
        told_at: Of the last update, by the frames' time; `ticked_at` of the first tick after it.
        worst: The most severe alarm held back since the last update, or in it: the message is made of it.
        held: How many, by label.
        critical: Critical defects that no message has named.
        recent: Others that none has named, the latest.
        revision: Updates so far.
    """

    summary_id: str
    began_at: datetime
    grew_at: datetime
    told_at: datetime
    worst: AlarmMessage
    held: Mapping[str, int]
    critical: tuple[str, ...] = ()
    recent: tuple[str, ...] = ()
    revision: int = 0
    ticked_at: datetime | None = None

    @property
    def total(self) -> int:
        """How many were held back."""
        return sum(self.held.values())


@dataclass(frozen=True, slots=True)
class AreaState:
    """The alarms of the last hour, here and elsewhere in the area.

    Attributes:
        sent: When alarms left here.
        wanted: When there were alarms to raise, with those held back; the last of them.
        peers: What other stations said, by name.
        linked: Whether they can be heard, ...
        linked_at: ... and since when.
        summary: What is held back, or None.
        standing: Alarms that nobody has acknowledged, by defect, with their time; the oldest first.
    """

    sent: tuple[datetime, ...] = ()
    wanted: tuple[datetime, ...] = ()
    peers: Mapping[str, Peer] = field(default_factory=dict)
    linked: bool = False
    linked_at: datetime | None = None
    summary: Summary | None = None
    standing: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AlarmFigures:
    """What an operator carries.

    Attributes:
        last_hour: Alarms of the area in the last hour, its summary among them.
        in_flood: There was more to say than a person can take, whether or not it was held back.
        standing: Alarms of this station that nobody has acknowledged.
        stations: Of the area, this one included.
        alone: The area is configured, and its other stations cannot be heard.
    """

    last_hour: int
    in_flood: bool
    standing: int
    stations: int
    alone: bool


def note_wanted(area: AreaState, now: datetime) -> AreaState:
    """Return the state after there was an alarm to raise."""
    return replace(area, wanted=(*_within(area.wanted, now, FLOOD_WITHIN), now)[-FLOOD - 1 :])


def may_alarm(area: AreaState, now: datetime, rules: TrackRules) -> bool:
    """Say whether an alarm may leave now, or belongs into the summary."""
    budget = max(1, rules.alarms_per_hour - 1)
    own = _within(area.sent, now, HOUR)
    if rules.area is None:
        return len(own) < budget
    peers = _present(area, now)
    elsewhere = [at for peer in area.peers.values() for at in _within(peer.alarms, now, HOUR)]
    if len(own) + len(elsewhere) >= budget:
        return False
    if not area.linked or (area.linked_at is not None and abs(now - area.linked_at) < HEARD):
        return len(own) < max(1, budget // max(UNHEARD, len(peers) + 1))
    just = len(_within(own, now, HEARD))
    left = budget - (len(own) - just) - (len(elsewhere) - len(_within(elsewhere, now, HEARD)))
    names = sorted([rules.station, *peers])
    turn = (names.index(rules.station) + int(now.timestamp() / TURN.total_seconds())) % len(names)
    return just < left // len(names) + (turn < left % len(names))


def note_sent(area: AreaState, defect_id: str, now: datetime) -> AreaState:
    """Return the state after an alarm has left."""
    standing = {key: at for key, at in area.standing.items() if abs(now - at) < STANDS} | {defect_id: now}
    kept = list(standing.items())[-MAX_STANDING:]
    return replace(area, sent=(*_within(area.sent, now, HOUR), now), standing=dict(kept))


def acknowledged(area: AreaState, defect_id: str | None) -> AreaState:
    """Return the state after somebody has seen an alarm; None: all of them."""
    left = {key: at for key, at in area.standing.items() if defect_id not in (None, key)}
    return area if left == area.standing else replace(area, standing=left)


def hold_back(area: AreaState, alarm: AlarmMessage, now: datetime, rules: TrackRules) -> tuple[AreaState, list[Draft]]:
    """Return the state with an alarm in the summary, and the messages that result: the first is told at once."""
    known = area.summary
    if known is None or abs(now - known.grew_at) >= HOUR:
        known = Summary(_summary_id(area, now, rules), now, now, now - UPDATE, alarm, {})
    known = replace(known, summary_id=min([known.summary_id, *_summaries(area, now)]))
    critical, recent = known.critical, known.recent
    if alarm.severity == "critical":
        critical = (*critical, alarm.defect_id)
    else:
        recent = (*recent, alarm.defect_id)[-MAX_RECENT:]
    fresh = not (known.critical or known.recent)
    worse = fresh or SEVERITIES.index(alarm.severity) > SEVERITIES.index(known.worst.severity)
    grown = replace(
        known, grew_at=now, worst=alarm if worse else known.worst, critical=critical, recent=recent,
        held={**known.held, alarm.label: known.held.get(alarm.label, 0) + 1},
    )  # fmt: skip
    return update_summary(replace(area, summary=grown), now, rules)


def update_summary(
    area: AreaState, now: datetime, rules: TrackRules, tick: bool = False, final: bool = False
) -> tuple[AreaState, list[Draft]]:
    """Publish the summary if something has changed and its last update is old enough.

    Frames are compared with frames and ticks with ticks: frames may be years old when they are read.
    """
    known = area.summary
    if known is None or not (known.critical or known.recent):
        return area, []
    if tick and known.ticked_at is None:
        known = replace(known, ticked_at=now)
        area = replace(area, summary=known)
    since = (known.ticked_at if tick else None) or known.told_at
    period = UPDATE_CRITICAL if known.critical else UPDATE
    if not final and len(known.critical) < MAX_CRITICAL and abs(now - since) < period:
        return area, []
    told = replace(
        known, told_at=now if not tick else known.grew_at, ticked_at=None, critical=(), recent=(),
        revision=known.revision + 1,
    )  # fmt: skip
    return replace(area, summary=told), [Draft(_summary_body(known, area, rules))]


def alarm_figures(area: AreaState, now: datetime, rules: TrackRules) -> AlarmFigures:
    """Return what an operator of the area carries now."""
    peers = [peer for peer in area.peers.values() if rules.area is not None]
    alarms = [*area.sent, *(at for peer in peers for at in peer.alarms)]
    own = area.summary is not None and abs(now - area.summary.began_at) < HOUR
    summed = own or any(peer.summary_at is not None and abs(now - peer.summary_at) < HOUR for peer in peers)
    present = _present(area, now) if rules.area is not None else []
    wanted = len(_within(area.wanted, now, FLOOD_WITHIN)) + sum(area.peers[name].wanted for name in present)
    return AlarmFigures(
        last_hour=len(_within(alarms, now, HOUR)) + summed,
        in_flood=wanted > FLOOD,
        standing=sum(abs(now - at) < STANDS for at in area.standing.values()),
        stations=1 + len(present),
        alone=rules.area is not None and not area.linked,
    )


def own_report(area: AreaState, now: datetime) -> Peer:
    """Return what this station has to tell the others of its area."""
    summary = area.summary
    return Peer(
        now,
        _within(area.sent, now, HOUR),
        None if summary is None else summary.summary_id,
        None if summary is None else summary.grew_at,
        0 if summary is None else summary.total,
        len(_within(area.wanted, now, FLOOD_WITHIN)),
    )


def heard(area: AreaState, station: str, peer: Peer) -> AreaState:
    """Return the state after another station of the area has said something."""
    others = {name: known for name, known in area.peers.items() if name != station}
    return replace(area, peers=dict([*others.items(), (station, peer)][-MAX_PEERS:]))


def _within(times: Iterable[datetime], now: datetime, span: timedelta) -> tuple[datetime, ...]:
    return tuple(at for at in times if abs(now - at) < span)


def _present(area: AreaState, now: datetime) -> list[str]:
    return [name for name, peer in area.peers.items() if abs(now - peer.at) < AWAY]


def _summaries(area: AreaState, now: datetime) -> list[str]:
    """Return the ids of the summaries that other stations of the area keep now."""
    return [
        peer.summary for peer in area.peers.values()
        if peer.summary is not None and peer.summary_at is not None and abs(now - peer.summary_at) < HOUR
    ]  # fmt: skip


def _summary_id(area: AreaState, now: datetime, rules: TrackRules) -> str:
    """Return the id of a new summary: stations that begin one in the same hour give it the same."""
    hour = int(now.timestamp() // HOUR.total_seconds())
    if rules.area is None:
        return rules.ids.of("summary", hour)
    return min([Ids(f"inspector/areas/{rules.area}").of("summary", hour), *_summaries(area, now)])


def _summary_body(known: Summary, area: AreaState, rules: TrackRules) -> AlarmMessage:
    count = ", ".join(f"{number} {rules.named(label)}" for label, number in sorted(known.held.items(), key=_most_first))
    elsewhere = sum(peer.held for peer in area.peers.values() if peer.summary == known.summary_id)
    more = f", {elsewhere} at other stations of {rules.area}" if elsewhere else ""
    critical = f", {len(known.critical)} critical and new" if known.critical else ""
    text = (
        f"{known.total} alarms held back at {rules.station} ({count}{critical}){more}: see the page; to silence:"
        f" inspector do shelve label={known.worst.label} reason=WHY"
    )
    return known.worst.model_copy(
        update={
            "id": rules.ids.of(known.summary_id, "summary", known.began_at.isoformat(), known.revision),
            "kind": "summary",
            **moment_fields(known.grew_at),
            "defect_id": known.summary_id,
            "defect_ids": " ".join((*known.critical, *reversed(known.recent))),
            "suppressed": known.total,
            "url": None if rules.public_url is None else f"{rules.public_url}/",
            "text": text,
        }
    )


def _most_first(row: tuple[str, int]) -> tuple[int, str]:
    return -row[1], row[0]
