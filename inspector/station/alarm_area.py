"""The station's part in its operator's area: what it tells the others, what it hears, and the figures of its alarms."""

from __future__ import annotations

from datetime import UTC, datetime

from inspector.clock import Clock, to_rfc3339
from inspector.items import AreaLink, AreaWord
from inspector.messages import AreaMessage
from inspector.settings.sections import Settings
from inspector.sinks.mqtt.area import AreaPort
from inspector.station.pipeline import Pipeline
from inspector.telemetry.metrics import Metrics
from inspector.track.area import AlarmFigures, alarm_figures, own_report


class AlarmArea:
    """What the broker session and the pages ask; the tracker's state is only read.

    Args:
        settings: The configuration.
        pipeline: Has the tracker's state, the rules in force, and the inbox in which what others say takes its place.
        clock: Time.
        metrics: Where the figures are shown.

    Attributes:
        port: The area's topics; None: there is no other station.
    """

    def __init__(self, settings: Settings, pipeline: Pipeline, clock: Clock, metrics: Metrics) -> None:
        self._area = settings.alarm.area
        self._station = settings.station.text
        self._pipeline = pipeline
        self._clock = clock
        self._metrics = metrics
        self._counted_mono_s = clock.monotonic()
        self.port = None
        if self._area is not None:
            self.port = AreaPort(self._area, self._station, self.message, self._heard, self._linked)

    def message(self) -> AreaMessage:
        """Return what to tell the other stations."""
        said = own_report(self._pipeline.committer.tracked.area, self._clock.now())
        return AreaMessage(
            station=self._station,
            area=self._area or "",
            at=to_rfc3339(said.at),
            alarms=" ".join(to_rfc3339(at) for at in said.alarms),
            summary=said.summary,
            summary_at=None if said.summary_at is None else to_rfc3339(said.summary_at),
            held=said.held,
            wanted=said.wanted,
        )

    def figures(self) -> AlarmFigures:
        """Return what an operator of the area carries now."""
        area, rules = self._pipeline.committer.tracked.area, self._pipeline.rules.now.track
        return alarm_figures(area, self._clock.now(), rules)

    def count(self) -> None:
        """Show the figures as of now, and add the time since the last call if there is a flood."""
        figures, now, metrics = self.figures(), self._clock.monotonic(), self._metrics
        metrics.operator_alarms.set(figures.last_hour)
        metrics.alarms_standing.set(figures.standing)
        metrics.area_stations.set(figures.stations)
        metrics.alarm_flood.set(figures.in_flood)
        metrics.alarm_flood_seconds.inc(now - self._counted_mono_s if figures.in_flood else 0)
        self._counted_mono_s = now

    def _heard(self, message: AreaMessage) -> None:
        self._pipeline.inbox.put(word_of(message))

    def _linked(self, linked: bool) -> None:
        self._pipeline.inbox.put(AreaLink(self._clock.now(), linked))


def word_of(message: AreaMessage) -> AreaWord:
    """Return what another station said as an item.

    Raises:
        ValueError: A moment in it is none, or outside the calendar.
    """
    return AreaWord(
        _moment(message.at),
        message.station,
        tuple(map(_moment, message.alarms.split()))[-MAX_TIMES:],
        message.summary,
        None if message.summary_at is None else _moment(message.summary_at),
        min(message.held, MAX_COUNT),
        min(message.wanted, MAX_COUNT),
    )


MAX_TIMES = 1000
"""Alarms of an hour that one station can have told."""
MAX_COUNT = 1_000_000
"""As many held back count, whoever says more."""


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except OverflowError as exc:
        raise ValueError(f"outside the calendar: {text}") from exc
