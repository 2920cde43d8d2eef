"""`make` alone is harmless and lists what there is; each target makes the environment that it needs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
TEXT = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):", TEXT, re.MULTILINE)


def make(*arguments: str) -> str:
    if shutil.which("make") is None:
        pytest.skip("make is not installed: sudo apt-get install make")
    done = subprocess.run(["make", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_make_alone_lists_every_target() -> None:
    """It starts nothing, and each target has its sentence."""
    listed = re.findall(r"^  make (\S+) +\S", make(), re.MULTILINE)

    assert listed == TARGETS


@pytest.mark.parametrize("target", ["check", "format", "docs", "monitoring", "faults"])
def test_a_target_sets_its_environment_up(target: str) -> None:
    """Every step that needs the tools runs in the environment of the tests, which is made where it is missing."""
    steps = make("--dry-run", target).splitlines()

    assert steps
    assert {step.partition(" ")[0] for step in steps} == {"scripts/with-test"}


def test_no_target_relies_on_an_environment_that_nobody_makes() -> None:
    """Scripts set up .venv-NAME; nothing makes .venv."""
    assert ".venv/" not in TEXT


def test_the_environment_is_the_tests() -> None:
    """`scripts/with-test` sets up what `scripts/test` does, and then runs the command."""
    text = (REPOSITORY / "scripts/with-test").read_text(encoding="utf-8")

    assert "set_up test" in text
    assert text.rstrip().endswith('exec "$@"')
