"""Two stations of one operator's area, and a real broker between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from peers import Broker, Daemon, Listener, station_toml

pytestmark = pytest.mark.real

WORDS = '\n[alarm]\narea = "hall"\n[labels.scratches]\ncode = "312"\nname.de = "Kratzer"\ngroup = "surface"\n'


def test_two_stations_share_the_hour_of_one_operator(
    broker: Broker, listener: Listener, make_daemon: Callable[..., Daemon]
) -> None:
    """Both on a strip full of defects: six alarms at most, and the summary of both has one id."""
    for name in ("cam1", "cam2"):
        daemon = make_daemon('kind = "demo"\nspeed_m_s = 1.0\nmm_per_px = 0.5', name=name)
        text = station_toml(daemon.folder, broker.port, 'kind = "demo"\nspeed_m_s = 1.0\nmm_per_px = 0.5', WORDS)
        daemon.config.write_text(text.replace('name = "cam"', f'name = "{name}"'))
        daemon.start()

    def summed() -> set[str]:
        return {alarm["station"] for alarm in listener.of("alarm") if alarm["kind"] == "summary"}

    listener.wait(lambda: listener.count("alarm") >= 4 and len(summed()) == 2, "a summary of each")
    alarms = listener.of("alarm")
    single = [alarm for alarm in alarms if alarm["kind"] == "defect"]

    assert 1 <= len(single) <= 5
    assert len({alarm["defect_id"] for alarm in alarms if alarm["kind"] == "summary"}) == 1
    assert {alarm["area"] for alarm in alarms} == {"hall"}
    assert {(d["class_code"], d["class_name"]) for d in listener.of("defect") if d["label"] == "scratches"} <= {
        ("312", "Kratzer")
    }
