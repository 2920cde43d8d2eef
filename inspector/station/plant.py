"""The plant's commands: each is answered by a reply, whichever way it came.

A command is checked against its row of `command_table`, made durable, and put in its place among the frames. Nothing
here touches the source or waits for a frame.
"""

from __future__ import annotations

import codecs
import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from inspector.clock import Clock, from_timestamp_ms, to_rfc3339, to_timestamp_ms
from inspector.command_table import (
    COMMANDS,
    MAX_PAYLOAD_BYTES,
    AckCommand,
    Asked,
    CoilCommand,
    KeepCommand,
    LineCommand,
    Origin,
    PauseCommand,
    ResendCommand,
    RollsCommand,
    Said,
    SectionCommand,
    ShelveCommand,
    TeachCommand,
    VerifyCommand,
    WeldCommand,
)
from inspector.errors import CommandError, LessonError, SiteReferenceError, StoreBusyError
from inspector.ids import Ids
from inspector.items import Command
from inspector.json_text import canonical_json, parse_json
from inspector.messages import ReplyMessage
from inspector.settings.hints import nearest
from inspector.station.budget import Budgets
from inspector.station.inbox import Inbox
from inspector.station.known import Known
from inspector.station.paused import PauseMark
from inspector.store.store import Store
from inspector.strip.periodic import pitch_of

_log = structlog.get_logger("daemon")

Handler = Callable[[Any], str]
"""Carries a command out, or says what it will do at its place; returns a sentence for the reply."""
OLDEST = timedelta(days=1)
"""A broker keeps what is for a station no longer."""
AT_ITS_PLACE = ("coil", "line", "rolls", "weld", "ack", "verify", "shelve", "pause")
"""Commands that take effect among the frames, in the transaction of what is remembered then."""


class Plant:
    """Executes commands; may be called from several threads.

    Args:
        store: Remembers the coil, and the executed commands, over a restart.
        inbox: Where what is ordered takes its place.
        clock: Time.
        resend: Sends kept messages again from this `seq` on; returns a sentence about it.
        teach: Teaches the site's good surface; returns a sentence about it, or raises why it does not.
        known: What a command may name.
        ids: Namer of this station.
        mark: Hears that a pause ends, before the first frame that is to be inspected.
        keep: Keeps the report of a coil; returns a sentence about it, or raises why it does not.
    """

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        clock: Clock,
        resend: Callable[[int], str],
        teach: Callable[[TeachCommand], str] = lambda _: "",
        known: Known | None = None,
        ids: Ids | None = None,
        mark: PauseMark | None = None,
        keep: Callable[[KeepCommand], str] = lambda _: "",
    ) -> None:
        self._notes, self._commands, self._records = store.notes, store.commands, store.records
        self._coils = store.coils
        self._said_coil: dict[str, Any] | None = None
        self._sections = store.sections
        self._inbox = inbox
        self._clock = clock
        self._resend = resend
        self._known = known or Known(labels=tuple)
        self._ids = ids or Ids("")
        self._mark = mark or PauseMark()
        self._order = threading.Lock()
        self._budgets = Budgets(clock)
        self._handlers: Mapping[str, Handler] = {
            "coil": self._coil_text, "teach": teach, "resend": self._send_again, "line": _line_text,
            "rolls": _rolls_text, "weld": self._weld_text,
            "ack": _ack_text, "verify": _verify_text, "shelve": _shelve_text, "pause": _pause_text,
            "section": self._note_section, "keep": keep,
        }  # fmt: skip

    def execute(self, name: str, payload: bytes, origin: Origin = Origin()) -> ReplyMessage | None:  # noqa: B008
        """Execute a command and return the reply.

        Args:
            name: The last level of its topic.
            payload: JSON as it arrived.
            origin: How it came. What a broker keeps counts once: a repeat is not a command, and has no reply.
        """
        if name not in COMMANDS:
            meant = nearest(name[:64], COMMANDS)
            hint = f"; did you mean {meant}?" if meant else ""
            return _refused(name, "unknown", f"no command of this name ({', '.join(COMMANDS)}){hint}: {name[:64]!r}")
        payload = _bare(payload)
        if origin.retained and self._notes.was_obeyed(name, _digest(payload)):
            return None
        try:
            asked = self._known.named(name, _read(name, payload), origin)
        except ValueError as exc:
            _log.warning("command_refused", command=name, detail=str(exc))
            return _refused(name, "invalid", str(exc), _request_id(payload))
        try:
            self._budgets.take(name)
            detail = self._carry_out(name, asked, _digest(payload), origin)
        except CommandError as exc:
            if exc.word != "busy":  # ten thousand of them must not fill the log
                _log.warning("command_refused", command=name, detail=str(exc))
            return _refused(name, exc.word, str(exc), asked.request_id)
        except StoreBusyError as exc:
            detail = f"the store refuses: {exc}"
            return ReplyMessage(command=name, ok=False, error="store", request_id=asked.request_id, accepted=True,
                                detail=detail)  # fmt: skip
        except (LessonError, SiteReferenceError) as exc:
            _log.warning("command_refused", command=name, detail=str(exc))
            return ReplyMessage(command=name, ok=False, error="refused", request_id=asked.request_id, accepted=True,
                                detail=str(exc))  # fmt: skip
        return ReplyMessage(command=name, ok=True, request_id=asked.request_id, accepted=True, detail=detail)

    def _carry_out(self, name: str, asked: Asked, digest: str, origin: Origin) -> str:
        now = self._clock.now()
        with self._order:  # their numbers in the store are in the order of their places
            before_ms = self._commands.repeated(name, digest, origin, asked.request_id, to_timestamp_ms(now))
            if before_ms is not None:
                return f"repeated: it was carried out at {to_rfc3339(from_timestamp_ms(before_ms))}"
            self._known.require(asked, self._records, self._ids)
            detail = self._handlers[name](asked)
            text = canonical_json(asked.model_dump(mode="json")).decode()
            waits = name in AT_ITS_PLACE and not self._is_said_again(asked)
            command = self._commands.accept(Command(_said_at(asked, now), name, text), digest, origin, pending=waits,
                                            request_id=asked.request_id)  # fmt: skip
            if isinstance(asked, PauseCommand) and asked.off:
                self._mark.end_soon()
            if waits:
                self._inbox.put(command)
        if waits:
            _log.info("command", command=name, detail=detail)
        return detail

    def _coil_text(self, asked: CoilCommand) -> str:
        running = self._coils.named()[0]
        if asked.ends is not None and asked.ends != running:
            now = f"{running} does" if running else "none does"
            raise CommandError(f"ends: coil {asked.ends} does not run, {now}; nothing has changed", "no_coil")
        return f"coil {asked.coil_id or 'ended'}"

    def _weld_text(self, asked: WeldCommand) -> str:
        if asked.at_m is None:
            return "a weld passes the point where coils are named"
        coil_id = self._coils.current()[0]
        if coil_id is None:
            raise CommandError(f"at_m: no coil runs, so nothing has a place from its head: {asked.at_m:g}", "no_coil")
        return f"a weld at {asked.at_m:g} m of coil {coil_id}"

    def _note_section(self, asked: SectionCommand) -> str:
        coil_id, began_ms = self._coils.current()
        if asked.coil_id not in (None, coil_id):
            raise CommandError(f"coil_id: this coil does not run: {asked.coil_id}", "other_coil")
        if coil_id is None:
            raise CommandError(f"no coil runs, so nothing has a place from its head: {asked.code}", "no_coil")
        self._sections.add(coil_id, began_ms, to_timestamp_ms(self._clock.now()), asked.code, asked.at_m)
        return f"code {asked.code} at {asked.at_m:g} m of coil {coil_id}"

    def _is_said_again(self, asked: Asked) -> bool:
        """Say whether a plant only repeats which coil runs, as some do every second."""
        if not isinstance(asked, CoilCommand):
            return False
        said = asked.model_dump(exclude={"request_id", "person", "reason", "at"})
        again = said == self._said_coil or (
            asked.coil_id == self._coils.named()[0]
            and not any(value for key, value in said.items() if key != "coil_id")
        )
        self._said_coil = said
        return again

    def _send_again(self, asked: ResendCommand) -> str:
        _log.info("resend", from_seq=asked.from_seq)
        return self._resend(asked.from_seq)


def _said_at(asked: Asked, now: datetime) -> datetime:
    """Return when a command was said: as its sender says, within the last day."""
    at = asked.at if isinstance(asked, Said) else None
    return now if at is None else min(now, max(at.astimezone(UTC), now - OLDEST))


def _line_text(asked: LineCommand) -> str:
    if not asked.running:
        return "the line stands"
    return "the line runs" + ("" if asked.speed_m_s is None else f" at {asked.speed_m_s:g} m/s")


def _rolls_text(asked: RollsCommand) -> str:
    place = f"{asked.stand} {asked.position}"
    if asked.diameter_mm is None:
        return f"no roll runs at {place}"
    pitch_mm = pitch_of(asked.diameter_mm, asked.elongation)
    return f"roll {asked.roll_id or 'without a name'} runs at {place}: marks every {pitch_mm:.1f} mm"


def _ack_text(asked: AckCommand) -> str:
    return "all alarms are acknowledged" if asked.defect_id is None else f"acknowledged: {asked.defect_id}"


def _verify_text(asked: VerifyCommand) -> str:
    return f"noted: {asked.verdict}{f' as {asked.label}' if asked.label else ''}: {asked.defect_id}"


def _pause_text(asked: PauseCommand) -> str:
    return "inspects again" if asked.off else f"inspects nothing for {asked.hours:g} h"


def _shelve_text(asked: ShelveCommand) -> str:
    place = "" if asked.from_mm is None else f" from {asked.from_mm:g} to {asked.to_mm:g} mm"
    what = f"{asked.label or 'every label'}{place}"
    return f"alarms again: {what}" if asked.off else f"raises no alarm for {asked.hours:g} h: {what}"


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
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"not understood: {key[:64] + ': ' if key else ''}{message}") from exc


def _request_id(payload: bytes) -> str | None:
    """Return the `request_id` of a refused command, if that much can be read."""
    try:
        asked = parse_json(payload) if len(payload) <= MAX_PAYLOAD_BYTES else None
    except ValueError:
        return None
    name = asked.get("request_id") if isinstance(asked, dict) else None
    return name if isinstance(name, str) and len(name) <= 64 else None


def _refused(name: str, error: str, detail: str, request_id: str | None = None) -> ReplyMessage:
    return ReplyMessage(command=name[:64], ok=False, error=error, request_id=request_id, accepted=False, detail=detail)


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
