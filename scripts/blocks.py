"""What stands between `<!-- generated: NAME -->` and `<!-- end -->` in a page, made from the results in this tree."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "training" / "results"

Pages = Mapping[Path, Mapping[str, Callable[[], str]]]
"""Page to its blocks, each with what makes it."""


def percent(share: float) -> str:
    """Return a bound in percent, with two decimals where it is less than one from 0 or 100."""
    value = 100 * share
    if round(value, 2) in (0, 100):
        return f"{value:.0f}"
    return f"{value:.{2 if min(value, 100 - value) < 1 else 1}f}"


def filled(text: str, name: str, content: str) -> str:
    """Return a page with new content in one of its blocks.

    Raises:
        ValueError: The page has no such block, or two.
    """
    block = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    text, count = block.subn(lambda match: f"{match[1]}{content}\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"one block named {name} is expected, not {count}")
    return text


def write_pages(pages: Pages) -> int:
    """Write the pages, or with `--check` name those that are stale; returns the exit code."""
    check, stale = "--check" in sys.argv, 0
    for page, parts in pages.items():
        before = after = page.read_text("utf-8")
        for name, make in parts.items():
            after = filled(after, name, make())
        if before != after:
            stale += 1
            sys.stderr.write(f"{'stale' if check else 'written'}: {page.name}\n")
            if not check:
                page.write_text(after, "utf-8")
    return int(check and stale > 0)
