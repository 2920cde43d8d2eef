"""What a station remembers of the others in its operator's area."""

from __future__ import annotations

from datetime import UTC, datetime

from inspector.track.area import MAX_PEERS, AreaState, Peer, heard

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def test_only_the_stations_heard_last_are_remembered() -> None:
    """However many names come from the broker, the state stays small; a station that goes on speaking stays in it."""
    area = AreaState()
    for number in range(3 * MAX_PEERS):
        area = heard(area, f"works/line/cam{number}", Peer(NOW))
        area = heard(area, "works/line/steady", Peer(NOW, wanted=number))

    assert len(area.peers) == MAX_PEERS
    assert area.peers["works/line/steady"].wanted == 3 * MAX_PEERS - 1
    assert f"works/line/cam{3 * MAX_PEERS - 1}" in area.peers
    assert "works/line/cam0" not in area.peers
