"""Says of a refused value where it was given, which key it is, what is wrong, and what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inspector.settings.hints import Keys, hint_of_key, hint_of_kind, hint_of_word
from inspector.settings.source import SOURCE_KINDS

_HIDDEN = frozenset({"missing", "union_tag_not_found", "value_error", "extra_forbidden"})
"""Errors after which the value is not shown: it is not there, stands in the text, or may be a secret."""


def explain_error(error: Any, origins: Mapping[str, str], path: Path | None, keys: Keys) -> str:
    """Return a line about one of pydantic's errors.

    Args:
        error: As `ValidationError.errors` gives it.
        origins: Where each value came from.
        path: The file, for what came from nowhere.
        keys: All that exist.
    """
    parts, message, value = _plain_parts(error["loc"]), str(error["msg"]).removeprefix("Value error, "), error["input"]
    kind, hint = error["type"], ""
    if kind in ("union_tag_invalid", "union_tag_not_found"):  # the kind, not the whole table, is wrong
        parts, kinds = [*parts, "kind"], [repr(name) for name in SOURCE_KINDS]
        message = f"Input should be {', '.join(kinds[:-1])} or {kinds[-1]}"
        value = value.get("kind")
        hint = hint_of_kind(value, SOURCE_KINDS)
    near = (origins.get(".".join(parts[:count])) for count in range(len(parts), 0, -1))
    origin = next((one for one in near if one), str(path or "configuration"))
    if kind == "extra_forbidden":
        message, hint = "unknown key", hint_of_key(parts, keys)
    elif kind in ("missing", "union_tag_not_found"):
        message = "missing"
        if kind == "union_tag_not_found":
            hint = f"; one of {', '.join(kinds)}"
        elif len(parts) == 1 and parts[0] in keys:
            hint = f"; add the section [{parts[0]}]"
    elif kind == "literal_error":
        hint = hint_of_word(value, str(error["ctx"]["expected"]))
    shown = "" if kind in _HIDDEN else f": {value!r}"
    key = f"{'.'.join(parts)}: " if parts else ""
    return f"{origin}: {key}{message}{shown}{hint}"


def _plain_parts(loc: Sequence[str | int]) -> list[str]:
    """Return where a value is as it is written in the file: `source.path`, without the kind between the two."""
    return [
        str(part) for place, part in enumerate(loc) if not (place == 1 and loc[0] == "source" and part in SOURCE_KINDS)
    ]
