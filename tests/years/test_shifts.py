"""`inspector.years.shifts`: whose a moment is, over both changes of summer time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from inspector.settings import plant as plant_module
from inspector.settings.plant import Plant
from inspector.years.shifts import Shifts

THREE = {"early": ("06:00", "14:00"), "late": ("14:00", "22:00"), "night": ("22:00", "06:00")}
BERLIN = Plant(timezone="Europe/Berlin", shifts=THREE, crews=("A", "B", "C"), crews_from="2026-03-28")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "key", "hours"),
    [
        pytest.param("2026-03-28T12:59:59.999", "2026-03-28-early", 8, id="the last moment of a shift"),
        pytest.param("2026-03-28T13:00", "2026-03-28-late", 8, id="the first of the next"),
        pytest.param("2026-03-29T00:30", "2026-03-28-night", 7, id="spring: the night is an hour shorter"),
        pytest.param("2026-03-29T04:00", "2026-03-29-early", 8, id="spring: six o'clock came an hour earlier"),
        pytest.param("2026-10-25T03:30", "2026-10-24-night", 9, id="autumn: the night is an hour longer"),
        pytest.param("2026-10-25T05:00", "2026-10-25-early", 8, id="autumn: six o'clock is an hour later"),
    ],
)
def test_a_moment_is_in_one_shift(moment: str, key: str, hours: int) -> None:
    """By the clock on the wall, whatever it does in the night."""
    shift = Shifts(BERLIN).at(utc(moment))

    assert shift is not None
    assert (shift.key, (shift.ends_at - shift.began_at) / timedelta(hours=1)) == (key, hours)


@pytest.mark.parametrize("day", ["2026-03-28T00:00", "2026-10-24T00:00"])
def test_no_minute_is_lost_or_twice(day: str) -> None:
    """Over three days each minute is in one shift, and each shift begins where the last ended."""
    shifts, moment = Shifts(BERLIN), utc(day)
    seen = [shifts.at(moment + timedelta(minutes=minute)) for minute in range(3 * 24 * 60)]
    kept = list(dict.fromkeys(seen))

    assert None not in kept
    assert [one.began_at for one in kept[1:] if one] == [one.ends_at for one in kept[:-1] if one]


def test_crews_take_turns() -> None:
    """The first crew has the first shift of its day, and so on over and over, also before that day."""
    shifts = Shifts(BERLIN)
    crews = [one.crew for hour in (6, 14, 22, 30, -2) if (one := shifts.at(utc("2026-03-28") + timedelta(hours=hour)))]

    assert crews == ["A", "B", "C", "A", "C"]


def test_the_shifts_that_ended_are_listed() -> None:
    """The newest first: a station that was down for a day knows which reports it owes."""
    ended = Shifts(BERLIN).ended(utc("2026-03-29T05:00"), 3)

    assert [one.key for one in ended] == ["2026-03-28-night", "2026-03-28-late", "2026-03-28-early"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        pytest.param({"timezone": "Europe/Berlim"}, "did you mean Europe/Berlin", id="a zone that is none"),
        pytest.param({"timezone": "../etc/passwd"}, "no such time zone", id="a path"),
        pytest.param({"shifts": THREE | {"late": ("13:00", "22:00")}}, "shifts overlap: early ends", id="overlap"),
        pytest.param({"shifts": THREE | {"late": ("15:00", "22:00")}}, "leave a hole: early ends at 14:00", id="hole"),
        pytest.param({"shifts": {"day": ("06:00", "18:00")}}, "leave a hole: day", id="one that is half a day"),
        pytest.param({"shifts": {"day": ("6", "18:00")}}, "a time of day as 22:00", id="no time"),
        pytest.param({"crews": ("A",)}, "crews need shifts", id="crews alone"),
        pytest.param({"shifts": THREE, "crews_from": "2026-02-30"}, "day is out of range", id="no day"),
    ],
)
def test_mistakes_are_named(given: dict[str, object], told: str) -> None:
    """With the shift, or the zone, that is wrong."""
    with pytest.raises(ValidationError, match=told):
        Plant.model_validate(given)


def test_a_machine_without_time_zones_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """UTC is always known; for any other the text says what to install."""
    monkeypatch.setattr(plant_module, "available_timezones", set)

    with pytest.raises(ValidationError, match="install the package tzdata"):
        Plant(timezone="Europe/Nowhere")
    assert Plant(timezone="UTC", shifts={"day": ("00:00", "00:00")}).shifts
