"""What a request may ask for behind the `?`: each key is known to its route, and each value is read in one place."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.routing import APIRoute

from inspector.clock import to_timestamp_ms
from inspector.http.answers import JSONResponse
from inspector.settings.hints import nearest

_PLACE_M, _PLACE_SHARE = 0.5, 0.001
"""How exact a place along the coil is: what is asked for at one metre is looked for as far around it."""
_NUMBER = r"\d{1,9}(?:\.\d{1,6})?"
_RANGE = re.compile(rf"({_NUMBER})(?:(?:\.\.|-|,|:)({_NUMBER}))?")
_CURSOR = re.compile(r"(\d{1,16})-(\d{1,16})")


class QueryError(Exception):
    """A key or value of a query that is not understood; the text names it."""


async def answer_query_error(_: Request, exc: Exception) -> Response:
    """Answer it: 422, and the sentence."""
    return JSONResponse({"error": str(exc), "reason": "query"}, 422)


def refuse_unknown_keys(request: Request) -> None:
    """Refuse a key that the route does not know, or that stands twice: what is ignored answers another question.

    Raises:
        QueryError: There is one; says which one was meant, if a known one is written nearly like it.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return
    known = [field.alias for field in route.dependant.query_params]
    for key in request.query_params:
        if key not in known:
            meant = nearest(key[:64], known)
            there = f" (there {'is' if len(known) == 1 else 'are'} {', '.join(known)})" if known else ""
            hint = f"; did you mean {meant}?" if meant else there or ": this address takes none"
            raise QueryError(f"{key[:64]!r} is no parameter of {route.path}{hint}")
        if len(request.query_params.getlist(key)) > 1:
            raise QueryError(f"{key}: stands twice, and only one would count")


def read_moment(key: str, text: str | None) -> int | None:
    """Return an ISO 8601 time, in UTC where it names no zone, as ms since 1970; None stays.

    Raises:
        QueryError: It is no time.
    """
    if text is None:
        return None
    try:
        # A plus sign that was not encoded arrives as a blank.
        moment = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text.strip()))
        return to_timestamp_ms(moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC))
    except (ValueError, OverflowError) as exc:
        raise QueryError(f"{key}: expected a time as 2026-03-01 or 2026-03-01T06:00Z: {text[:64]!r}") from exc


def earliest_of(*moments_ms: int | None) -> int | None:
    """Return the first of several ends of a period; None: none is given."""
    return min((one for one in moments_ms if one is not None), default=None)


def read_place(key: str, text: str | None) -> tuple[float, float] | None:
    """Return a range of metres, `A..B` or `A-B`; of one metre, what lies as near to it as a place is exact.

    Raises:
        QueryError: It is none.
    """
    if text is None:
        return None
    found = _RANGE.fullmatch(text.strip())
    if found is None or (found[2] is not None and float(found[2]) < float(found[1])):
        raise QueryError(f"{key}: expected metres from the coil's head as 412 or 400..420: {text[:64]!r}")
    first = float(found[1])
    if found[2] is not None:
        return first, float(found[2])
    near = _PLACE_M + _PLACE_SHARE * first
    return max(0.0, first - near), math.ceil((first + near) * 1000) / 1000


def read_cursor(text: str | None) -> tuple[int, int] | None:
    """Return where a list goes on, as `Link` has given it.

    Raises:
        QueryError: It is of another list.
    """
    if text is None:
        return None
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise QueryError(f"cursor: expected one that a Link header has given: {text[:64]!r}")
    return int(found[1]), int(found[2])


def next_link(request: Request, cursor: str) -> dict[str, str]:
    """Return the header that names the next page: the same question, from the cursor on (RFC 8288)."""
    asked: list[tuple[str, Any]] = [
        (key, value) for key, value in request.query_params.multi_items() if key != "cursor"
    ]
    return {"Link": f'<{request.url.path}?{urlencode([*asked, ("cursor", cursor)])}>; rel="next"'}
