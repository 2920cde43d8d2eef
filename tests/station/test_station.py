"""`inspector.station`: what a station says of the time when nobody looks, and when it calls itself stuck."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import pytest
from fakes import NOON, FakeClock

from inspector.clock import to_timestamp_ms
from inspector.drawn.tiles import draw_tile
from inspector.errors import StoreBusyError, StoreDamagedError
from inspector.frame import Cause
from inspector.messages import Body, CoverageMessage
from inspector.settings.sections import Settings
from inspector.station import housekeeping
from inspector.station.station import Station
from inspector.station.wiring import open_bundle
from inspector.store.entries import Entry
from inspector.store.store import Store
from inspector.telemetry.notify import Notifier

pytestmark = pytest.mark.timeout(60)

AWAY = "unix:///nowhere/line.socket"


class CountingNotifier(Notifier):
    """Counts how often the watchdog was fed."""

    def __init__(self) -> None:
        super().__init__({})
        self.fed = 0

    def alive(self) -> None:
        self.fed += 1


MakeStation = Callable[..., Station]


@pytest.fixture
def make_station(tmp_path: Path, clock: FakeClock) -> MakeStation:
    """Build a station without broker and listener from its source."""

    def make(
        kind: str,
        path: str,
        notifier: Notifier | None = None,
        committed: Callable[[Sequence[Body]], None] | None = None,
    ) -> Station:
        source = {"kind": kind, "path": path, "width_px": 200, "settle_s": 0.0}
        settings = Settings.model_validate(
            {
                "station": {"site": "s", "line": "l", "name": "n"},
                "source": source,
                "model": {"workers": 1},
                "mqtt": {"enabled": False},
                "http": {"enabled": False},
                "store": {"path": str(tmp_path / "state"), "evidence": "off"},
            }
        )
        return Station(settings, open_bundle(settings), clock, notifier or Notifier({}), committed)

    return make


def alive_at(folder: Path) -> float:
    """Return how many seconds after noon a killed process would have left as its last sign of life."""
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.sock"))
    store = Store(copy, FakeClock())
    alive_ms = store.notes.last_alive_ms()
    store.close()
    shutil.rmtree(copy)
    assert alive_ms is not None
    return (alive_ms - to_timestamp_ms(NOON)) / 1000


def test_an_outage_in_which_the_process_dies_is_not_forgotten(
    tmp_path: Path, clock: FakeClock, make_station: MakeStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the source is away no sign of life moves on: the next start tells the whole time that nobody looked."""
    monkeypatch.setattr(housekeeping, "HOUSEKEEPING_S", 0.01)
    station = make_station("lines", AWAY)
    seen: list[float] = []

    def until() -> bool:
        if station.pipeline.reader.reason is None:
            return False
        clock.advance(6.0)
        if station._housekeeping.progress_mono_s > 1060.0:
            seen.append(alive_at(tmp_path / "state"))
        return bool(seen)

    station.run(until)
    assert set(seen) == {0.0}


def test_the_time_of_stopping_is_told_at_the_next_start(
    tmp_path: Path, clock: FakeClock, make_station: MakeStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks once the source is closed; however long the rest takes, `process_down` begins there."""
    told: list[Body] = []
    first = make_station("lines", AWAY)
    stop = first.pipeline.reader.stop

    def slow_stop() -> bool:
        ended = stop()
        clock.advance(40.0)
        return ended

    monkeypatch.setattr(first.pipeline.reader, "stop", slow_stop)
    first.run(lambda: first.pipeline.reader.reason is not None)
    second = make_station("lines", AWAY, committed=told.extend)
    second.run(lambda: bool(told))

    gap = next(body for body in told if isinstance(body, CoverageMessage) and body.cause == "process_down")
    assert (gap.from_, gap.to) == ("2026-03-01T12:00:00.000Z", "2026-03-01T12:00:40.000Z")


@pytest.mark.parametrize("untold", ["frozen", "reader"])
def test_an_outage_that_a_stop_cannot_tell_is_told_at_the_next_start(
    tmp_path: Path, clock: FakeClock, make_station: MakeStation, monkeypatch: pytest.MonkeyPatch, untold: str
) -> None:
    """A frozen camera, or one whose opening outlives the stop: no sign of life is left that would hide it."""
    station = make_station("lines", AWAY)
    stop = station.pipeline.reader.stop
    if untold == "reader":
        monkeypatch.setattr(station.pipeline.reader, "stop", lambda: stop() and False)

    def until() -> bool:
        if station.pipeline.reader.reason is None:
            return False
        if untold == "frozen":
            station.pipeline.committer.tally.missed_cause = Cause.FROZEN
        clock.advance(40.0)
        return True

    station.run(until)
    assert alive_at(tmp_path / "state") == 0.0


@pytest.mark.parametrize("hanging", ["commit", "heartbeat"])
def test_a_disk_that_hangs_blinds_and_holds_up_nobody_else(
    tmp_path: Path, clock: FakeClock, make_station: MakeStation, monkeypatch: pytest.MonkeyPatch, hanging: str
) -> None:
    """Whoever holds the store's lock in a flush that does not return: the main thread goes on judging, and says so."""
    monkeypatch.setattr(housekeeping, "HOUSEKEEPING_S", 0.01)
    folder = tmp_path / "frames"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), draw_tile("clean", 0))
    notifier = CountingNotifier()
    station = make_station("folder", str(folder), notifier)
    hangs, released = threading.Event(), threading.Event()

    def hang(*_: Any) -> list[Body]:
        with station.store.database.guard:
            hangs.set()
            assert released.wait(30)
        return []

    monkeypatch.setattr(station.store if hanging == "commit" else station.store.notes, hanging, hang)
    shown: list[tuple[str, str | None]] = []

    def until() -> bool:
        if hangs.is_set() and not shown:
            clock.advance(1.6)
            shown.append(("", None))
        elif shown:
            message = station.health.message()
            shown.append((message.state, message.reason))
        if len(shown) == 4:  # the first two may come without a look between them
            released.set()
        return released.is_set()

    before = station._heartbeat.begin
    monkeypatch.setattr(station._heartbeat, "begin", lambda waits: before(waits) if hanging == "commit" else None)
    station.run(until)

    assert shown[-1] == ("blind", "store: the store has not answered for 2 s")
    assert notifier.fed >= 2


def test_a_full_disk_is_no_stuck_part(
    tmp_path: Path, clock: FakeClock, make_station: MakeStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store refuses, finished frames wait and the watchdog is fed, for minutes; then all is committed."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(8):
        cv2.imwrite(str(folder / f"{number}.png"), draw_tile("clean", number))
    notifier = CountingNotifier()
    committed: list[Body] = []
    station = make_station("folder", str(folder), notifier, committed.extend)
    commit = station.store.commit
    full_s = 0.0

    def refuse(entries: Sequence[Entry], state: str | None = None) -> list[Body]:
        if full_s < 105:
            raise StoreBusyError("database or disk is full")
        return commit(entries, state)

    monkeypatch.setattr(station.store, "commit", refuse)
    missed: list[float] = []

    def until() -> bool:
        nonlocal full_s
        if (
            station.pipeline.committer.store_reason is not None
            and full_s < 105
            and not station.pipeline.dispatcher.has_unfinished_head
        ):
            clock.advance(5.0)
            full_s += 5.0
            missed.append(notifier.fed)
        return len(committed) == 8

    station.run(until)
    after_the_first = missed[1:]  # which may come before the loop has begun to feed
    assert len(set(after_the_first)) == len(after_the_first) >= 20


def break_store(folder: Path) -> None:
    with (folder / "inspector.sqlite3").open("r+b") as file:
        file.write(bytes(100))


def test_a_broken_store_is_reported_for_a_day(tmp_path: Path, clock: FakeClock, make_station: MakeStation) -> None:
    """The station starts with a new store; health, metric and one coverage message say so; after a day, the metric."""
    Store(tmp_path / "state", clock).close()
    break_store(tmp_path / "state")
    told: list[Body] = []
    for _ in range(2):
        station = make_station("lines", AWAY, committed=told.extend)
        notice = station._health_facts(clock.monotonic()).store_notice
        station.run(lambda station=station: bool(told) and station.pipeline.reader.reason is not None)  # type: ignore[misc]
    clock.advance(90_000)
    later = make_station("lines", AWAY)
    after = later._health_facts(clock.monotonic()).store_notice
    later.run(lambda: True)
    reports = [body for body in told if isinstance(body, CoverageMessage) and body.cause == "store_set_aside"]

    assert notice is not None
    assert notice.startswith("store_set_aside: file is not a database; it is inspector.sqlite3.aside-2026")
    assert after is None
    assert [(body.lost, body.sink, body.first_seq) for body in reports] == [(0, None, None)]
    assert later.registry.get_sample_value("inspector_store_set_aside_timestamp_seconds") == NOON.timestamp()


def test_a_store_that_breaks_ends_the_station(tmp_path: Path, clock: FakeClock, make_station: MakeStation) -> None:
    """Whoever meets the damage, the station ends with it, and one that begins again has a store that works."""
    station = make_station("lines", AWAY)

    def until() -> bool:
        with suppress(StoreBusyError):
            station.store.database.one("SELECT 1 FROM a_table_that_is_gone")
        return False

    with pytest.raises(StoreDamagedError, match="no such table"):
        station.run(until)
    again = make_station("lines", AWAY)
    again.run(lambda: True)

    assert again.store.aside is not None
    assert "no such table" in again.store.aside.reason
