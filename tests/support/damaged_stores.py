"""Ways to damage a store, and a judge that knows what was in it without asking it.

A store is filled and copied while it is open, so that a part of it is only in its log. A way, drawn by a seed, damages
the copy. The judge knows every message that was committed, and which bytes of the copy are as they were: a message
whose page is whole must be there afterwards.
"""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fakes import FakeClock, entry

from inspector.store.store import Store

NAME = "inspector.sqlite3"
PAGE = 4096
SINK = "mqtt"

Harm = Callable[[Path, random.Random], object]


@dataclass(frozen=True)
class Filled:
    """A store and what is in it.

    Attributes:
        folder: The copy of it, as a death leaves it.
        payloads: Every message by its seq.
        delivered: The last seq that was delivered.
        files: Finished files.
        store_id: Of the store.
    """

    folder: Path
    payloads: dict[int, bytes]
    delivered: int
    files: tuple[str, ...]
    store_id: str


@dataclass
class Verdict:
    """What the judge found.

    Attributes:
        misses: What must not be, each a sentence.
        aside: Whether the store was set aside.
        waiting: Messages that are there and wait.
        lost: Messages that are gone.
    """

    misses: list[str] = field(default_factory=list)
    aside: bool = False
    waiting: int = 0
    lost: int = 0


def fill(folder: Path, frames: int = 60) -> Filled:
    """Commit stills, deliver a third of their messages, and copy the open store: half of it is in the log."""
    store = Store(folder / "open", FakeClock())
    store.outbox.enable([SINK])
    for number in range(frames):
        store.commit([entry(number, *(("crack", "hole") if number % 3 else ()))])
        if number == frames // 2:
            store.outbox.acknowledge(SINK, len(store.outbox.pending(0, 10_000)) // 3)
            store.database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    store.coils.change("C1", 1)
    store.ledger.starting("in-work.jpg")
    shutil.copytree(store.folder, folder / "copy")
    payloads = {row.seq: row.payload for row in store.outbox.pending(0, 10_000)}
    delivered = store.outbox.cursor(SINK)
    store.close()
    return Filled(folder / "copy", payloads, delivered, tuple(f"{n}.jpg" for n in range(frames)), store.store_id)


# --- Ways -----------------------------------------------------------------------------------------------------------


def _flip(path: Path, chance: random.Random, bytes_: int, span: tuple[float, float] = (0, 1)) -> None:
    data = bytearray(path.read_bytes())
    at = int(len(data) * chance.uniform(*span))
    for place in range(at, min(at + bytes_, len(data))):
        data[place] ^= 1 << chance.randrange(8) if bytes_ == 1 else chance.randrange(1, 256)
    path.write_bytes(data)


def _page(path: Path, chance: random.Random, content: Callable[[], bytes]) -> None:
    data = bytearray(path.read_bytes())
    page = chance.randrange(max(1, len(data) // PAGE))
    data[page * PAGE : (page + 1) * PAGE] = content()
    path.write_bytes(data)


def _cut(path: Path, chance: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: chance.randrange(len(data))])


def _pragma(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


def _header(path: Path, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[chance.randrange(100)] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def _schema(path: Path, chance: random.Random) -> None:
    tables = ("meta", "outbox", "cursors", "ledger", "deaths", "candidates", "configurations", "records")
    _pragma(path, f"DROP TABLE {chance.choice(tables)}")


def _root(path: Path, chance: random.Random) -> None:
    """Zero the root page of a table."""
    with sqlite3.connect(path) as db:
        pages = db.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 1 ORDER BY rootpage").fetchall()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    page = chance.choice(pages)[0]
    data = bytearray(path.read_bytes())
    data[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
    path.write_bytes(data)


def _folder(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()
    (path / "something").write_text("x")


def _foreign(path: Path) -> None:
    for part in ("", "-wal", "-shm"):
        path.with_name(path.name + part).unlink(missing_ok=True)
    _pragma(path, "CREATE TABLE photos (name TEXT)")


def _newer(path: Path, chance: random.Random) -> None:
    _pragma(path, "UPDATE meta SET value = 99 WHERE key = 'min_reader'")
    _pragma(path, f"PRAGMA user_version = {chance.randrange(2, 99)}")


def _value(path: Path, chance: random.Random) -> None:
    """Give a single value another, as a flipped byte does."""
    key = chance.choice(["seq", "epoch", "store_id", "coil", "track_state", "alive_ms", "mqtt_life"])
    with sqlite3.connect(path) as db:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, chance.choice([b"\xff\xfe", "{", "[1", -7, 3.5])))
    db.close()


def _work(path: Path, chance: random.Random) -> None:
    lines = ["+[null,5]", "+[5,5]", '+["a"]', '+["a","b"]', '+{"a":1}', "+[[],[]]", '+["a",1e999]', '-["a",{}]', "+"]
    (path.parent / "in-work").write_text("\n".join(chance.sample(lines, 4)) + "\n")


WAYS: dict[str, Harm] = {
    "one bit": lambda path, chance: _flip(path, chance, 1),
    "twenty bytes": lambda path, chance: _flip(path, chance, 20),
    "a page at random": lambda path, chance: _page(path, chance, lambda: chance.randbytes(PAGE)),
    "a page of zeros": lambda path, chance: _page(path, chance, lambda: bytes(PAGE)),
    "cut": _cut,
    "header bit": _header,
    "header zeroed": lambda path, chance: path.write_bytes(bytes(100) + path.read_bytes()[100:]),
    "first page zeroed": lambda path, chance: path.write_bytes(bytes(PAGE) + path.read_bytes()[PAGE:]),
    "empty": lambda path, chance: path.write_bytes(b""),
    "gone": lambda path, chance: path.unlink(),
    "text": lambda path, chance: path.write_text("no database\n" * chance.randrange(1, 999)),
    "foreign": lambda path, chance: _foreign(path),
    "a folder": lambda path, chance: _folder(path),
    "newer schema": lambda path, chance: _pragma(path, f"PRAGMA user_version = {chance.randrange(2, 99)}"),
    "newer schema, refused": lambda path, chance: _newer(path, chance),
    "application id": lambda path, chance: _pragma(path, f"PRAGMA application_id = {chance.randrange(1, 1 << 30)}"),
    "a table dropped": _schema,
    "a root page zeroed": _root,
    "a value": _value,
    "log bit": lambda path, chance: _flip(path.with_name(NAME + "-wal"), chance, 1),
    "log bytes": lambda path, chance: _flip(path.with_name(NAME + "-wal"), chance, 20),
    "log cut": lambda path, chance: _cut(path.with_name(NAME + "-wal"), chance),
    "log deleted": lambda path, chance: path.with_name(NAME + "-wal").unlink(),
    "log a folder": lambda path, chance: _folder(path.with_name(NAME + "-wal")),
    "index bytes": lambda path, chance: _flip(path.with_name(NAME + "-shm"), chance, 20),
    "index cut": lambda path, chance: _cut(path.with_name(NAME + "-shm"), chance),
    "index a folder": lambda path, chance: _folder(path.with_name(NAME + "-shm")),
    "work list": _work,
    "work list a folder": lambda path, chance: _folder(path.parent / "in-work"),
    "last number a folder": lambda path, chance: _folder(path.parent / "last-seq"),
    "last number bytes": lambda path, chance: _flip(path.parent / "last-seq", chance, 20),
    "lock a folder": lambda path, chance: _folder(path.parent / "lock"),
}


def draw(n: int, seed: int) -> Iterator[tuple[str, int]]:
    """Yield n ways with a seed each: every way in turn."""
    names = list(WAYS)
    for number in range(n):
        yield names[number % len(names)], seed * 100_003 + number


# --- The judge ------------------------------------------------------------------------------------------------------


def try_way(filled: Filled, way: str, seed: int, folder: Path, planted: bool = False) -> Verdict:
    """Damage a copy of a filled store, open it, use it, and judge; `planted`: lose a message behind its back."""
    shutil.copytree(filled.folder, folder)
    path = folder / NAME
    WAYS[way](path, random.Random(seed))
    whole = _whole(filled, folder)
    verdict = Verdict()
    try:
        store = Store(folder, FakeClock())
    except Exception as exc:  # noqa: BLE001 - whatever it is: a store that does not start is a miss
        verdict.misses.append(f"does not start: {exc!r}")
        return verdict
    try:
        if planted:
            store.database.connection.execute("DELETE FROM outbox WHERE seq = (SELECT max(seq) FROM outbox)")
        _judge(filled, store, whole, verdict)
    except Exception as exc:  # noqa: BLE001 - likewise
        verdict.misses.append(f"does not work: {exc!r}")
    finally:
        store.close()
    return verdict


def _whole(filled: Filled, folder: Path) -> set[int]:
    """The messages whose pages nothing has touched: the newest in the log, or all in the file that ever held them."""
    pages = {name: (filled.folder / name).read_bytes() for name in (NAME, NAME + "-wal")}
    now = {name: (folder / name).read_bytes() if (folder / name).is_file() else b"" for name in pages}
    found: set[int] = set()
    for seq, payload in filled.payloads.items():
        places = [(NAME + "-wal", pages[NAME + "-wal"].rfind(payload))]
        if places[0][1] < 0:
            places = [(NAME, at) for at in _occurrences(pages[NAME], payload)]
        if all(_is_untouched(pages[name], now[name], name, at, len(payload)) for name, at in places):
            found.add(seq)
    return found


def _occurrences(data: bytes, payload: bytes) -> Iterator[int]:
    at = data.find(payload)
    while at >= 0:
        yield at
        at = data.find(payload, at + 1)


def _is_untouched(before: bytes, after: bytes, name: str, at: int, length: int) -> bool:
    start, size = (0, PAGE) if name == NAME else (32 + 24, PAGE + 24)
    page = start + (at - start) // size * size
    same = before[page : page + PAGE] == after[page : page + PAGE]
    return same and len(after) >= page + PAGE and at + length <= page + PAGE


def _judge(filled: Filled, store: Store, whole: set[int], verdict: Verdict) -> None:
    store.outbox.enable([SINK])
    known = {payload: seq for seq, payload in filled.payloads.items()}
    rows = store.outbox.pending(store.outbox.cursor(SINK), 10_000)
    phantom = [row.seq for row in rows if row.payload not in known]
    if phantom:
        verdict.misses.append(f"messages that nobody wrote: {phantom[:5]}")
    seqs = [known[row.payload] for row in rows if row.payload in known]
    if seqs != sorted(seqs):
        verdict.misses.append("out of order")
    waiting = set(seqs)
    verdict.waiting, verdict.aside = len(waiting), store.database.aside is not None
    gone = {seq for seq in filled.payloads if seq > filled.delivered} - waiting
    verdict.lost = len(gone)
    told = len(store.outbox.take_damaged()) + (store.database.aside.lost if store.database.aside else 0)
    if gone and told < len(gone):
        verdict.misses.append(f"{len(gone)} messages are gone, {told} are reported")
    if unsaved := sorted(gone & whole):
        verdict.misses.append(f"{len(unsaved)} whole messages are not saved, as {unsaved[:5]}")
    bodies = store.commit([entry(10_001, "crack")])
    reused = [body.seq for body in bodies if body.store_id == filled.store_id and body.seq in filled.payloads]
    if not bodies or reused:
        verdict.misses.append(f"numbers are used again: {reused}")
    store.outbox.outbox_state(SINK)
    store.outbox.prune(3600)
    store.reader.recent_defects(1000)
    store.notes.next_epoch()
    store.notes.heartbeat()
    store.coils.current()
    store.ledger.suspects()
    new = store.outbox.pending(store.outbox.cursor(SINK), 10_000)
    if [row.payload for row in new][: -len(bodies)] != [row.payload for row in rows]:
        verdict.misses.append("housekeeping has changed what waits")
    if new and [row.seq for row in new][-len(bodies) :] != [body.seq for body in bodies]:
        verdict.misses.append("the new message is not the last")
