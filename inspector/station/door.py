"""The door on the PC itself: a socket file, through which a person who is logged in gives commands without a token.

Who asks is known from the kernel and not from what is written: root, the station's own user, or a member of the group
`inspector-operators`. One JSON line `{"command": …, "payload": {…}}` comes in, the reply goes out as one line. Peers
are served one after the other, each within `PEER_S`.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from inspector.clock import Clock
from inspector.command_table import MAX_PAYLOAD_BYTES, Origin
from inspector.json_text import parse_json
from inspector.messages import ReplyMessage, encode

GROUP = "inspector-operators"
"""Its members may give commands on the PC."""
PEER_S = 5.0
"""How long one peer may take."""
MAX_REQUEST_BYTES = 2 * MAX_PAYLOAD_BYTES
MAX_NAME_BYTES = 107
"""Of a socket's name, unix(7)."""
_POLL_S = 0.5
_CREDENTIALS = struct.Struct("3i")
"""`struct ucred` of unix(7): process, user, group."""

_log = structlog.get_logger("daemon")

Execute = Callable[[str, bytes, Origin], ReplyMessage | None]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end.

    Attributes:
        name: Of the user.
        trusted: May speak for somebody else: root, and the station's own user.
        allowed: May give commands.
    """

    name: str
    trusted: bool
    allowed: bool


def peer_of(connection: socket.socket) -> Peer:
    """Return who the kernel says has connected."""
    _, uid, gid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    trusted = uid in (0, os.geteuid())
    try:
        name = pwd.getpwuid(uid).pw_name
        groups = set(os.getgrouplist(name, gid))
    except KeyError:  # a user without an entry, as in a container
        name, groups = f"uid {uid}", {gid}
    try:
        operators = grp.getgrnam(GROUP).gr_gid in groups
    except KeyError:  # this machine has no such group
        operators = False
    return Peer(name, trusted, trusted or operators)


class Door:
    """Takes commands through a socket file, on a thread of its own.

    Args:
        path: Of the file; made anew at the start.
        execute: Carries a command out.
        clock: Time.
        peer: Returns who has connected.

    Attributes:
        failure: The error that ended the thread.
    """

    def __init__(
        self, path: Path, execute: Execute, clock: Clock, peer: Callable[[socket.socket], Peer] = peer_of
    ) -> None:
        self._path = path
        self._execute = execute
        self._clock = clock
        self._peer = peer
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="door", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Listen; a folder in which no socket can be made is reported, and no reason not to inspect."""
        listener = socket.socket(socket.AF_UNIX)
        try:
            with short_name(self._path) as name:
                Path(name).unlink(missing_ok=True)
                listener.bind(name)
                Path(name).chmod(0o666)
            listener.listen(16)
        except OSError as exc:
            listener.close()
            _log.warning("door_shut", path=str(self._path), reason=str(exc))
            return
        listener.settimeout(_POLL_S)
        self._listener = listener
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(PEER_S + 2 * _POLL_S)
        if self._listener is not None:
            self._listener.close()
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and self._listener is not None:
                try:
                    connection, _ = self._listener.accept()
                except TimeoutError:
                    continue
                with connection, contextlib.suppress(OSError):  # a peer that went away
                    self._serve(connection)
        except BaseException as exc:  # noqa: BLE001 - the thread's outermost function: the daemon reads it
            self.failure = exc
            _log.exception("door_failed")

    def _serve(self, connection: socket.socket) -> None:
        request = self._read(connection)
        reply = self._answer(request, self._peer(connection))
        connection.settimeout(PEER_S)
        connection.sendall(encode(reply) + b"\n")

    def _read(self, connection: socket.socket) -> bytes:
        """Return what came until the end of the line, of what may come, or of the time."""
        end_mono_s = self._clock.monotonic() + PEER_S
        request = b""
        while not request.endswith(b"\n") and len(request) <= MAX_REQUEST_BYTES:
            left_s = end_mono_s - self._clock.monotonic()
            if left_s <= 0:
                break
            connection.settimeout(left_s)
            if not (more := connection.recv(4096)):
                break
            request += more
        return request

    def _answer(self, request: bytes, peer: Peer) -> ReplyMessage:
        try:
            asked = parse_json(request) if len(request) <= MAX_REQUEST_BYTES else None
        except ValueError:
            asked = None
        if not isinstance(asked, dict) or not isinstance(asked.get("command"), str):
            return _refused("", "invalid", 'not understood: {"command": …, "payload": {…}} in one line is expected')
        name, payload = asked["command"], asked.get("payload")
        if not peer.allowed:
            _log.warning("command_refused", command=name[:64], detail=f"{peer.name} is not in {GROUP}")
            return _refused(name[:64], "not_allowed", f"only root and members of {GROUP} may: {peer.name}")
        speaks_for = peer.trusted and isinstance(payload, dict) and isinstance(payload.get("person"), str)
        origin = Origin(person=None if speaks_for else peer.name[:64])
        reply = self._execute(name, json.dumps(payload, ensure_ascii=False).encode(errors="replace"), origin)
        if reply is None:  # only what a broker has kept is ignored
            raise AssertionError(f"a command without a reply: {name}")
        return reply


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Yield a name of a socket file that is short enough for a socket, however deep its folder lies.

    Raises:
        OSError: There is no such folder.
    """
    if len(os.fsencode(path)) <= MAX_NAME_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _refused(name: str, error: str, detail: str) -> ReplyMessage:
    return ReplyMessage(command=name, ok=False, error=error, request_id=None, accepted=False, detail=detail)
