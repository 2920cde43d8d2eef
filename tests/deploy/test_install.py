"""The environment that the Debian package and install.sh share, made as they make it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[2] / "deploy" / "install"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_an_interpreter_behind_a_script_is_found(tmp_path: Path) -> None:
    """With pyenv, `python3` is a shell script beside which no interpreter lies."""
    shim = tmp_path / "shims" / "python3"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {Path(sys.executable).resolve()} "$@"\n')
    shim.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(shim)}
    subprocess.run([INSTALL / "make-wheel.sh", tmp_path / "wheel"], env=environment, check=True)
    (wheel,) = (tmp_path / "wheel").glob("*.whl")
    subprocess.run([INSTALL / "make-venv.sh", tmp_path / "tree", wheel], env=environment, check=True)

    python = tmp_path / "tree/opt/inspector/venv/bin/python"
    told = subprocess.run(
        [python, "-I", "-c", "import inspector.cli, sys; print(inspector.cli.__file__, sys.prefix)"],
        check=True, capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert all(path.startswith(str(tmp_path / "tree")) for path in told), told
