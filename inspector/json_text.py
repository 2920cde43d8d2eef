"""JSON as it leaves, canonical, and JSON that somebody else has sent: whatever nothing can use of it is one error."""

from __future__ import annotations

import json
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return sorted, space-free UTF-8 JSON; NaN and infinities are refused, and no half character gets through."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode(errors="replace")


def parse_json(payload: bytes) -> Any:
    """Return the JSON that somebody else has sent.

    Raises:
        ValueError: It is no JSON in UTF-8, is nested too deep, or holds one half of a surrogate pair, which nothing can
            store or send.
    """
    try:
        text = payload.decode()
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError as exc:
        raise ValueError("nested too deep") from exc
    return value
