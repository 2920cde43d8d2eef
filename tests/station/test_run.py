"""The daemon as a process: what it says before a station runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from inspector.errors import EXIT_REFUSED


def test_a_key_of_another_kind_is_a_warning_in_the_log(tmp_path: Path) -> None:
    """Whoever reads the journal learns of it in time, also where something else keeps the station from running."""
    config = tmp_path / "cam1.toml"
    config.write_text(
        '[station]\nsite = "s"\nline = "l"\nname = "n"\n[source]\nkind = "folder"\npath = "/frames"\nwidth_px = 64\n'
        '[model]\npath = "/absent"\n'
    )
    command = [sys.executable, "-m", "inspector", "run", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "configuration_warning" in line]

    assert done.returncode == EXIT_REFUSED
    assert len(said) == 1
    assert f"{config}: source.width_px: kind = 'folder' does not use this key" in said[0]
