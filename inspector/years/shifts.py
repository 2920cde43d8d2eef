"""Which shift a moment belongs to, right over both changes of summer time; pure but for the machine's time zones.

Shifts are kept by the clock on the wall, moments in UTC. A shift ends where the next begins, so over a change of summer
time the night is an hour longer or shorter, and no moment is in two shifts or in none. A start that the clock skips
in spring is taken by the time before the change, and one that comes twice in autumn by its first coming (PEP 495).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

from inspector.settings.plant import Plant, minutes_of, zone_named


@dataclass(frozen=True, slots=True)
class Shift:
    """A shift of one day.

    Attributes:
        name: As it is called.
        day: On which it begins, by the clock on the wall.
        began_at: Its start, UTC.
        ends_at: Its end, UTC, not in it.
        crew: Who works; None: not said.
    """

    name: str
    day: date
    began_at: datetime
    ends_at: datetime
    crew: str | None

    @property
    def key(self) -> str:
        """As it is named in files: `2026-03-29-night`."""
        return f"{self.day.isoformat()}-{self.name}"


class Shifts:
    """The shifts of a plant.

    Args:
        plant: The section.
    """

    def __init__(self, plant: Plant) -> None:
        self.zone = zone_named(plant.timezone)
        self._starts = sorted((minutes_of(begin), name) for name, (begin, _) in plant.shifts.items())
        self._crews, self._crews_from = plant.crews, date.fromisoformat(plant.crews_from)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def at(self, moment: datetime) -> Shift | None:
        """Return the shift of a moment (timezone-aware); None: there are no shifts."""
        if not self._starts:
            return None
        day = moment.astimezone(self.zone).date()
        return next((one for one in self._around(day) if one.began_at <= moment < one.ends_at), None)

    def ended(self, before: datetime, count: int) -> list[Shift]:
        """Return the last `count` shifts that had ended at a moment, the newest first."""
        found: list[Shift] = []
        running = self.at(before)
        while running is not None and len(found) < count:
            running = self.at(running.began_at - timedelta(milliseconds=1))
            found += [running] if running else []
        return found

    def _around(self, day: date) -> list[Shift]:
        """Return the shifts that begin on the day before, this day and the day after, in order."""
        begins = [
            (self._moment(one, minutes), one, number, name)
            for one in (day + timedelta(days=offset) for offset in (-1, 0, 1, 2))
            for number, (minutes, name) in enumerate(self._starts)
        ]
        return [
            Shift(name, one, began_at, ends_at, self._crew(one, number))
            for (began_at, one, number, name), (ends_at, *_) in pairwise(begins)
        ]

    def _moment(self, day: date, minutes: int) -> datetime:
        return datetime.combine(day, time(*divmod(minutes, 60)), self.zone).astimezone(UTC)

    def _crew(self, day: date, number: int) -> str | None:
        if not self._crews:
            return None
        turn = (day - self._crews_from).days * len(self._starts) + number
        return self._crews[turn % len(self._crews)]
