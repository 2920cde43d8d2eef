"""Bounds on every value of a configuration, wherever it comes from, before anything looks at what it means.

What is refused here would fail only where it is used: a NUL in a path, a number that no conversion takes, a table that
nests deeper than Python may recurse.
"""

from __future__ import annotations

import math
import re
from typing import Any

MAX_FILE_BYTES = 1 << 20
MAX_DEPTH = 16
"""Tables and arrays inside each other; the deepest key of a section needs four."""
MAX_CHARACTERS = 4096
"""Longest text: the longest path of Linux."""
MAX_NUMBER = 1 << 53
"""Largest number: beyond it a float is no longer exact."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f]")
_HALF = re.compile("[\ud800-\udfff]")
"""What Python makes of bytes that are no UTF-8, in variables and on the command line; nothing can store or send it."""
_ESCAPES = {
    character: f": in double quotes \\{letter} means this; write the text in single quotes"
    for letter, character in (("b", "\b"), ("t", "\t"), ("n", "\n"), ("f", "\f"), ("r", "\r"))
}
"""What a path of Windows becomes in double quotes."""


def find_fault(value: Any) -> str | None:
    """Return what is beyond the bounds in a value with all that is in it, or None. Does not recurse."""
    level = [value]
    for _ in range(MAX_DEPTH):
        if fault := next(filter(None, map(_fault_of, level)), None):
            return fault
        level = [inner for part in level for inner in _inside(part)]
        if not level:
            return None
    return f"tables and arrays are nested more than {MAX_DEPTH} deep"


def _inside(part: Any) -> list[Any]:
    if isinstance(part, dict):
        return [*part.keys(), *part.values()]
    return list(part) if isinstance(part, list | tuple) else []


def _fault_of(part: Any) -> str | None:
    if isinstance(part, str) and "\0" in part:
        return "a text with the character NUL is refused"
    if isinstance(part, str) and (strange := _CONTROL.search(part)):
        escape = _ESCAPES.get(strange[0], "")
        return f"a text with the character {strange[0]!r} is refused{escape}"
    if isinstance(part, str) and not part.isascii() and _HALF.search(part):
        return "a text that is no UTF-8 is refused"
    if isinstance(part, str) and len(part) > MAX_CHARACTERS:
        return f"a text has at most {MAX_CHARACTERS} characters: {len(part)}"
    if isinstance(part, int | float) and MAX_NUMBER < abs(part) < math.inf:  # infinity has an error of its own
        return f"a number is at most {MAX_NUMBER}"
    return None
