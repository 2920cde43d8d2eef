"""Commands over HTTP: `POST /api/commands/NAME` takes what `cmd/NAME` takes over MQTT, and answers with the reply.

A command changes something, so it needs the token, also on this machine: a page in a browser must not be able to send
one.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from inspector.command_table import COMMANDS, MAX_PAYLOAD_BYTES
from inspector.http.answers import JSONResponse
from inspector.messages import ReplyMessage

Execute = Callable[[str, bytes], ReplyMessage | None]
"""Carries out a command, given its name and payload."""
_STATUS = {
    "unknown": 404, "unknown_defect": 404, "invalid": 400, "unknown_label": 400, "outside": 400, "busy": 429,
    "store": 503,
}  # fmt: skip


class CommandPort:
    """Takes commands.

    Args:
        execute: Carries them out, off the event loop: it may wait for the disk.
        has_token: Whether the listener has a token; without one, commands that need one are refused.
    """

    def __init__(self, execute: Execute, has_token: bool) -> None:
        self._execute = execute
        self._has_token = has_token

    async def answer(self, name: str, request: Request) -> Response:
        """Answer a command with its reply."""
        kind = COMMANDS.get(name)
        if kind is not None and kind.needs_token and not self._has_token:
            text = "commands need a token, also on this machine: set http.token_file"
            return JSONResponse({"error": text, "reason": "token"}, 403)
        payload = b""
        async for part in request.stream():
            payload += part
            if len(payload) > MAX_PAYLOAD_BYTES:
                break  # it will be refused for its length
        reply = await run_in_threadpool(self._execute, name, payload)
        if reply is None:  # only what a broker has kept is ignored
            raise AssertionError(f"a command without a reply: {name}")
        status = 200 if reply.ok else _STATUS.get(reply.error or "", 409)
        return JSONResponse(reply.model_dump(mode="json", by_alias=True), status)
