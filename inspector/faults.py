"""Named points at which a fault test can end the process, as a power cut would.

`INSPECTOR_CRASH_AT=NAME` or `NAME:N` kills the process when it passes the point for the N-th time. Without the
variable a point costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

CRASH_POINTS = (
    "file.started",
    "frame.inspected",
    "evidence.written",
    "commit.before",
    "commit.inside",
    "commit.after",
    "done.before",
    "done.after",
    "publish.sent",
    "cursor.before",
    "mark.sent",
    "lines.synced",
    "command.obeyed",
)
"""All points, in the order in which a frame passes them; a command passes the last one."""

_armed: dict[str, int] = {}
if _wanted := os.environ.get("INSPECTOR_CRASH_AT"):
    _name, _, _count = _wanted.partition(":")
    if _name not in CRASH_POINTS:
        raise SystemExit(f"INSPECTOR_CRASH_AT: unknown crash point: {_name}")
    _armed[_name] = int(_count or 1)


def crash_point(name: str) -> None:
    """End the process here with SIGKILL if this point is armed and its count is used up."""
    if name in _armed:
        _armed[name] -= 1
        if _armed[name] <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
