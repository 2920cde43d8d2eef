"""A process of its own that writes the report of a coil, at the lowest priority: a large coil takes seconds.

`report_writer` runs it as `python -m inspector.station.report_child`: one line of JSON on standard input says which,
one on standard output what came of it. It only reads the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from inspector.clock import SystemClock
from inspector.errors import InspectorError
from inspector.settings.sections import Settings
from inspector.station.coil_report import write_report
from inspector.store.database import DATABASE
from inspector.store.read_only import StoreReader

LOWEST = 19
"""Of `nice`."""


def main() -> None:
    """Write what standard input asks for."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # they are meant for the station, which ends us
        signal.signal(number, signal.SIG_IGN)
    order = json.loads(sys.stdin.readline())
    with contextlib.suppress(OSError):  # a sandbox that forbids it: it writes all the same
        os.nice(LOWEST)
    try:
        answer: dict[str, Any] = {"bytes": write(order)}
    except InspectorError as exc:
        answer = {"error": str(exc)}
    except OSError as exc:
        answer = {"error": f"{exc.filename or order['folder']}: {exc.strerror}"}
    except MemoryError:
        answer = {"error": "there is not enough memory"}
    sys.stdout.write(json.dumps(answer) + "\n")


def write(order: dict[str, Any]) -> int:
    """Write the report of a run; returns its bytes, 0 if there is no such run (any more).

    Raises:
        StoreBusyError: The store cannot be read now.
        OSError: The disk refuses.
    """
    settings, folder = Settings.model_validate(order["settings"]), Path(order["folder"])
    with closing(StoreReader(folder / DATABASE, order["records"])) as reader:
        runs = reader.coil_runs(limit=1, before_id=order["run"] + 1)
        if not runs or runs[0].id != order["run"]:
            return 0
        return write_report(settings, folder, reader, runs[0], SystemClock())


if __name__ == "__main__":
    main()
