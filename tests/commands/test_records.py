"""`inspector.commands.records`: what is stored, listed by number where no database program is installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import FakeClock, entry

from inspector.commands.records import as_table, read_range, stored_rows
from inspector.errors import EXIT_OK, ConfigError, StoreError
from inspector.store.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cam1.toml"
    path.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "demo"\n'
        f'[store]\npath = "{tmp_path / "state"}"\n'
    )
    return path


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Store:
    """Four stills with a defect each: twelve messages."""
    store = Store(tmp_path / "state", clock)
    store.commit([entry(number, "crack") for number in range(4)])
    return store


def test_rows_are_listed_by_number_while_the_station_runs(config: Path, store: Store) -> None:
    """A range gives its rows in order, and no range the newest; the running station is not disturbed."""
    all_rows = stored_rows(config, None)
    some = stored_rows(config, (4, 6))
    store.close()

    assert [row.seq for row in all_rows] == list(range(1, 13))
    assert some == all_rows[3:6]
    assert {row.kind for row in some} == {"defect", "alarm", "frame"}
    assert {row.label for row in some} == {"crack"}


def test_a_row_is_a_line(config: Path, store: Store) -> None:
    """Number, kind, time in UTC, label, score and phase stand in columns."""
    store.close()
    head, *lines = as_table(stored_rows(config, (1, 3)))

    assert head.split() == ["seq", "kind", "captured,", "UTC", "label", "score", "phase"]
    assert re.fullmatch(r" +1  defect +2026-03-01T12:00:00\.000 +crack +0\.90  closed", lines[0])
    assert len(lines) == 3


def test_the_command_prints_a_table_or_json(config: Path, store: Store) -> None:
    """For people, or one object a line for programs."""
    store.close()
    command = [sys.executable, "-m", "inspector", "records", "--config", str(config), "--seq", "2-3"]
    table, objects = (
        subprocess.run([*command, *more], capture_output=True, text=True, check=False) for more in ((), ("--json",))
    )

    assert (table.returncode, objects.returncode) == (EXIT_OK, EXIT_OK)
    assert len(table.stdout.splitlines()) == 3
    assert [json.loads(line)["seq"] for line in objects.stdout.splitlines()] == [2, 3]


@pytest.mark.parametrize("text", ["", "x", "5-", "-5x", "1-2-3", "1" * 50])
def test_no_range_is_named(text: str) -> None:
    """What is no range is refused with an example; an open end means the number alone."""
    if text == "5-":
        assert read_range(text) == (5, 5)
        return
    with pytest.raises(ConfigError, match="expected a number or a range as 100-200"):
        read_range(text)


def test_a_station_without_a_store_is_named(config: Path) -> None:
    """Nothing is made where nothing is."""
    with pytest.raises(StoreError, match=r"there is no store yet.*inspector\.sqlite3"):
        stored_rows(config, None)
    assert not (config.parent / "state").exists()


def test_the_runbook_needs_nothing_that_a_bare_pc_lacks() -> None:
    """Neither the runbook nor the daily operations call a program that is on no line PC by itself."""
    for page in ("runbook.md", "operations.md"):
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert not re.search(r"(^|[\s`(|])(sqlite3 |curl |jq |wget )", text, re.MULTILINE), page
