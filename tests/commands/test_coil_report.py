"""`inspector report`: a coil's report from the command line, kept or made of the records; and names that are wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from coil_reports import BEGAN, record_of
from coil_rows import placed, placed_defect
from fakes import FakeClock
from typer.testing import CliRunner

from inspector.cli import app
from inspector.command_table import Origin
from inspector.commands.coil_reports import find_report, write_whole
from inspector.commands.forget import forget_name, forget_period
from inspector.errors import ConfigError, StoreError
from inspector.items import Command
from inspector.station.coil_report import name_of, open_kept, write_report
from inspector.store.database import DATABASE
from inspector.store.entries import Entry
from inspector.store.store import Store


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cam1.toml"
    path.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "demo"\n'
        f'[store]\npath = "{tmp_path / "state"}"\n'
        '[[report.surface_class]]\nname = "A"\nmax_count = { critical = 9 }\n'
    )
    return path


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[Store]:
    """Coil 7731 with three defects, and 7732, which runs."""
    with closing(Store(tmp_path / "state", clock)) as store:
        store.commit([placed(*(placed_defect(number) for number in range(3))), Entry([], {}, coils=[record_of()])])
        store.commit([Entry([], {}, coils=[record_of(coil_id="7732", ended_at=None, assessed=False)])])
        yield store


def ask(*words: object) -> str:
    done = CliRunner().invoke(app, ["report", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_terminal_gets_a_table(config: Path, store: Store) -> None:
    """What the coil is, what was not inspected, and its defects; the station may run."""
    shown = ask("7731", "--config", config)

    assert "surface class A" in shown
    assert "1000.0 m, 950.0 m inspected, coverage 95.00 %" in shown
    assert "not inspected: 100.0 - 150.0 m, paused" in shown
    assert [line.split() for line in shown.splitlines()][-1] == ["crack", "critical", "3", "0.32"]


def test_a_coil_that_runs_is_reported_so_far(config: Path, store: Store) -> None:
    """In large letters, and never as one without defects."""
    shown = ask("7732", "--config", config)

    assert "THIS COIL STILL RUNS: report so far" in shown
    assert "no reportable defect" not in shown


def test_files_are_written(config: Path, store: Store, tmp_path: Path) -> None:
    """Page, JSON and CSV, all at once, each as asked for; then nothing is on the terminal."""
    files = {kind: tmp_path / f"coil.{kind}" for kind in ("html", "json", "csv")}
    said = ask("7731", "--config", config, "--html", files["html"], "--json", files["json"], "--csv", files["csv"],
               "--decimal-comma", "--language", "de")  # fmt: skip

    assert said == ""
    assert json.loads(files["json"].read_text())["defects"][0]["count"] == 3
    assert "<strong>Oberflächenklasse A" in files["html"].read_text("utf-8")
    assert files["csv"].read_bytes().startswith(b"coil_id;from_head_m;")
    assert b";997,98;" in files["csv"].read_bytes()


def test_the_report_that_was_kept_is_shown(config: Path, store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """It is what was decided at the coil's end, and is there when the rows are not; `--anew` makes it of the rows."""
    settings = find_report(config, "7731").settings
    run = store.reader.coil_runs("7731")[0]
    write_report(settings, tmp_path / "state", store.reader, run, clock)
    with store.database.transaction() as db:
        db.execute("DELETE FROM records")

    assert find_report(config, "7731").report.defects[0].count == 3
    assert find_report(config, "7731", anew=True).report.defects == ()
    store.close()
    (tmp_path / "state" / DATABASE).unlink()
    assert find_report(config, "7731").report.defects[0].count == 3
    assert open_kept(tmp_path / "state", settings.store).names() == [name_of(run)]


@pytest.mark.parametrize(
    ("coil", "run", "says"),
    [
        pytest.param("7713", None, "no such coil is kept; did you mean 773", id="a slip"),
        pytest.param("coil", None, "no such coil is kept; the last ones were 7732, 7731", id="nothing like it"),
        pytest.param("7731", 9, "--run: this coil has no run 9, only 1", id="no such run"),
    ],
)
def test_a_coil_that_is_not_known_is_named(config: Path, store: Store, coil: str, run: int | None, says: str) -> None:
    """With the one that was probably meant."""
    with pytest.raises(ConfigError, match=says):
        find_report(config, coil, run)


def test_a_store_without_coils_says_so(config: Path, tmp_path: Path, clock: FakeClock) -> None:
    """Nobody ever named one; and before the first start there is no store."""
    with pytest.raises(StoreError, match="there is no store yet"):
        find_report(config, "7731")
    Store(tmp_path / "state", clock).close()
    with pytest.raises(ConfigError, match="no coil was ever named"):
        find_report(config, "7731")


def test_a_store_of_an_older_program_says_so(config: Path, store: Store, tmp_path: Path) -> None:
    """It lacks what a report is made of until a station of this program has opened it."""
    with store.database.transaction() as db:
        db.execute("DROP TABLE sections")

    with pytest.raises(StoreError, match="start its station once"):
        find_report(config, "7731")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The one that is there stays as it was."""
    with pytest.raises(FileNotFoundError) as failed:
        write_whole(tmp_path / "none" / "coil.html", "x")

    assert failed.value.filename == str(tmp_path / "none" / "coil.html")


def test_what_is_forgotten_is_in_no_report(config: Path, store: Store, clock: FakeClock, tmp_path: Path) -> None:
    """A person's name goes from the pages that are kept, and with a period the reports of its coils."""
    pause = {"hours": 1.0, "off": False, "person": "amara", "reason": "lamp", "request_id": None}
    command = store.commands.accept(Command(BEGAN, "pause", json.dumps(pause)), "digest", Origin(), pending=False)
    assert command.number
    settings, run = find_report(config, "7731").settings, store.reader.coil_runs("7731")[0]
    write_report(settings, tmp_path / "state", store.reader, run, clock)
    store.close()
    [page] = (tmp_path / "state" / "reports").glob("*.html")
    assert "amara" in page.read_text()

    done = forget_name(config, "amara")

    assert (done["reports"], done["still_in"]) == (1, [])
    assert "amara" not in page.read_text() + page.with_suffix(".json").read_text()
    assert "lamp" in page.read_text()
    assert forget_period(config, BEGAN - timedelta(days=1), BEGAN).reports == 0
    assert forget_period(config, BEGAN, BEGAN + timedelta(hours=1)).reports == 1
    assert not page.exists()
