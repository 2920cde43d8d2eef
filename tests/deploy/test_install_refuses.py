"""What `install.sh` and the Debian package refuse before they change anything."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
ROOTS_HOME = Path("~root").expanduser()


def install(folder: Path, package: str, python: str) -> str:
    """Run install.sh on a machine whose dpkg and Python are drawn; return what it refuses with."""
    for name, says in (("id", "0"), ("dpkg-query", package), ("python", python)):
        (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (folder / name).chmod(0o755)
    environ = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": str(folder / "python")}
    ran = subprocess.run(
        ["sh", DEPLOY / "install/install.sh"], env=environ, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    return ran.stderr


@pytest.mark.parametrize(
    ("package", "python", "reason"),
    [
        pytest.param("install ok installed", "/usr/bin/python3.11", "the Debian package is installed", id="package"),
        pytest.param("deinstall ok config-files", "/usr/bin/python3.11", "apt-get purge inspector first", id="removed"),
        pytest.param("", f"{ROOTS_HOME}/.pyenv/bin/python3.11", f"the units do not see {ROOTS_HOME}/.pyenv", id="root"),
        pytest.param("", "/home/ada/.local/bin/python3.12", "the units do not see /home/ada", id="home"),
        pytest.param("", "/run/user/1000/python3.12", "the units do not see /run/user/1000", id="runtime folder"),
    ],
)
def test_install_refuses_what_would_end_badly(tmp_path: Path, package: str, python: str, reason: str) -> None:
    """A package that a later purge would take with everything, and an interpreter that the sandbox hides."""
    assert reason in install(tmp_path, package, python)


@pytest.mark.parametrize(("there", "status"), [(True, 1), (False, 0)], ids=["install.sh was here", "a bare machine"])
def test_the_package_refuses_to_lie_beside_an_installation_without_dpkg(
    tmp_path: Path, there: bool, status: int
) -> None:
    """Its preinst says what to run first, and nothing has been unpacked by then."""
    unit = tmp_path / "inspector@.service"
    if there:
        unit.touch()
    text = (DEPLOY / "deb/debian/preinst").read_text(encoding="utf-8")
    assert "/usr/local/lib/systemd/system/inspector@.service" in text
    text = text.replace("/usr/local/lib/systemd/system/inspector@.service", str(unit))

    ran = subprocess.run(["sh", "-c", text, "preinst", "install"], capture_output=True, text=True, check=False)

    assert ran.returncode == status
    assert ("install.sh --uninstall" in ran.stderr) is there
    assert "preinst" in (DEPLOY / "deb/build.sh").read_text(encoding="utf-8")
