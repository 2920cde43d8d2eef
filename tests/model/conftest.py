"""A bundle of format 2 that is small enough to be spoilt thousands of times."""

from __future__ import annotations

from pathlib import Path

import pytest
from spoilt_bundles import TINY

from inspector.commands.card import prove_card


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three labels and a rule for `unknown`; the network has 5 kB. Copy it before you change it."""
    root = tmp_path_factory.mktemp("tiny") / "bundle"
    prove_card(str(TINY), root)
    return root
