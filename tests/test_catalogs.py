"""The catalogues of the pages: whole, current, and one for each language."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inspector.pages.language import CODES

ROOT = Path(__file__).parents[1]


def test_the_catalogues_are_whole() -> None:
    """Every text of code and templates is in each catalogue with its translation, and the compiled ones are current."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_catalogs.py", "--check"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, ""), "run: scripts/with-test python scripts/write_catalogs.py"


@pytest.mark.parametrize("folder", ["inspector/http", "inspector/reports", "training/judge"])
def test_every_language_has_its_catalogue(folder: str) -> None:
    """A language that can be chosen is one that lies there, and the other way round."""
    assert {path.parts[-3] for path in (ROOT / folder).glob("locale/*/LC_MESSAGES/*.mo")} == set(CODES) - {"en"}
