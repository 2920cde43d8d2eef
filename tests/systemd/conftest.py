"""The package, pictures, and machines to run them on."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import machine
import packages
import pytest
from machine import Machine

from inspector.drawn.spec import KINDS
from inspector.drawn.tiles import draw_tile

EACH = 3
"""Pictures of each kind."""


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that machines see at /mnt: this tree's package, one of the next version, and pictures with defects."""
    if reason := machine.missing() or packages.missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("shared")
    shutil.copyfile(packages.this_package(), folder / "inspector.deb")
    packages.as_next_version(folder / "inspector.deb", folder / "inspector-next.deb", "99.0")
    (folder / "pictures").mkdir()
    for number, label in enumerate(KINDS * EACH):
        cv2.imwrite(str(folder / "pictures" / f"{number:03}-{label}.png"), draw_tile(label, seed=number))
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    for parent in list(folder.parents)[:3]:
        parent.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def boot(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Machine]]:
    """Boot machines; all are gone at the end."""
    try:
        base = machine.base_system()
    except subprocess.CalledProcessError as exc:
        pytest.skip(f"debootstrap could not make a base system: {exc.stdout[-300:]!r}")
    with ExitStack() as stack:

        def booted() -> Machine:
            one = Machine(base, shared, tmp_path_factory.mktemp("console") / "console.txt")
            stack.callback(one.stop)
            return one

        yield booted


@pytest.fixture(scope="session")
def line_pc(boot: Callable[[], Machine]) -> Machine:
    """A machine with the package installed and a mosquitto on loopback; each test has a station of its own."""
    one = boot()
    one.run("dpkg", "--install", "/mnt/inspector.deb")
    return one
