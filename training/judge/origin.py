"""Where a result comes from: the commit of the code, the date, and the data."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.data.manifest import Manifest


def provenance(manifest: Manifest) -> dict[str, Any]:
    """Return commit, date and data of a result."""
    return {
        **code_and_date(),
        "data_manifest": manifest.sha256,
        "data_pictures": manifest.pictures_sha256,
    }


def code_and_date() -> dict[str, Any]:
    """Return commit (with a plus where the code differs from it, None without git) and date of a result."""
    commit = _git("rev-parse", "HEAD")
    changed = "+" if commit and _git("diff", "--name-only", "HEAD", "--", ":/*.py") else ""
    return {
        "commit": f"{commit}{changed}" if commit else None,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _git(*arguments: str) -> str:
    """Return what git says about this checkout; nothing without git or a checkout."""
    if (program := shutil.which("git")) is None:
        return ""
    found = subprocess.run(
        [program, *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return found.stdout.strip()
