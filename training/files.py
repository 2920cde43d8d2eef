"""Files that are either complete or missing: each is written under another name and renamed.

A full disk or a kill leaves a `partial-*` file that nothing reads.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2

from inspector.frame import Pixels


def write_bytes(path: Path, raw: bytes) -> None:
    """Write bytes."""
    partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
    partial.write_bytes(raw)
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write canonical, readable JSON."""
    write_bytes(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def write_picture(path: Path, pixels: Pixels) -> None:
    """Write a picture in the format of the path's suffix."""
    _, raw = cv2.imencode(path.suffix, pixels)
    write_bytes(path, raw.tobytes())
