"""JSON from outside, read within bounds, and the hash of what it says: not of how it is written.

Spaces, line ends, the order of keys and escapes change nothing; every other change is another hash.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Described = TypeVar("Described", bound=BaseModel)

MAX_DEPTH = 32
MAX_DIGITS = 40
"""Of one number as written; a float64 needs 17."""


def read_json(raw: bytes) -> Any:
    """Return the JSON in `raw`, UTF-8.

    Raises:
        ValueError: It is no JSON, names a key twice, is nested deeper than `MAX_DEPTH`, or holds a number that
            is not finite or has more than `MAX_DIGITS` digits; the text says which.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_int=lambda text: int(_bounded(text)),
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    _refuse_depth(value)
    return value


def read_described(raw: bytes, kind: type[Described], schema: str | None = None) -> tuple[Described, str]:
    """Return what a file of a described kind holds, and the hash of its content.

    Args:
        raw: Its JSON.
        kind: Its keys.
        schema: What `schema` has to name before any other key is looked at; None: `kind` says.

    Raises:
        ValueError: It is no JSON within bounds, another schema, or a key is missing, unknown, of another type or out of
            its range; the text begins with the key.
    """
    try:
        given = read_json(raw)
    except ValueError as exc:
        raise ValueError(f"not JSON: {exc}") from exc
    if schema is not None and isinstance(given, dict) and given.get("schema") != schema:
        raise ValueError(f"schema: this release reads {schema}: {str(given.get('schema'))[:80]!r}")
    try:
        described = kind.model_validate_json(raw, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:200] or "card"
        raise ValueError(f"{where}: {first['msg']}") from exc
    return described, content_sha256(given)


def canonical_sha256(value: Mapping[str, Any]) -> str:
    """Return the sha256 of an object's content: sorted keys, no spaces, ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def content_sha256(fields: Mapping[str, Any]) -> str:
    """Return the hash of a file's content that the file names itself: of all fields but `sha256`."""
    return canonical_sha256({key: value for key, value in fields.items() if key != "sha256"})


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"a key is named twice: {twice[:80]!r}")
    return found


def _bounded(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits: {text[:20]}...")
    return text


def _finite(text: str) -> float:
    value = float(_bounded(text))
    if not math.isfinite(value):
        raise ValueError(f"a number that is not finite: {text}")
    return value


def _refuse_depth(value: Any) -> None:
    """Refuse what is nested too deep; level by level, so that nothing deep is ever recursed into."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested too deep: more than {MAX_DEPTH} levels")
