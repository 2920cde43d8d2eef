"""`[plant]`: the plant's clock, its shifts, and whose turn each is."""

from __future__ import annotations

import re
from datetime import UTC, date, tzinfo
from itertools import pairwise
from typing import Annotated, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import Field, field_validator, model_validator

from inspector.settings.hints import nearest
from inspector.settings.section import Section

DAY_MIN = 24 * 60
_CLOCK = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")

ShiftName = Annotated[str, Field(pattern=r"^[\w-]+$", min_length=1, max_length=32)]
Crew = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=32)]


def minutes_of(text: str) -> int:
    """Return the minutes since midnight of `22:00`.

    Raises:
        ValueError: It is no time of day.
    """
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError(f"a time of day as 22:00 is expected: {text!r}")
    return int(found[1]) * 60 + int(found[2])


def zone_named(name: str) -> tzinfo:
    """Return a time zone; UTC needs no data on the machine.

    Raises:
        ValueError: There is none of this name, or the machine has no data on time zones.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        known = available_timezones()
        if not known:
            raise ValueError(
                f"this machine has no data on time zones (install the package tzdata), so only UTC is known: {name!r}"
            ) from exc
        meant = nearest(name, known)
        raise ValueError(f"no such time zone: {name!r}" + (f"; did you mean {meant}?" if meant else "")) from exc


class Plant(Section):
    """The plant's clock and its shifts: whose report, and whose count, a moment belongs to."""

    timezone: str = Field(
        default="UTC", max_length=64, description="Of the shifts, by its name in the IANA list: Europe/Berlin."
    )
    shifts: dict[ShiftName, tuple[str, str]] = Field(
        default={},
        max_length=24,
        description='Start and end of each by the clock on the wall: {early = ["06:00", "14:00"], ...}; together they'
        " are the whole day.",
    )
    crews: tuple[Crew, ...] = Field(
        default=(),
        max_length=2000,
        description="Who works, shift after shift, over and over, from the first shift of crews_from on.",
    )
    crews_from: str = Field(
        default="2026-01-05", pattern=r"^\d{4}-\d\d-\d\d$", description="The day on which the first of crews begins."
    )

    @field_validator("timezone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        zone_named(value)
        return value

    @field_validator("crews_from")
    @classmethod
    def _check_day(cls, value: str) -> str:
        date.fromisoformat(value)
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        spans = sorted((minutes_of(begin), minutes_of(end), name) for name, (begin, end) in self.shifts.items())
        for (_, end, name), (begin, _, following) in pairwise(
            [*spans, *((b + DAY_MIN, e, n) for b, e, n in spans[:1])]
        ):
            started = next(start for start, _, one in spans if one == name)
            stop = end if end > started else end + DAY_MIN
            if stop > begin:
                raise ValueError(
                    f"shifts overlap: {name} ends at {self.shifts[name][1]}, {following} has begun by then"
                )
            if stop < begin:
                raise ValueError(
                    f"shifts leave a hole: {name} ends at {self.shifts[name][1]}, {following} begins at"
                    f" {self.shifts[following][0]}"
                )
        if self.crews and not self.shifts:
            raise ValueError("crews need shifts")
        return self
