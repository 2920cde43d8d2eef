"""Write what teaching is worth into docs/training.md, from `training/results/mills-*.json`.

scripts/write_mills.py   # write
scripts/write_mills.py --check  # exit 1 if it is stale (a test runs this)

Nothing is measured here: `python -m training mills` does that.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from blocks import RESULTS, ROOT, percent, write_pages


def taught() -> str:
    """Return the table of surfaces, untaught beside taught, a row each, of every shipped bundle that was measured."""
    lines = [
        "| | clean / marked tiles (groups) | clean tiles that alarm | unknown → unclassified | marked tiles that alarm"
        " | … or are unclassified | AUROC |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for path in sorted(RESULTS.glob("mills-*.json")):
        found = json.loads(path.read_text("utf-8"))
        for name, row in found["mills"].items():
            before, after = (
                {
                    f"{kind} {what}": each
                    for kind in ("clean", "marked")
                    for what, each in row[state][f"{kind}_tiles"].items()
                }
                for state in ("untaught", "taught")
            )
            auroc = row["auroc"]
            cells = (
                f"{found['bundle'].partition('@')[0]}: {name}",
                f"{row['tiles']['clean_tiles']:,} / {row['tiles']['marked_tiles']:,} ({row['groups']})",
                f"{shown(before['clean alarm'])} → {bound(after['clean alarm'])}",
                f"{shown(before['clean unknown'])} → {bound(after['clean unclassified'])}",
                f"{shown(before['marked alarm'])} → {bound(after['marked alarm'])}",
                bound(after["marked called"]),
                f"{auroc['untaught']['value']:.3f} → {auroc['taught']['value']:.3f}"
                f" ({auroc['taught']['low']:.3f}–{auroc['taught']['high']:.3f})",
            )
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(row: Mapping[str, Any]) -> str:
    """Return a share in percent."""
    return f"{percent(row['share'])} %"


def bound(row: Mapping[str, Any]) -> str:
    """Return a share in percent with its 95 % interval: over groups where there is one, else Wilson's."""
    interval = row["bootstrap95"] or row
    return f"{percent(row['share'])} % ({percent(interval['low'])}–{percent(interval['high'])})"


if __name__ == "__main__":
    sys.exit(write_pages({ROOT / "docs" / "training.md": {"mills": taught}}))
