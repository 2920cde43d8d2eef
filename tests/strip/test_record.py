"""`inspector.strip.record`: what is kept of a coil, and how much at most."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import NOON

from inspector.items import CoilFacts
from inspector.strip.record import MAX_EVENTS, MAX_GAPS, CoilRecord, Stretch, from_json, to_json

RECORD = CoilRecord("C-7", NOON, facts=CoilFacts(grade="DC04", width_mm=1250.0))


def test_a_record_is_read_back_as_it_was() -> None:
    """JSON and back is the same record; a later program's key is passed over."""
    record = replace(RECORD, length_m=12.5, inspected_m=12.0, frames_fed=9).with_gap(Stretch(3.0, 3.5, "blank", 1))
    record = record.with_event(4.0, "weld", "between 3 and 5 m")

    assert from_json(to_json(record)) == record
    assert from_json(to_json(record).replace('{"coil_id"', '{"hue":1,"coil_id"', 1)) == record


@pytest.mark.parametrize("text", ["", "{}", '{"coil_id":7}', "[1"])
def test_a_damaged_record_is_refused(text: str) -> None:
    """What cannot be a record is named as such."""
    with pytest.raises(ValueError, match="the record of a coil cannot be read"):
        from_json(text)


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        pytest.param(
            [Stretch(1, 2, "blank", 1), Stretch(2, 4, "blank", 2)], (Stretch(1, 4, "blank", 3),), id="one after another"
        ),
        pytest.param(
            [Stretch(1, 2, "blank"), Stretch(2, 3, "partial")],
            (Stretch(1, 2, "blank"), Stretch(2, 3, "partial")),
            id="of another cause",
        ),
        pytest.param(
            [Stretch(1, 2, "blank"), Stretch(3, 4, "blank")],
            (Stretch(1, 2, "blank"), Stretch(3, 4, "blank")),
            id="further on",
        ),
        pytest.param(
            [Stretch(None, None, "blank", 1), Stretch(None, None, "blank", 1)],
            (Stretch(None, None, "blank", 2),),
            id="frames only",
        ),
    ],
)
def test_neighbouring_gaps_of_one_cause_are_one(gaps: list[Stretch], expected: tuple[Stretch, ...]) -> None:
    """A gap that goes on is one gap."""
    record = RECORD
    for gap in gaps:
        record = record.with_gap(gap)

    assert record.gaps == expected


def test_a_record_stays_bounded() -> None:
    """Beyond the bound gaps are summed by cause and events counted; no metre and no frame of them is lost."""
    record = RECORD
    for number in range(MAX_GAPS + 500):
        record = record.with_gap(Stretch(2.0 * number, 2.0 * number + 1, ("blank", "partial")[number % 2], 3))
    for number in range(MAX_EVENTS + 5):
        record = record.with_event(None, "weld", str(number))

    assert (len(record.gaps), len(record.rest), len(record.events), record.events_beyond) == (2000, 2, 200, 5)
    assert record.gaps_m == MAX_GAPS + 500
    assert record.missed_by_cause() == {"blank": (1250, 3750), "partial": (1250, 3750)}
