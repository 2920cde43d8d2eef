"""What the plant tells the station: commands, each answered by a reply.

A command changes what is stored and what later messages carry; it never touches the source or the broker.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from pydantic import ValidationError

from inspector.errors import StoreBusyError
from inspector.messages import CoilCommand, ReplyMessage
from inspector.store.notes import StationNotes

_log = structlog.get_logger("daemon")


class Plant:
    """Executes commands.

    Args:
        notes: Remember the coil over a restart.
        change_coil: Names the coil in messages from now on.
    """

    def __init__(self, notes: StationNotes, change_coil: Callable[[str | None], None]) -> None:
        self._notes = notes
        self._change_coil = change_coil

    def execute_command(self, command: str, payload: bytes) -> ReplyMessage:
        """Execute a command and return the reply; runs on the publisher's thread.

        Args:
            command: The last level of its topic.
            payload: JSON as it arrived.
        """
        try:
            wanted = CoilCommand.model_validate_json(payload)
        except ValidationError as exc:
            detail = f"not understood: {exc.errors(include_url=False, include_input=False)[0]['msg']}"
            _log.warning("command_refused", command=command, detail=detail)
            return ReplyMessage(command=command, ok=False, error="invalid", accepted=False, detail=detail)
        if wanted.coil_id != self._notes.coil()[0]:
            try:
                self._notes.set_coil(wanted.coil_id)
            except StoreBusyError as exc:
                return ReplyMessage(
                    command=command, ok=False, error="store", accepted=True, detail=f"the store refuses: {exc}"
                )
            self._change_coil(wanted.coil_id)
            _log.info("coil", coil_id=wanted.coil_id)
        return ReplyMessage(command=command, ok=True, accepted=True, detail=f"coil {wanted.coil_id or 'ended'}")
