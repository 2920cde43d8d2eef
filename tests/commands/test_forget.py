"""`inspector forget` leaves nothing of the time it is given, and everything else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from fakes import NOON, FakeClock, make_frame, track_rules
from typer.testing import CliRunner

from inspector.box import Box
from inspector.cli import app
from inspector.commands.forget import forget_period, parse_time
from inspector.drafts import EvidencePicture
from inspector.errors import ConfigError, StoreError
from inspector.inspection.merge import Defect
from inspector.inspection.one_frame import Inspection
from inspector.messages import DefectMessage
from inspector.store.entries import Entry
from inspector.store.evidence import EvidenceFolder
from inspector.store.store import Store
from inspector.track.state import TrackState
from inspector.track.track import track


@pytest.fixture
def config(tmp_path: Path, clock: FakeClock) -> Path:
    """A station that found one defect an hour, three hours long; the last is not delivered."""
    state = tmp_path / "state"
    store = Store(state, clock)
    pictures = EvidenceFolder(state / "evidence", clock, 1 << 30, 1e9, 0, 640)
    for hour in range(3):
        frame = make_frame(hour, captured_at=NOON + timedelta(hours=hour), independent=True, identity=f"secret-{hour}")
        defect = Defect("rust", Box(0, 0, 20, 20), Box(0, 0, 20, 20), 0.9, "clean", 0.05, 1)
        drafts = track(TrackState(), Inspection(frame, None, (defect.box,), (), (defect,)), track_rules())[1]
        for body in store.commit([Entry(drafts, {})]):
            if isinstance(body, DefectMessage):
                pictures.keep(
                    body.defect_id, EvidencePicture(np.full((40, 40), 128, np.uint8), defect.box, defect.tiles_box)
                )
        if hour < 2:
            store.outbox.acknowledge("mqtt", store.outbox.outbox_state("mqtt").last_seq)
    store.close()
    path = tmp_path / "station.toml"
    path.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\n'
        f'[store]\npath = "{state}"\n'
    )
    return path


def hours(config: Path, clock: FakeClock) -> list[int]:
    store = Store(config.parent / "state", clock)
    found = sorted(
        (message["timestamp_ms"] - int(NOON.timestamp() * 1000)) // 3_600_000
        for message in store.reader.recent_defects(9)
    )
    store.close()
    return found


def test_only_the_time_that_is_named_goes(config: Path, clock: FakeClock) -> None:
    """The middle hour goes with its record and picture, and is in no file any more; its neighbours stay."""
    forgotten = forget_period(config, NOON + timedelta(minutes=30), NOON + timedelta(minutes=90))

    assert (forgotten.records > 0, forgotten.pictures, forgotten.folder) == (True, 1, config.parent / "state")
    assert hours(config, clock) == [0, 2]
    assert len(list((config.parent / "state" / "evidence").iterdir())) == 2
    gone = (NOON + timedelta(hours=1)).isoformat(timespec="milliseconds")[:19].encode()
    assert not any(gone in path.read_bytes() for path in (config.parent / "state").glob("inspector.sqlite3*"))


def test_a_dry_run_says_it_all_and_deletes_nothing(config: Path, clock: FakeClock) -> None:
    """The figures are those of the real run; a store that was set aside is named, because it may hold the period."""
    (config.parent / "state" / "inspector.sqlite3.aside-20260301T120000Z").write_bytes(b"x")
    period = NOON + timedelta(minutes=30), NOON + timedelta(minutes=90)
    planned = forget_period(config, *period, dry_run=True)
    left = hours(config, clock)
    done = forget_period(config, *period)

    assert planned == done
    assert left == [0, 1, 2]
    assert planned.aside == ("inspector.sqlite3.aside-20260301T120000Z",)


@pytest.mark.parametrize(
    ("options", "answer", "code", "left"),
    [
        pytest.param([], "n\n", 1, [0, 1, 2], id="no"),
        pytest.param([], "", 1, [0, 1, 2], id="nobody there"),
        pytest.param([], "y\n", 0, [], id="yes"),
        pytest.param(["--yes"], "", 0, [], id="not asked"),
        pytest.param(["--dry-run"], "", 0, [0, 1, 2], id="dry run"),
    ],
)
def test_it_asks_before_it_deletes(
    config: Path, clock: FakeClock, options: list[str], answer: str, code: int, left: list[int]
) -> None:
    """The question names what goes; without an answer nothing goes."""
    store = Store(config.parent / "state", clock)
    store.outbox.acknowledge("mqtt", store.outbox.outbox_state("mqtt").last_seq)
    store.close()
    arguments = ["forget", "-c", str(config), "--from", "2026-02-28", "--to", "2026-03-03", *options]
    done = CliRunner().invoke(app, arguments, input=answer)

    assert (done.exit_code, hours(config, clock)) == (code, left)
    assert ("Delete 9 records and 3 pictures from 2026-02-28T00:00:00.000Z" in done.output) == (not options)


def test_what_waits_for_the_broker_stays(config: Path, clock: FakeClock) -> None:
    """Forgetting everything leaves the message that was not delivered, so that its delivery is not lost."""
    forget_period(config, NOON - timedelta(days=1), NOON + timedelta(days=1))

    assert hours(config, clock) == [2]


def test_a_sink_that_is_switched_off_keeps_nothing(config: Path, clock: FakeClock) -> None:
    """What only a sink waits for that the configuration does not have any more is forgotten with the rest."""
    store = Store(config.parent / "state", clock)
    store.outbox.acknowledge("jsonl", 1)
    store.close()
    forget_period(config, NOON - timedelta(days=1), NOON + timedelta(days=1))

    assert hours(config, clock) == [2]


def test_a_running_station_and_an_empty_time_are_refused(config: Path, clock: FakeClock) -> None:
    """The store of a running station is locked; a time that ends before it begins is no time."""
    running = Store(config.parent / "state", clock)
    with pytest.raises(StoreError, match="in use"):
        forget_period(config, NOON, NOON + timedelta(hours=1))
    running.close()
    with pytest.raises(ConfigError, match="--to must lie after"):
        forget_period(config, NOON, NOON)


def test_a_store_that_is_not_there_is_said_and_not_made(config: Path, tmp_path: Path) -> None:
    """Looking in the wrong folder is no success, and leaves no folder behind."""
    config.write_text(config.read_text().replace(str(tmp_path / "state"), str(tmp_path / "elsewhere")))

    with pytest.raises(StoreError, match="nothing was ever stored in"):
        forget_period(config, NOON, NOON + timedelta(hours=1))
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("20260301", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T06:30", datetime(2026, 3, 1, 6, 30, tzinfo=UTC)),
        ("2026-03-01T06:30:15Z", datetime(2026, 3, 1, 6, 30, 15, tzinfo=UTC)),
        ("2026-03-01T06:30:00+01:00", datetime(2026, 3, 1, 5, 30, tzinfo=UTC)),
    ],
)
def test_times_mean_what_a_reader_takes_them_for(text: str, expected: datetime) -> None:
    """Dates are dates with or without dashes, an offset counts, and without one it is UTC."""
    assert parse_time("--from", text) == expected


@pytest.mark.parametrize("text", ["1772334000", "99999999999", "yesterday", "03/01/2026", "", "0001-01-01T00:00+14:00"])
def test_a_time_that_can_be_misread_is_refused(text: str) -> None:
    """Nothing is deleted by a number or a guess."""
    with pytest.raises(ConfigError, match="--to: a date or time"):
        parse_time("--to", text)
