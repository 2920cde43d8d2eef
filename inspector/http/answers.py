"""What every kind of answer has in common: JSON, and an error as a sentence with a reason in one word.

An error is answered to clients on the network: it never contains more than the request itself and what to do.
"""

from __future__ import annotations

import json
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse as _StrictJSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

_log = structlog.get_logger("http")


class JSONResponse(_StrictJSONResponse):
    """JSON in which a file name that is no UTF-8 shows as question marks."""

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(errors="replace")


async def answer_http_error(_: Request, exc: Exception) -> Response:
    """Answer an address or method that does not exist."""
    assert isinstance(exc, StarletteHTTPException)  # noqa: S101 - the type it is registered for
    reason = {404: "not_found", 405: "method"}.get(exc.status_code, "http")
    return JSONResponse({"error": exc.detail, "reason": reason}, exc.status_code, exc.headers)


async def answer_invalid_query(_: Request, exc: Exception) -> Response:
    """Answer a query that is wrong: 422, and the name of the parameter."""
    assert isinstance(exc, RequestValidationError)  # noqa: S101 - the type it is registered for
    first = exc.errors()[0]
    text = f"{first['loc'][-1]}: {first['msg']}: {first['input']!r}"
    return JSONResponse({"error": text, "reason": "query"}, 422)


async def answer_gone(_: Request, __: Exception) -> Response:
    """Answer somebody who has gone: no line of the log is due to that."""
    return Response(status_code=400)


async def answer_store_error(_: Request, exc: Exception) -> Response:
    """Answer while the store cannot be read: 503, and the reason in the log."""
    _log.warning("store_unreadable", reason=str(exc))
    return JSONResponse({"error": "the store cannot be read at present", "reason": "store"}, 503)
