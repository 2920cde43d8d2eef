"""`inspector.joiner.service`: killed at any moment, it loses nothing and says nothing twice."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fakes import NOON, FakeClock
from joined_line import BELOW, LEFT, RIGHT, WIDE, coil, defect, ended, gap

from inspector.consume.intake import read_arrival
from inspector.joiner.service import StripService
from inspector.joiner.settings import JoinerSettings
from inspector.store import store as store_module

DEFECTS = 60
KILLS = 150


class Killed(BaseException):
    """The process died."""


@dataclass
class Machine:
    """A machine on which the service is started, killed and started again."""

    settings: JoinerSettings
    clock: FakeClock
    service: StripService

    def kill(self) -> None:
        """What is not on disk is gone."""
        self.stop()
        self.service = StripService(self.settings, self.clock)

    def stop(self) -> None:
        self.service._store.close()
        self.service._queue.close()

    def arrive(self, root: str, topic: str, payload: str) -> None:
        """A message that the broker delivers, as the intake keeps it: at least once."""
        if topic == "coil":
            self.service._take_state(root, topic, payload.encode())
            return
        arrival = read_arrival(f"{root}/{topic}", payload.encode())
        assert arrival is not None
        self.service._queue.add([arrival])


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    settings = JoinerSettings.model_validate(WIDE | {"store": {"path": tmp_path / "strip"}})
    clock = FakeClock()
    machine = Machine(settings, clock, StripService(settings, clock))
    yield machine
    machine.stop()


def said() -> list[tuple[str, str, str]]:
    """A coil: shared defects and defects of one camera each, a gap, and its end."""
    rows = [(root, "coil", coil(root, "7731", 0)) for root in (LEFT, RIGHT, BELOW)]
    for number in range(DEFECTS):
        at_m = 1.0 + 1.5 * number
        rows.append((LEFT, "defect", defect(LEFT, number, at_m, 585)))
        rows.append((RIGHT, "defect", defect(RIGHT, number, at_m, 95)))
        rows.append((BELOW, "defect", defect(BELOW, number, at_m, 300)))
    rows.append((LEFT, "coverage", gap(LEFT, 30.0, 50.0)))
    return [*rows, *((root, "coil", ended(root)) for root in (LEFT, RIGHT, BELOW))]


def published(machine: Machine) -> list[dict[str, Any]]:
    return [json.loads(row.payload) for row in machine.service._store.outbox.pending(0, 10_000)]


def test_random_kills_lose_and_double_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between arrivals, inside commits and while it waits: each defect once, one coil, its gap once."""
    chance, rows, kills = random.Random(7), said(), 0
    at = 0
    while at < len(rows) or machine.service._state.groups == () or kills < KILLS:
        for _ in range(chance.randint(0, 3)):
            if at < len(rows):
                machine.arrive(*rows[at])
                if chance.random() < 0.2:  # died before the broker heard of it: it comes again
                    machine.arrive(*rows[at])
                at += 1
        machine.clock.advance(chance.uniform(0, 4))
        if chance.random() < 0.5:
            kills += 1
            with monkeypatch.context() as patched:

                def die(_: str) -> None:
                    raise Killed

                if chance.random() < 0.7:
                    patched.setattr(store_module, "crash_point", die)
                with suppress(Killed):
                    machine.service.step()
            machine.kill()
        else:
            machine.service.step()
    machine.clock.advance(100)
    machine.service.step()
    machine.service.step()
    bodies = published(machine)
    defects = [body for body in bodies if body["schema"].startswith("inspector/defect/")]
    (run,) = machine.service._store.coils.recent(10)
    page = machine.service._folder / "coils" / "7731-1.json"
    report = json.loads(page.read_text())

    assert kills >= KILLS
    assert [body["seq"] for body in bodies] == list(range(1, len(bodies) + 1))
    assert sorted({(body["side"], body["position_m"]) for body in defects}) == sorted(
        (side, 1.0 + 1.5 * number) for side in ("top", "bottom") for number in range(DEFECTS)
    )
    assert len({body["defect_id"] for body in defects}) == 2 * DEFECTS
    assert {body["tiles"] for body in defects if body["side"] == "top"} == {2} or len(defects) > 2 * DEFECTS
    assert len([body for body in bodies if body["schema"].startswith("inspector/coverage/")]) == 1
    assert (run.coil_id, run.began_ms) == ("7731", int(NOON.timestamp() * 1000))
    assert {(row["label"], row["side"]): row["count"] for row in report["defects"]} == {
        ("crack", "top"): DEFECTS, ("crack", "bottom"): DEFECTS,
    }  # fmt: skip
    assert report["coverage"] == pytest.approx(1 - 20 * 500 / (100 * 2200))


def test_a_commit_writes_what_changed(machine: Machine) -> None:
    """Published defects are rows of their own: after a start they are known, and a late finding still joins one."""
    for number in range(50):
        machine.arrive(LEFT, "defect", defect(LEFT, number, 1.0 + number, 585))
    machine.service.step()
    machine.clock.advance(20)
    machine.service.step()
    size = len(machine.service._store.notes.track_state() or "")
    machine.kill()
    machine.arrive(RIGHT, "defect", defect(RIGHT, 7, 8.0, 95))
    machine.service.step()
    machine.kill()
    machine.clock.advance(20)
    machine.service.step()
    machine.kill()
    bodies = published(machine)

    assert size < 2000
    assert (len(bodies), len({body["defect_id"] for body in bodies}), bodies[-1]["tiles"]) == (51, 50, 2)
    assert len(machine.service._state.groups) == 50


def test_another_queue_is_read_from_its_start(machine: Machine) -> None:
    """A queue that was lost with its disk: the store's place in it is not the place in the new one."""
    for row in said()[:20]:
        machine.arrive(*row)
    machine.service.step()
    machine.stop()
    for file in machine.service._folder.glob("arrivals.sqlite3*"):
        file.unlink()
    machine.service = StripService(machine.settings, machine.clock)
    machine.arrive(BELOW, "defect", defect(BELOW, 500, 77.0, 300))
    machine.service.step()
    machine.clock.advance(20)
    machine.service.step()

    assert 77.0 in {body["position_m"] for body in published(machine)}


def test_what_was_joined_long_ago_is_forgotten(machine: Machine) -> None:
    """But for the newest of each station, which says what was taken; what is not joined yet stays."""
    for row in said()[:90]:
        machine.arrive(*row)
    machine.service._tidy()
    machine.clock.advance(40 * 86400)
    machine.service._tidy()
    before = machine.service._queue.last_place()
    machine.service.step()
    machine.service._tidy()
    left = machine.service._queue.after(0, 1000)

    assert before == 90
    assert len(left) == 3 + 3
    assert left[-1][0] == 90


def test_the_page_needs_nothing_else(machine: Machine) -> None:
    """One file with a map of each side, no script and nothing from elsewhere."""
    for row in said():
        machine.arrive(*row)
    machine.service.step()
    machine.clock.advance(100)
    machine.service.step()
    page = (machine.service._folder / "coils" / "7731-1.html").read_text()

    assert page.count("<svg") == 2
    assert page.count('stroke="#8b0000"') == 2 * DEFECTS
    assert "Not assessed" not in page.replace("Not assessed: 9", "")
    assert not {"http://", "https://", "<script"} & {
        word for word in ("http://", "https://", "<script") if word in page
    }
