"""`inspector.station.alarm_area`: what other stations of the area say comes from the broker, and may be anything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inspector.items import AreaWord
from inspector.json_text import canonical_json
from inspector.messages import AreaMessage
from inspector.sinks.mqtt.area import MAX_WORD_BYTES, AreaPort
from inspector.sinks.mqtt.connection import Arrived
from inspector.station.alarm_area import MAX_COUNT, word_of

TOPIC = "inspector/areas/hall/s/l/other"
WORD: dict[str, Any] = {
    "schema": "inspector/area/1", "station": "s/l/other", "area": "hall", "at": "2026-01-01T12:00:00.000Z",
    "alarms": "2026-01-01T11:50:00.000Z", "summary": None, "summary_at": None, "held": 0, "wanted": 1,
}  # fmt: skip


def heard(payload: bytes) -> list[AreaWord]:
    """Return what a port makes of a payload."""
    words: list[AreaWord] = []
    port = AreaPort("hall", "s/l/n", lambda: AreaMessage(**WORD), lambda said: words.append(word_of(said)), print)
    assert port.take_message(TOPIC, Arrived(payload, retained=True, packet_id=1, qos=1))
    return words


def test_a_word_is_heard() -> None:
    """What another station says becomes an item with its times and counts."""
    [word] = heard(canonical_json(WORD))

    assert (word.station, len(word.alarms), word.held, word.wanted) == ("s/l/other", 1, 0, 1)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[1]", id="a list"),
        pytest.param(b"[" * 60_000, id="nested without end"),
        pytest.param(canonical_json({**WORD, "alarms": "x" * MAX_WORD_BYTES}), id="very long"),
        pytest.param(canonical_json({**WORD, "alarms": "0001-01-01T00:00:00+14:00"}), id="before all time"),
        pytest.param(canonical_json({**WORD, "alarms": "9999-12-31T23:59:59-14:00"}), id="after all time"),
        pytest.param(canonical_json({**WORD, "alarms": "noon"}), id="no time"),
        pytest.param(canonical_json({**WORD, "at": "2026-13-01T12:00:00.000Z"}), id="a 13th month"),
        pytest.param(json.dumps({**WORD, "alarms": "\ud800"}).encode(), id="half a character"),
        pytest.param(canonical_json({**WORD, "held": -1}), id="a negative number"),
        pytest.param(canonical_json({**WORD, "held": int("9" * 4000)}), id="a number without end"),
        pytest.param(canonical_json({**WORD, "station": "s/l/third"}), id="about a third station"),
    ],
)
def test_a_word_that_is_none_is_refused(payload: bytes) -> None:
    """It is a line in the log: nothing that lies at the broker ends the session, this time or at each start."""
    assert heard(payload) == []


@pytest.mark.parametrize("key", ["held", "wanted"])
def test_counts_of_others_are_bounded(key: str) -> None:
    """They are added up and written, so they are cut where they come in."""
    said = {**WORD, key: 1 << 53}
    [word] = heard(canonical_json(said))

    assert getattr(word, key) == MAX_COUNT
