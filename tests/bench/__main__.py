"""Measure the figures of docs/speed.md: `python -m tests.bench [--only NAME …] [--seconds S]`, about ten minutes.

    python -m tests.bench                # all that are missing or of older code: it can be stopped, and goes on
    python -m tests.bench --again        # all
    python -m tests.bench --older        # only say which figures are of older code, and write the page

Run it on a machine that has nothing else to do. `--python` names the interpreter of an environment with what `peers`
stands beside (supervision, openvino); unset: this one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from inspector.bench.chain import cpu_name, run_chain
from inspector.bench.report import draw_loads
from inspector.bench.stages import time_stages
from inspector.model.bundle import find_bundle, load_bundle
from inspector.score.plot import save
from inspector.settings.sections import Decision, Tiling
from inspector.station.wiring import inspect_rules, worker_count
from tests.bench import figures as results

LOADS = (20.0, 50.0, 80.0, 95.0, 120.0)


def measure(name: str, seconds: float, python: str) -> None:
    """Measure a figure and write it."""
    bundle = load_bundle(find_bundle("neu-fast"))
    if name == "stages":
        rows = time_stages(bundle, inspect_rules(Tiling(), Decision(), bundle), 2 * seconds)
        found = {"bundle": bundle.short, "stages": [row.as_dict() for row in rows]}
    elif name == "peers":
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "peers.json"
            command = [python, "-m", "tests.bench.peers", "--seconds", str(4 * seconds), "--output", str(output)]
            subprocess.run(command, check=True)
            found = json.loads(output.read_text("utf-8"))
    else:
        source = name.removeprefix("chain-")
        found = run_chain(bundle, worker_count(0), source, LOADS, seconds, say)

    at = datetime.now(UTC).isoformat(timespec="seconds")
    results.write(name, {"at": at, "cpu": cpu_name(), **found})


def say(text: str) -> None:
    """Say what is being measured."""
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(results.NAMES), choices=results.NAMES)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--older", action="store_true")
    options = parser.parse_args()
    if options.older:
        results.mark_older()
    else:
        for name in options.only:
            known = results.read(name)
            if options.again or known is None or known["older"] or results.is_stale(name):
                sys.stderr.write(f"== {name}\n")
                measure(name, options.seconds, options.python)
    results.PAGE.write_text(results.written_page(results.PAGE.read_text("utf-8")), "utf-8")
    if (lines := results.read("chain-lines")) is not None:
        save(draw_loads(lines), results.PLOT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
