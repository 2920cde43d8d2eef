"""`POST /api/classify`: one picture comes in, as the body or in a form, and the row of `inspector classify` goes back.

Nothing of it is stored, counted as inspected, or written to the disk; size, time and number of uploads are limited, and
a process of its own decodes it, with bounds on memory and time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from inspector.errors import ConfigError, PictureError, WorkerError
from inspector.frame import Cause, Pixels
from inspector.http.answers import JSONResponse
from inspector.http.options import HttpOptions
from inspector.pictures.child import decode_in_child

MakeRow = Callable[[Pixels, str], dict[str, Any]]
"""Classify a picture and return its row; the second argument is what to call it."""
MAX_UPLOADS = 2
"""Pictures that have arrived: one being classified, one waiting."""
MAX_ARRIVING = 4
"""Pictures that are arriving. A newcomer takes the place of the one that takes longest."""
MAX_UPLOAD_PX = 25_000_000
"""Most pixels of an uploaded picture, where `source.max_frame_px` allows more."""
MULTIPART_BYTES = 64 << 10
"""What a multipart body may have beside its picture."""
_STATUS_OF_CAUSE: Mapping[str, int] = {Cause.TOO_LARGE: 413, Cause.UNSUPPORTED: 415}


class _UploadRefusal(Exception):  # noqa: N818 - an answer, not a fault
    def __init__(self, status: int, reason: str, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.name = name


class UploadClassifier:
    """`POST /api/classify`: a picture as the body, or as the first file of a multipart form."""

    def __init__(self, options: HttpOptions, classify: MakeRow) -> None:
        self._options = options
        self._classify = classify
        self._uploads = 0  # touched on the event loop only, like `_arriving`
        self._arriving: dict[asyncio.Timeout, None] = {}
        self._turn = threading.Lock()

    async def answer(self, request: Request) -> Response:
        """Answer with the row of the picture, or with the reason why it has none."""
        try:
            self._demand_turn()
            name, data = await self._read(request)
            self._demand_turn()
            self._uploads += 1
            try:
                return JSONResponse(await run_in_threadpool(self._work, name, data))
            finally:
                self._uploads -= 1
        except _UploadRefusal as refusal:
            headers = {"Retry-After": "1"} if refusal.reason == "busy" else None
            body = {"path": refusal.name, "error": str(refusal), "reason": refusal.reason}
            return JSONResponse(body, refusal.status, headers)

    def _demand_turn(self) -> None:
        if self._uploads >= MAX_UPLOADS:
            raise _UploadRefusal(503, "busy", "other pictures are being classified")

    async def _read(self, request: Request) -> tuple[str, bytes]:
        form = request.headers.get("Content-Type", "").lower().startswith("multipart/form-data")
        limit = self._options.max_upload_bytes + (MULTIPART_BYTES if form else 0)
        body = _limited(request, limit, self._options.max_upload_bytes)
        limit_s = self._options.upload_timeout_s
        loop = asyncio.get_running_loop()
        until_s = loop.time() + limit_s
        if len(self._arriving) >= MAX_ARRIVING:
            slowest = next(iter(self._arriving))
            del self._arriving[slowest]
            if not slowest.expired():
                slowest.reschedule(loop.time())
        try:
            async with asyncio.timeout_at(until_s) as timeout:
                self._arriving[timeout] = None
                if form:
                    name, data = await _read_form(request, body)
                else:
                    name, data = "picture", b"".join([chunk async for chunk in body])
        except TimeoutError as exc:
            why = f"no whole picture after {limit_s:g} s" if loop.time() >= until_s else "it gave way to others"
            raise _UploadRefusal(408, "timeout", f"the picture arrives too slowly: {why}") from exc
        finally:
            self._arriving.pop(timeout, None)
        if len(data) > self._options.max_upload_bytes:
            raise _too_large(self._options.max_upload_bytes)
        return name, data

    def _work(self, name: str, data: bytes) -> dict[str, Any]:
        options = self._options
        with self._turn:
            try:
                max_px = min(options.max_frame_px, MAX_UPLOAD_PX)
                pixels = decode_in_child(data, name=name, max_px=max_px, full_scale=options.full_scale)
                return self._classify(pixels, name)
            except PictureError as exc:
                status = _STATUS_OF_CAUSE.get(exc.reason, 422)
                raise _UploadRefusal(status, str(exc.reason), str(exc), name) from exc
            except ConfigError as exc:
                raise _UploadRefusal(422, "configuration", str(exc), name) from exc
            except WorkerError as exc:
                raise _UploadRefusal(503, "worker", str(exc), name) from exc


async def _limited(request: Request, limit: int, max_bytes: int) -> AsyncGenerator[bytes, None]:
    declared = request.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(max_bytes)
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > limit:
            raise _too_large(max_bytes)
        yield chunk


def _too_large(max_bytes: int) -> _UploadRefusal:
    return _UploadRefusal(
        413, Cause.TOO_LARGE.value, f"the picture has more bytes than http.max_upload_bytes: {max_bytes}"
    )


class _InMemoryParser(MultiPartParser):
    spool_max_size = 1 << 62  # the body is limited already; nothing of it goes to the disk


async def _read_form(request: Request, body: AsyncGenerator[bytes, None]) -> tuple[str, bytes]:
    try:
        form = await _InMemoryParser(request.headers, body, max_files=1, max_fields=8).parse()
    except MultiPartException as exc:
        raise _UploadRefusal(422, "form", f"the form cannot be read: {exc.message}") from exc
    upload = next((value for value in form.values() if isinstance(value, UploadFile)), None)
    if upload is None:
        raise _UploadRefusal(422, "form", "the form has no file")
    try:
        return _clean_name(upload.filename), await upload.read()
    finally:
        await form.close()


def _clean_name(name: str | None) -> str:
    shown = "".join(character for character in name or "" if character.isprintable())
    return shown[:255] or "picture"
