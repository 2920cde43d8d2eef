"""The plant's commands: each is answered by a reply, whichever way it came.

A command is checked against its row of `command_table`, made durable, and put in its place among the frames. Nothing
here touches the source or waits for a frame.
"""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from inspector.clock import Clock, to_timestamp_ms
from inspector.command_table import COMMANDS, MAX_PAYLOAD_BYTES, Asked, CoilCommand, ResendCommand, TeachCommand
from inspector.errors import LessonError, SiteReferenceError, StoreBusyError
from inspector.items import CoilChange, Command
from inspector.messages import ReplyMessage, canonical_json
from inspector.station.inbox import Inbox
from inspector.store.store import Store

_log = structlog.get_logger("daemon")

Handler = Callable[[Any], str]
"""Carries a command out and returns a sentence for the reply."""


class Plant:
    """Executes commands; may be called from several threads.

    Args:
        store: Remembers the coil, and the executed commands, over a restart.
        inbox: Where what is ordered takes its place.
        clock: Time.
        resend: Sends kept messages again from this `seq` on; returns a sentence about it.
        teach: Teaches the site's good surface; returns a sentence about it, or raises why it does not.
    """

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        clock: Clock,
        resend: Callable[[int], str],
        teach: Callable[[TeachCommand], str] = lambda _: "",
    ) -> None:
        self._notes, self._coils = store.notes, store.coils
        self._inbox = inbox
        self._clock = clock
        self._resend = resend
        self._handlers: Mapping[str, Handler] = {
            "coil": self._change_coil, "teach": teach, "resend": self._send_again,
        }  # fmt: skip

    def execute(self, name: str, payload: bytes, retained: bool = False) -> ReplyMessage | None:
        """Execute a command and return the reply.

        Args:
            name: The last level of its topic.
            payload: JSON as it arrived.
            retained: The broker kept it and sends it at each new subscription: a repeat is not a command, and has no
                reply.
        """
        if name not in COMMANDS:
            return _refused(name, "unknown", f"no command of this name ({', '.join(COMMANDS)}): {name[:64]!r}")
        payload = _bare(payload)
        if retained and self._notes.was_obeyed(name, _digest(payload)):
            return None
        try:
            asked = _read(name, payload)
        except ValueError as exc:
            _log.warning("command_refused", command=name, detail=str(exc))
            return _refused(name, "invalid", str(exc), _request_id(payload))
        try:
            detail = self._handlers[name](asked)
            self._notes.note_obeyed(name, _digest(payload))
        except StoreBusyError as exc:
            detail = f"the store refuses: {exc}"
            return ReplyMessage(command=name, ok=False, error="store", request_id=asked.request_id, accepted=True,
                                detail=detail)  # fmt: skip
        except (LessonError, SiteReferenceError) as exc:
            _log.warning("command_refused", command=name, detail=str(exc))
            return ReplyMessage(command=name, ok=False, error="refused", request_id=asked.request_id, accepted=True,
                                detail=str(exc))  # fmt: skip
        text = canonical_json(asked.model_dump(mode="json")).decode()
        self._inbox.put(Command(self._clock.now(), name, text))
        return ReplyMessage(command=name, ok=True, request_id=asked.request_id, accepted=True, detail=detail)

    def _change_coil(self, asked: CoilCommand) -> str:
        if asked.coil_id != self._coils.current()[0]:
            now = self._clock.now()
            self._coils.change(asked.coil_id, to_timestamp_ms(now))  # first: the next start makes up for a death here
            self._inbox.put(CoilChange(now, asked.coil_id))
            _log.info("coil", coil_id=asked.coil_id)
        return f"coil {asked.coil_id or 'ended'}"

    def _send_again(self, asked: ResendCommand) -> str:
        _log.info("resend", from_seq=asked.from_seq)
        return self._resend(asked.from_seq)


def _bare(payload: bytes) -> bytes:
    """Return a payload without the byte order mark before it, and the NUL and blanks around it, that some PLCs send."""
    return payload.removeprefix(codecs.BOM_UTF8).strip(b"\0 \t\r\n")


def _read(name: str, payload: bytes) -> Asked:
    """Return a command as its model.

    Raises:
        ValueError: It does not fit the model.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"not understood: longer than {MAX_PAYLOAD_BYTES} bytes: {len(payload)}")
    try:
        return COMMANDS[name].model.model_validate_json(payload)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"not understood: {key + ': ' if key else ''}{first['msg']}") from exc


def _request_id(payload: bytes) -> str | None:
    """Return the `request_id` of a refused command, if that much can be read."""
    try:
        asked = json.loads(payload) if len(payload) <= MAX_PAYLOAD_BYTES else None
    except (ValueError, RecursionError):
        return None
    name = asked.get("request_id") if isinstance(asked, dict) else None
    return name if isinstance(name, str) and len(name) <= 64 else None


def _refused(name: str, error: str, detail: str, request_id: str | None = None) -> ReplyMessage:
    return ReplyMessage(command=name[:64], ok=False, error=error, request_id=request_id, accepted=False, detail=detail)


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
