"""JSON as it leaves, canonical, and JSON that somebody else has sent: whatever nothing can use of it is one error."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return sorted, space-free UTF-8 JSON; NaN and infinities are refused, and no half character gets through."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace")


MAX_NUMBER = 1 << 53
"""Largest number in the JSON of others: beyond it a float is no longer exact, and sums and times overflow."""


def parse_json(payload: bytes) -> Any:
    """Return the JSON that somebody else has sent.

    Raises:
        ValueError: It is no JSON in UTF-8, is nested too deep, holds a number that is not finite or beyond
            `MAX_NUMBER`, or one half of a surrogate pair, which nothing can store or send.
    """
    try:
        text = payload.decode()
        value = json.loads(text, parse_int=_int, parse_float=_float, parse_constant=_float)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    return value


def _int(text: str) -> int:
    if len(text) > 17 or abs(number := int(text)) > MAX_NUMBER:
        raise ValueError(f"a number is at most {MAX_NUMBER}: {text[:40]}")
    return number


def _float(text: str) -> float:
    if not abs(number := float(text)) <= MAX_NUMBER:
        raise ValueError(f"a number is at most {MAX_NUMBER}: {text[:40]}")
    return number
