"""`inspector.commands.check`: what is found in a configuration before it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.commands.check import check_files
from inspector.errors import EXIT_OK


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A station without broker and listener whose folder is there."""
    (tmp_path / "frames").mkdir()
    path = tmp_path / "cam1.toml"
    path.write_text(
        f'[station]\nsite = "s"\nline = "l"\nname = "n"\n[mqtt]\nenabled = false\n[http]\nenabled = false\n'
        f'[store]\npath = "{tmp_path / "state"}"\n[source]\nkind = "folder"\npath = "{tmp_path / "frames"}"\n'
    )
    return path


def test_a_key_of_another_kind_is_a_note(config: Path) -> None:
    """It is no fault yet: the exit code does not count it, and it is no value of the station."""
    config.write_text(config.read_text() + "width_px = 64\n")
    (report,) = check_files([config])

    assert report.exit_code == EXIT_OK
    assert report.notes == [
        f"{config}: source.width_px: kind = 'folder' does not use this key, and the next release refuses it"
    ]
    assert "source.width_px" not in report.values
    assert report.values["source.settle_s"] == {"value": 1.0, "origin": "default"}
