"""The keys of the configuration, looked up on a line PC without a browser."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from inspector.settings.described import KeyRow, key_rows
from inspector.settings.hints import nearest

COLUMNS = 100


def find_keys(word: str | None) -> list[KeyRow]:
    """Return the keys of a section, those that have the word in their name, or those that have it in their sentence.

    Args:
        word: A section, a key with or without its section, or a word; None: all keys.

    Raises:
        LookupError: None of that; the text has the nearest name.
    """
    rows = list(key_rows())
    if word is None:
        return rows
    plain = word.strip("[]").lower()
    for found in (
        [row for row in rows if plain in (row.section, row.name, row.key)],
        [row for row in rows if plain in row.name],
        [row for row in rows if plain in row.says.lower()],
    ):
        if found:
            return found
    meant = nearest(plain, {name for row in rows for name in (row.section, row.key, row.name)})
    raise LookupError(f"no key, and none about it: {word}" + (f"; did you mean {meant}?" if meant else ""))


def key_lines(rows: list[KeyRow]) -> Iterator[str]:
    """Yield the text about keys: name and default, then what it is and accepts."""
    for row in rows:
        default = {"required": "(required)", "unset": "(unset)"}.get(row.default, f"= {row.default}")
        yield f"{row.name} {default}"
        kinds = f" [{', '.join(row.kinds)}]" if row.kinds else ""
        for text in (row.says + kinds, f"accepts: {row.accepts}"):
            yield from textwrap.wrap(text, COLUMNS, initial_indent="    ", subsequent_indent="    ")
