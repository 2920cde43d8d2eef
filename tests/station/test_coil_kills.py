"""A station that dies at any moment over coil changes: one record a coil, no metre twice, none lost.

`INSPECTOR_COIL_KILLS=1000 pytest tests/station/test_coil_kills.py` tries as many deaths as docs/coils.md says.
"""

from __future__ import annotations

import json
import os
import random
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeClock, inspected, make_frame, track_rules

from inspector.frame import Frame
from inspector.items import Command
from inspector.station.inbox import Inbox
from inspector.station.plant import Plant
from inspector.station.tracker import Tracker
from inspector.store.entries import Entry
from inspector.store.store import Store
from inspector.strip.rules import StripRules

KILLS = int(os.environ.get("INSPECTOR_COIL_KILLS", "40"))
ROWS = np.full((50, 64), 90, np.uint8)
"""0.1 m of strip, which pass in 0.1 s."""


class Mill:
    """A line at 1 m/s, its plant, and a station that dies and starts again with what is on the disk."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng, self.clock = folder, random.Random(seed), FakeClock()
        self.named: list[str] = []
        self.ahead_s = 0.0
        self.epoch = self.number = self.kills = 0
        self.start()

    def start(self) -> None:
        self.store, self.inbox = Store(self.folder, self.clock), Inbox(self.clock)
        rules = track_rules(mm_per_px=1.0, reference="r", strip=StripRules(mm_per_line=2.0))
        self.tracker = Tracker(rules, self.store, self.inbox, self.clock)
        self.plant = Plant(self.store, self.inbox, self.clock, lambda _: "")
        self.epoch, self.number = self.epoch + 1, 0

    def die(self) -> None:
        """Nothing but what is committed is left; the line runs on meanwhile."""
        self.kills += 1
        self.ahead_s = 0.0
        self.store.close(False)
        self.clock.advance(round(self.rng.random() * 3, 3))
        self.start()

    def say(self, name: str, asked: dict[str, object]) -> None:
        reply = self.plant.execute(name, json.dumps(asked).encode())
        assert reply is not None
        assert reply.ok, reply.detail

    def name_coil(self) -> None:
        self.named.append(f"C{len(self.named)}")
        self.say("coil", {"coil_id": self.named[-1]})

    def pass_frame(self, dies: bool = False) -> None:
        """A frame passes; a station that dies has tracked it, and not committed it."""
        self.clock.advance(0.1 - self.ahead_s)
        self.ahead_s = 0.0
        entries = []
        for word in self.inbox.take(self.clock.monotonic()):
            entries.append(Entry(self.tracker.take(word), {}, commands=(word,) if isinstance(word, Command) else ()))
        entries.append(Entry(self.tracker.take(inspected(self._frame())), {}))
        self.number += 1
        if dies:
            self.die()
            return
        state = self.tracker.to_store(True)
        if state is not None:
            entries.append(Entry((), {}, coils=self.tracker.coils()))
        self.store.commit(entries, state)
        self.tracker.note_stored()

    def _frame(self) -> Frame:
        return make_frame(
            self.number, ROWS, epoch=self.epoch, first_line=50 * self.number, identity=f"{self.epoch}:{self.number}",
            captured_at=self.clock.now(), captured_mono_s=self.clock.monotonic(),
        )  # fmt: skip

    def live(self, kills: int) -> None:
        """Run until it has died so often."""
        self.say("line", {"running": True, "speed_m_s": 1.0})
        self.pass_frame()
        self.name_coil()
        while self.kills < kills:
            kind = self.rng.choices(("frame", "coil", "dies before", "dies in", "dies after"), (60, 12, 4, 4, 4))[0]
            if kind == "coil":
                self.pass_frame()
                self.ahead_s = round(self.rng.random() * 0.05, 3)
                self.clock.advance(self.ahead_s)
                self.name_coil()
            elif kind == "dies before":  # the command was answered; no frame has come since
                self.name_coil()
                self.die()
            elif kind == "dies in":
                self.name_coil()
                self.pass_frame(dies=True)
            else:
                self.pass_frame()
                if kind == "dies after":
                    self.die()
        self.pass_frame()
        self.pass_frame()


@pytest.mark.parametrize("seed", range(2))
def test_one_record_a_coil_whenever_the_station_dies(tmp_path: Path, seed: int) -> None:
    """Each named coil has one record; each balances, and together they are what ran since the first head."""
    mill = Mill(tmp_path, seed)
    head_m = 0.1
    mill.live(KILLS)
    runs = [run.record for run in mill.store.reader.coil_runs(limit=10**6)][::-1]
    run_m = mill.tracker.state.way.run_m
    mill.store.close(True)

    assert [record.coil_id for record in runs] == mill.named
    for record in runs:
        assert (record.length_m or 0.0) - (record.inspected_m or 0.0) - record.gaps_m == pytest.approx(0, abs=1e-6)
    assert sum(record.length_m or 0.0 for record in runs) == pytest.approx(run_m - head_m, abs=1e-4)
    assert run_m == pytest.approx((mill.clock.now() - FakeClock().now()) / timedelta(seconds=1), rel=1e-3, abs=0.1)
