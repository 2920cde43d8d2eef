"""Power loss: the disk as it may be after a cut, rebuilt from the trace of a station's writes and syncs, opened again.

What a file held at its last sync stays. Of what was written since, nothing is left, or some of it, in any order, or
parts of 512 bytes of it. Not covered: what a file system loses of folders (a file that was made, renamed or removed,
and not synced): files are there from the moment they were made, and shared memory (`-shm`) is as after a start.
The planted fault is a disk that says that it has synced, and has not.
"""

from __future__ import annotations

import re
import shutil
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from inspector.clock import SystemClock
from inspector.store.store import Store
from tests.faults.line import QUEUE, Line
from tests.faults.row import Plan, Point, Row

SECTOR = 512
PER_S, FOR_S = 10.0, 6.0
SESSION = 100
"""States of one trace."""
_CALLS = "openat,pwrite64,write,fdatasync,fsync,ftruncate,unlink,rename,linkat,sendto"
_LINE = re.compile(
    rb"^(\d+) +[\d.]+ (?:(\w+)\((.*?)(?:\) += (-?\d+).*| <unfinished \.\.\.>)|<\.\.\. (\w+) resumed>.*\) += (-?\d+).*)$"
)
_HEX = re.compile(rb"\\x([0-9a-f]{2})")
_MESSAGE = re.compile(rb'"id":"([0-9a-f-]{36})"')


def _bytes(text: bytes) -> bytes:
    return bytes.fromhex(text.replace(b"\\x", b"").decode())


@dataclass
class Call:
    """A system call that has ended well."""

    name: str
    path: Path | None = None
    data: bytes = b""
    offset: int | None = None
    ids: tuple[str, ...] = ()


def read_trace(path: Path) -> Iterator[Call]:
    """Yield the calls of a trace in the order in which they ended."""
    begun: dict[bytes, tuple[bytes, bytes]] = {}
    for line in path.read_bytes().splitlines():
        if not (found := _LINE.match(line)):
            continue
        thread, name, arguments, result, resumed, late = found.groups()
        if resumed:
            name, arguments = begun.pop(thread, (b"", b""))
            result = late
        elif result is None:
            begun[thread] = (name, arguments)
            continue
        if name and int(result) >= 0:
            yield _call(name.decode(), arguments, int(result))


def _call(name: str, arguments: bytes, result: int) -> Call:
    texts = [_bytes(text) for text in re.findall(rb'"((?:\\x[0-9a-f]{2})*)"', arguments)]
    on = re.match(rb"\d+<((?:\\x[0-9a-f]{2})*)>", arguments)
    path = Path(_bytes(on[1]).decode("utf-8", "surrogateescape")) if on else None
    match name:
        case "pwrite64" | "write":
            offset = int(arguments.rpartition(b", ")[2]) if name == "pwrite64" else None
            return Call(name, path, texts[0][:result], offset)
        case "ftruncate":
            return Call(name, path, offset=int(arguments.rpartition(b", ")[2]))
        case "sendto":
            return Call(name, ids=tuple(one.decode() for one in _MESSAGE.findall(texts[0])))
        case "linkat" | "rename":
            return Call(name, Path(texts[-1].decode("utf-8", "surrogateescape")))
        case "openat":
            return Call(
                "truncate" if b"O_TRUNC" in arguments else name, Path(texts[0].decode("utf-8", "surrogateescape"))
            )
    return Call(name, path or (Path(texts[0].decode("utf-8", "surrogateescape")) if texts else None))


@dataclass
class File:
    """A file on a disk with a cache: what is safe, and what was written since, as (offset, bytes); None: cut there."""

    safe: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, bytes | None]] = field(default_factory=list)
    size: int = 0

    def write(self, offset: int | None, data: bytes | None) -> None:
        """Append, write, or (data None) cut at an offset."""
        at = self.size if offset is None else offset
        self.since.append((at, data))
        self.size = at if data is None else max(self.size, at + len(data))

    def sync(self) -> None:
        """Make safe what was written."""
        for offset, data in self.since:
            _apply(self.safe, offset, data)
        self.since.clear()

    def after_cut(self, lots: Random, how: str) -> bytes:
        """Return what may be left."""
        left = bytearray(self.safe)
        for offset, data in self.since:
            if how == "nothing" or (how == "some" and lots.random() < 0.5):
                continue
            if how == "torn" and data is not None:
                for at in range(0, len(data), SECTOR):
                    if lots.random() < 0.5:
                        _apply(left, offset + at, data[at : at + SECTOR])
                continue
            _apply(left, offset, data)
        return bytes(left)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


class Disk:
    """The files below a folder, and what the world outside has seen so far."""

    def __init__(self, state: Path, done: Path, deaf: bool) -> None:
        self._state, self._done, self._deaf = state, done, deaf
        self.files: dict[Path, File] = {}
        self.sent: set[str] = set()
        self.moved: set[str] = set()

    def take(self, call: Call) -> None:
        """Follow one call; a deaf disk says that it has synced, and has not."""
        self.sent.update(call.ids)
        path = call.path
        if path is None:
            return
        if call.name in ("linkat", "rename") and path.parent == self._done:
            self.moved.add(path.name)
        if self._state not in path.parents or path.name.endswith("-shm") or "evidence" in path.parts:
            return
        file = self.files.setdefault(path, File())
        match call.name:
            case "pwrite64" | "write":
                file.write(call.offset, call.data)
            case "ftruncate" | "truncate":
                file.write(call.offset or 0, None)
            case "fdatasync" | "fsync" if not self._deaf:
                file.sync()
            case "unlink":
                del self.files[path]


def _trace(plan: Plan, folder: Path) -> tuple[list[Call], Line]:
    """Run a station under strace until it has delivered for some seconds; returns its calls."""
    with Line(folder) as line:
        out = folder / "trace"
        strace = ["strace", "-D", "-f", "-y", "-xx", "-s", "1000000", "-ttt", "-qqq", "-o", str(out)]
        line.station.start(under=[*strace, "-e", f"trace={_CALLS}", "-e", "signal=none"])
        line.station.started()
        line.oracle.start(PER_S)
        threading.Event().wait(FOR_S)
        line.settle()
        line.station.stop()
    return list(read_trace(out)), line


def _judge(state: Path, disk: Disk) -> list[str]:
    """Open a store as it is after the cut; returns what is wrong with it."""
    try:
        Store(state, SystemClock()).close()
    except Exception as fault:  # noqa: BLE001 - whatever it is, it is what the row looks for
        return [f"does not open: {type(fault).__name__}: {fault}"]
    if list(state.glob("*.sqlite3*broken*")) or len(list(state.glob("inspector*.sqlite3"))) != 1:
        return ["was set aside"]
    with sqlite3.connect(state / "inspector.sqlite3") as db:
        whole = db.execute("PRAGMA integrity_check").fetchone()[0]
        ids = {str(uuid.UUID(bytes=bytes(one))) for (one,) in db.execute("SELECT id FROM records")}
        done = {name for (name,) in db.execute("SELECT source_key FROM ledger")}
    db.close()
    found = [] if whole == "ok" else [f"integrity: {whole}"]
    if missing := disk.sent - ids:
        found.append(f"{len(missing)} messages that were sent are missing")
    if missing := disk.moved - done:
        found.append(f"{len(missing)} files that were put away are not in the ledger")
    return found


def _run(plan: Plan) -> Iterator[Point]:
    for points in plan.sessions(SESSION):
        folder = plan.folder.resolve() / f"session-{points[0]}"
        calls, line = _trace(plan, folder)
        state = folder / "state"
        cuts = {number: plan.lots(number).randrange(1, len(calls) + 1) for number in points}
        disk, taken = Disk(state, line.oracle.done, plan.planted), 0
        for number in sorted(points, key=lambda one: cuts[one]):
            while taken < cuts[number]:
                disk.take(calls[taken])
                taken += 1
            lots = plan.lots(-number - 1)
            how = lots.choice(("nothing", "some", "torn", "all"))
            after = folder / f"after-{number}"
            after.mkdir()
            for path, file in disk.files.items():
                place = after / path.relative_to(state)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.after_cut(lots, how))
            unsynced = any(file.since for file in disk.files.values())
            misses = [
                f"call {cuts[number]}, of what was not synced {how} is left: {miss}" for miss in _judge(after, disk)
            ]
            shutil.rmtree(after)
            yield Point(number, tuple(misses), {"states_with_unsynced": unsynced, "max_sent": len(disk.sent)})
        (folder / "trace").unlink()


ROW = Row(
    fault="power loss: disks rebuilt from a trace of all writes and syncs; unsynced ones dropped or torn at 512 B",
    figure="all open and are whole, nothing that was sent is missing, nothing that was put away is unknown",
    n=1000,
    core=20,
    planted=20,
    judges=("store",),
    run=_run,
    raised=(QUEUE, "what a file system loses of folders is not covered"),
)
